"""Flagged exposures: ``_crf`` and ``_crfints``.

Such a file is for the most part a copy of the exposure it is made of. As long as no pointing is
corrected, it is written as one: stdatamodels and gwcs would take longer to import than the job
needs for all the rest.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.io.fits.verify import VerifyWarning

from snakewebb.asdf_text import changed, extension, read_value
from snakewebb.dq import DO_NOT_USE, OUTLIER
from snakewebb.exposure import INVALIDATED, Planes, facts, invalidate, open_fits, read_planes
from snakewebb.files import replacing
from snakewebb.geometry import Correction
from snakewebb.notes import cards, history, log_statuses, noted, plain

MODELS = {2: "ImageModel", 3: "CubeModel"}
"""What an exposure is called in its header, by the dimensions of its image."""

KEYWORDS = {
    "date": ("DATE", "UTC date file created"),
    "filename": ("FILENAME", "Name of the file"),
    "asn.pool_name": ("ASNPOOL", "Name of the ASN pool"),
    "asn.table_name": ("ASNTABLE", "Name of the ASN table"),
    "background.level": ("BKGLEVEL", "Computed constant background level"),
    "background.subtracted": ("BKGSUB", "Has background been subtracted from data?"),
    "background.method": ("BKGMETH", "Background computation method"),
    "cal_step.assign_mtwcs": ("S_MTWCS", "Assign Moving Target World Coordinate System"),
    "cal_step.tweakreg": ("S_TWKREG", "Image Alignment via Astronomical Sources"),
    "cal_step.skymatch": ("S_SKYMAT", "Sky Background Equalization or Subtraction"),
    "cal_step.outlier_detection": ("S_OUTLIR", "Outlier Detection"),
}
"""Metadata with a place in the primary header, its keyword and comment; from JWST's schema."""

UNKNOWN = "extra_fits.PRIMARY.header"
"""Where stdatamodels keeps cards that are not in JWST's schema."""


