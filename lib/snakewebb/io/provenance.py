"""What snakewebb notes in its products, besides what JWST's schema has a place for.

The notes stand in ``meta.snakewebb`` of the ASDF extension; the most telling numbers are also
``SWB_…`` keywords of the primary header, and what went wrong is in its history.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from snakewebb import __version__
from snakewebb.errors import InputError
from snakewebb.io.fits_structure import read_tree

log = logging.getLogger(__name__)

KEYWORDS = {
    "version": ("SWB_VER", "snakewebb version"),
    "assign_wcs.dva_pivot": ("SWB_DVA", "velocity aberration scales about this"),
    "tweakreg.n_matches": ("SWB_NMAT", "stars used in the alignment"),
    "tweakreg.rms_after": ("SWB_RMS", "[mas] rms residual of these stars"),
    "tweakreg.error": ("SWB_ERR", "[mas] standard error of the alignment"),
    "outlier_detection.fraction": ("SWB_OUTL", "fraction of pixels flagged OUTLIER"),
}
"""What of ``meta.snakewebb`` is also a FITS keyword, with its comment."""


@dataclass(frozen=True)
class Provenance:
    """What is said in a product of the steps that made it.

    Attributes
    ----------
    statuses : mapping, optional
        COMPLETE, SKIPPED or FAILED by step, for ``meta.cal_step``.
    notes : mapping, optional
        For ``meta.snakewebb``; values that JSON can hold, or NumPy's. By step: numbers, and
        under ``reason`` why it failed or was skipped.
    """

    statuses: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)


ORIGIN = "snakewebb"
"""Who made a file: the keyword ORIGIN."""


def date() -> str:
    """Return the time now as JWST's ``DATE`` keyword has it, in UTC.

    It is that of ``SOURCE_DATE_EPOCH``, in seconds since 1970, where the environment has that, so
    that equal input gives equal products (https://reproducible-builds.org/specs/source-date-epoch).

    Raises
    ------
    InputError
        ``SOURCE_DATE_EPOCH`` is no such number.
    """
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    try:
        time = datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise InputError(
            f"SOURCE_DATE_EPOCH: {epoch!r:.40} is no time: give seconds since 1970, or unset it"
        ) from error
    return time.replace(tzinfo=None).isoformat(timespec="milliseconds")


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy in builtin types, which ASDF keeps as readable text, without what is None."""
    text = json.dumps(dict(values), default=lambda value: value.tolist())
    return json.loads(
        text, object_pairs_hook=lambda pairs: {k: v for k, v in pairs if v is not None}
    )


def noted(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return notes, in builtin types, that tell the version of snakewebb."""
    return {"version": __version__} | plain(values)


def cards(notes: Mapping[str, Any]) -> list[list]:
    """Return keyword, value and comment of those notes that have a keyword."""
    found = []
    for name, (keyword, comment) in KEYWORDS.items():
        step, _, key = name.rpartition(".")
        value = (notes.get(step, {}) if step else notes).get(key)
        if value is not None and value == value:  # FITS has no NaN
            found.append([keyword, value, comment])
    return found


def history(notes: Mapping[str, Any], statuses: Mapping[str, str]) -> list[str]:
    """Say why steps were not completed."""
    reasons = {
        step: notes.get("align_refs" if step == "align_psfs" else step, {}).get("reason")
        for step in statuses
    }
    return [
        f"snakewebb: {step} {status}: {reasons[step]}"
        for step, status in statuses.items()
        if reasons[step] and status != "COMPLETE"
    ]


def log_statuses(target: str | Path, statuses: Mapping[str, str]) -> None:
    """Tell of a product that it is written."""
    log.info("%s: %s", Path(target).name, ", ".join(f"{k} {v}" for k, v in statuses.items()))


def read_notes(path: str | Path) -> dict[str, Any]:
    """Return what snakewebb has noted in a product, by step (``meta.snakewebb``).

    The notes are plain YAML, so neither asdf nor gwcs has to be imported.

    Raises
    ------
    InputError
        The file has no such notes.
    """
    try:
        return yaml.load(read_tree(path).partition(b"\n...")[0], _Plain)["meta"]["snakewebb"]
    except (KeyError, TypeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: has no notes of snakewebb: remove it and run again") from error


_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Plain(_Loader):
    """Reads YAML and passes over what needs another package to be understood."""


_Plain.add_multi_constructor("", lambda loader, tag, node: _untagged(loader, node))


def _untagged(loader: _Plain, node: yaml.Node) -> Any:
    return loader.construct_mapping(node) if isinstance(node, yaml.MappingNode) else None
