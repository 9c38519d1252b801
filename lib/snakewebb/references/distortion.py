"""DISTORTION and FILTEROFFSET reference files.

Both are ASDF files: the one has a transform of pixels to V2 and V3, which goes into the gWCS of an
exposure as it stands, the other a list of filters.
"""

from __future__ import annotations

import math
from pathlib import Path

import yaml

from snakewebb.errors import InputError
from snakewebb.io.asdf_tree import AsdfTree


def read_distortion(path: str | Path) -> yaml.Node:
    """Return the model of a DISTORTION file, with its coefficients in it.

    It leads from 0-based pixels of the full frame to V2 and V3, arcsec.

    Raises
    ------
    InputError
        It is no such file, or a broken one.
    """
    tree = _read(path, "DISTORTION")
    model = tree.node("model")
    if not isinstance(model, yaml.MappingNode):
        raise InputError(f"{path}: has no model: give a DISTORTION reference file")
    try:
        return tree.inline(model)
    except ValueError as error:
        raise InputError(f"{path}: its model cannot be read ({error}): fetch it again") from error


def read_filter_offset(
    path: str | Path, instrument: str | None, filter_name: str | None, pupil: str | None
) -> tuple[float, float] | None:
    """Return the offset of a filter; None if a FILTEROFFSET file has no row for it.

    Parameters
    ----------
    path : path
    instrument, filter_name, pupil : str or None
        Of the exposure. The pupil does not count for MIRI, which has no wheel of them.

    Returns
    -------
    column, row : float
        Pixels, to be added to those of the image before its distortion. ``N/A`` is zero.

    Raises
    ------
    InputError
        It is no such file, or has two rows for the filter, or an offset that is none.
    """
    rows = _read(path, "FILTEROFFSET").value("filters")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{path}: has no list of filters: give a FILTEROFFSET reference file")
    rows = [row for row in rows if row.get("filter") == filter_name]
    miri = instrument == "MIRI"
    rows = rows[:1] if miri else [row for row in rows if row.get("pupil") == pupil]
    if not rows:
        return None
    if len(rows) > 1:
        raise InputError(
            f"{path}: has {len(rows)} rows for {filter_name} and {pupil}: leave one of them"
        )
    offsets = [rows[0].get(name, "N/A") for name in ("column_offset", "row_offset")]
    if "N/A" in offsets:
        return 0.0, 0.0
    for offset in offsets:
        numeric = isinstance(offset, int | float) and not isinstance(offset, bool)
        if not numeric or not math.isfinite(offset):
            raise InputError(f"{path}: {filter_name}: {offset!r:.40} is no offset: mend it")
    return float(offsets[0]), float(offsets[1])


def _read(path: str | Path, kind: str) -> AsdfTree:
    try:
        return AsdfTree(Path(path).read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}): give another") from error
    except ValueError as error:
        raise InputError(f"{path}: is {error}: give a {kind} reference file") from error