def write_crf(
    source: str | Path,
    target: str | Path,
    *,
    statuses: Mapping[str, str],
    correction: Correction | None = None,
    moving_target: bool = False,
    sip: Mapping[str, Any] | None = MappingProxyType({}),
    wcsinfo: Mapping[str, Any] | None = None,
    sky: Mapping[str, Any] | None = None,
    outliers: np.ndarray | None = None,
    asn: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write an exposure with what stage 3 found out about it.

    Everything else in the file is kept: other extensions, unknown keywords, history.

    Parameters
    ----------
    source, target : path
        A ``_cal`` (or ``_calints``) and the ``_crf`` (or ``_crfints``) to write.
    statuses : mapping
        COMPLETE, SKIPPED or FAILED by step: ``tweakreg`` or ``assign_mtwcs``, ``skymatch``,
        ``outlier_detection``.
    correction : Correction, optional
        Of the pointing. The gWCS, S_REGION and the FITS WCS keywords follow it.
    moving_target : bool, optional
        The correction follows a moving target; see `snakewebb.wcs.corrected_wcs`.
    sip : mapping, optional
        Options of `snakewebb.wcs.sip_keywords`; None to write no FITS WCS keywords where the
        correction makes the old ones wrong.
    wcsinfo : mapping, optional
        Other values for ``meta.wcsinfo``, such as ``mt_avra``.
    sky : mapping, optional
        ``level``, ``subtracted``, ``method`` for ``meta.background``. If ``subtracted``, the
        level is taken from the pixels, less what an earlier run took. A level of None changes
        nothing.
    outliers : array of bool, optional
        True where a pixel is hit by a cosmic ray; of the shape of the data.
    asn : mapping, optional
        ``pool_name``, ``table_name``, ``exptype`` for ``meta.asn``.
    provenance : mapping, optional
        For ``meta.snakewebb``; values that JSON can hold, or NumPy's. By step: numbers, and
        under ``reason`` why it failed or was skipped.

    Raises
    ------
    InputError
        The source cannot be read.
    """
    notes = noted(provenance or {})
    if outliers is not None:
        fraction = {"fraction": float(np.mean(outliers))}
        notes["outlier_detection"] = notes.get("outlier_detection", {}) | fraction
    metadata = {"asn": asn or {}, "wcsinfo": wcsinfo or {}}
    taken = 0.0
    if sky is not None and sky["level"] is not None:
        metadata["background"] = {name: sky[name] for name in ("level", "subtracted", "method")}
        if sky["subtracted"]:
            known = facts(source)
            taken = sky["level"] - (known["sky_level"] or 0.0) * bool(known["sky_subtracted"])
    changes = (partial(_change, outliers=outliers, sky=taken), plain(metadata), statuses, notes)
    if correction is None and not wcsinfo and _is_whole(source):
        _write_copy(source, target, *changes)
    else:
        from snakewebb.products import write_changed  # stdatamodels and gwcs, a second of imports

        write_changed(
            source,
            target,
            *changes,
            correction=correction,
            moving_target=moving_target,
            sip=sip,
        )


def _change(planes: Planes, outliers: np.ndarray | None, sky: float) -> None:
    """Flag outliers and take the sky off, in place."""
    if outliers is not None:
        planes["DQ"][outliers] |= DO_NOT_USE | OUTLIER
    invalidate(planes)
    planes["SCI"] -= sky


def _is_whole(path: str | Path) -> bool:
    """Return whether a file has flags and is as stdatamodels wrote it.

    Only then do its headers and its ASDF tree agree; of others, the headers count.
    """
    with open_fits(path) as hdus:
        if not {"SCI", "DQ", "ASDF"} <= {hdu.name for hdu in hdus}:
            return False
        if hdus[0].header.get("DATAMODL") != MODELS.get(len(hdus["SCI"].shape)):
            return False
        try:
            return read_value(hdus["ASDF"].data.tobytes(), "_fits_hash") == _fits_hash(hdus)
        except ValueError:
            return False


def _fits_hash(hdus: fits.HDUList) -> str:
    """Return the number by which stdatamodels sees whether headers were changed by others."""
    headers = "".join(str(hdu.header) for hdu in hdus if hdu.name != "ASDF")
    return hashlib.sha256(headers.encode()).hexdigest()


def _write_copy(
    source: str | Path,
    target: str | Path,
    change: Callable[[Planes], None],
    metadata: Mapping[str, Mapping[str, Any]],
    statuses: Mapping[str, str],
    notes: Mapping[str, Any],
) -> None:
    """Write what `snakewebb.products.write_changed` would of a file that is whole."""
    planes = read_planes(source, ("DQ", *INVALIDATED))
    shape = planes["SCI"].shape
    planes = {name: a for name, a in planes.items() if a is not None and a.shape == shape}
    change(planes)
    now = datetime.now(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00")
    places = {"date": now, "filename": Path(target).name}
    for node, values in {**metadata, "cal_step": statuses}.items():
        places |= {f"{node}.{name}": value for name, value in values.items()}
    own = cards(notes)
    with warnings.catch_warnings(), fits.open(source, memmap=False) as hdus:
        warnings.filterwarnings("ignore", "Card is too long", VerifyWarning)
        for name, plane in planes.items():
            hdus[name].data = plane
        header = hdus[0].header
        for name, (keyword, comment) in KEYWORDS.items():
            if name in places:
                header[keyword] = (places[name], comment)
        for keyword, value, comment in own:
            header[keyword] = (value, comment)
        for entry in history(notes, statuses):
            header.add_history(entry)
        tree = hdus["ASDF"].data.tobytes()
        others = read_value(tree, UNKNOWN) or []
        ours = [keyword for keyword, *_ in own]
        changes = {f"meta.{place}": value for place, value in places.items()}
        changes["meta.snakewebb"] = notes
        changes[UNKNOWN] = [*(card for card in others if card[0] not in ours), *own]
        changes["_fits_hash"] = _fits_hash(hdus)
        del hdus["ASDF"]
        with replacing(target) as file:
            hdus.writeto(file)
            file.write(extension(changed(tree, changes, [])))
    log_statuses(target, statuses)
