"""Numbers, words and switches in the headers of exposures, checked where they are read.

Needed is what a step cannot do without: if that is wrong, `number` says so in one line. Of the
rest, `credible` leaves out what cannot be true, as if it was not there.
"""

from __future__ import annotations

import logging
import math
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from astropy.io import fits

from snakewebb.errors import InputError
from snakewebb.io.fits_structure import Unit, find, read_cards, structure

log = logging.getLogger(__name__)

Header = Mapping[str, Any]

TURN = (-360.0, 360.0)
DATE = (48_000.0, 88_000.0)
TIME = (0.0, 1e8)
POSITIVE = (math.ulp(0.0), math.inf)
LIMITS = {
    **dict.fromkeys(("V2_REF", "V3_REF"), (-3600.0, 3600.0)),
    **dict.fromkeys(("RA_REF", "ROLL_REF", "V3I_YANG", "MT_RA", "GS_RA"), TURN),
    **dict.fromkeys(("DEC_REF", "MT_DEC", "GS_DEC"), (-90.0, 90.0)),
    "VA_SCALE": (0.999, 1.001),
    "VPARITY": (-1.0, 1.0),
    "BKGLEVEL": (-1e8, 1e8),
    **dict.fromkeys(("EXPSTART", "EXPMID", "EXPEND", "MJD-BEG", "MJD-AVG", "MJD-END"), DATE),
    **dict.fromkeys(("TDB-BEG", "TDB-MID", "TDB-END"), DATE),
    **dict.fromkeys(("EFFEXPTM", "XPOSURE", "TMEASURE", "DURATION", "TELAPSE"), TIME),
    **dict.fromkeys(("PHOTMJSR", "PHOTUJA2", "PIXAR_SR", "PIXAR_A2"), POSITIVE),
}
"""Least and greatest value of keywords: arcsec, degrees, modified Julian days, seconds."""

_MIDDLES = ("EXPMID", "MJD-AVG", "EXPSTART", "MJD-BEG", "EXPEND", "MJD-END")
"""Of an exposure, or near enough for the proper motions of stars."""
_GROUP_KEYS = ("PROGRAM", "OBSERVTN", "VISIT", "VISITGRP", "SEQ_ID", "ACT_ID", "EXPOSURE")
_WORDS = {
    "target_type": "TARGTYPE",
    "instrument": "INSTRUME",
    "detector": "DETECTOR",
    "filter": "FILTER",
    "pupil": "PUPIL",
    "bunit": "BUNIT",
}
_NUMBERS = {
    "mt_ra": "MT_RA",
    "mt_dec": "MT_DEC",
    "measurement_time": "TMEASURE",
    "exposure_time": "XPOSURE",
}
_WCSINFO = {
    "v2_ref": "V2_REF",
    "v3_ref": "V3_REF",
    "roll_ref": "ROLL_REF",
    "ra_ref": "RA_REF",
    "dec_ref": "DEC_REF",
    "v3yangle": "V3I_YANG",
    "vparity": "VPARITY",
}


def read_header(path: str | Path) -> ChainMap[str, Any]:
    """Return the header of an exposure's image, and beneath it the primary one.

    Older files keep in the primary header what newer ones keep with the image. No pixel is read.

    Raises
    ------
    InputError
        The file is no FITS file or has no SCI extension.
    """
    primary, image = structure(path)[0], find(path, "SCI")
    if image is None:
        raise InputError(f"{path}: has no SCI extension: give a stage-2 exposure")
    return ChainMap(header_of(path, image), header_of(path, primary))


def header_of(path: str | Path, unit: Unit) -> fits.Header:
    """Return the header of a file's unit."""
    return fits.Header.fromstring(read_cards(path, unit))


def check_cards(path: str | Path) -> None:
    """Raise InputError where a card of a file's headers has no value that can be read."""
    for unit in structure(path):
        for card in header_of(path, unit).cards:
            try:
                card.value  # noqa: B018 (it is read when it is first asked for)
            except (fits.VerifyError, ValueError):
                raise _broken(card.keyword, path) from None


@dataclass(frozen=True)
class ExposureHeader:
    """What stage 3 needs to know of an exposure besides its pixels; None where it is not told.

    Attributes
    ----------
    group_id : str
        All detectors of one exposure share it.
    visit : str or None
        All exposures with one guide star share it.
    epoch : float or None
        Decimal year.
    target_type, instrument, detector, filter, pupil, bunit : str or None
    mt_ra, mt_dec : float or None
        Where a moving target was, degrees.
    measurement_time, exposure_time : float or None
        Seconds.
    sky_level : float or None
        The sky that was found in its pixels, in their units.
    sky_subtracted : bool or None
        Whether it was taken from them.
    wcsinfo : dict of str to float or None
        v2_ref, v3_ref (arcsec), roll_ref, ra_ref, dec_ref, v3yangle (deg), vparity.
    """

    group_id: str
    visit: str | None
    epoch: float | None
    target_type: str | None
    instrument: str | None
    detector: str | None
    filter: str | None
    pupil: str | None
    bunit: str | None
    mt_ra: float | None
    mt_dec: float | None
    measurement_time: float | None
    exposure_time: float | None
    sky_level: float | None
    sky_subtracted: bool | None
    wcsinfo: dict[str, float | None]

    @property
    def is_moving(self) -> bool:
        """Return whether its target moves."""
        return str(self.target_type).upper() == "MOVING"

    @property
    def remaining_sky(self) -> float | None:
        """Return the sky level that is known but still in the pixels, in their units."""
        return None if self.sky_subtracted else self.sky_level


def exposure_header(path: str | Path) -> ExposureHeader:
    """Read what stage 3 needs to know of an exposure besides its pixels.

    Raises
    ------
    InputError
        The file cannot be read, or what a step needs cannot be true.
    """
    header = read_header(path)
    ids = [value(header, key, path) for key in _GROUP_KEYS]
    times = (credible(header, key, path=path) for key in _MIDDLES)
    middle = next((time for time in times if time is not None), None)
    parity = number(header, "VPARITY", -1, 1, path=path)
    if parity not in (None, -1, 1):
        raise InputError(f"{path}: VPARITY is {parity!r}, neither -1 nor 1: mend its header")
    words = {name: text(header, key, path=path) for name, key in _WORDS.items()}
    numbers = {name: credible(header, key, path=path) for name, key in _NUMBERS.items()}
    found: dict[str, Any] = {**words, **numbers}
    return ExposureHeader(
        group_id="jw{}{}{}_{}{}{}_{}".format(*ids) if all(ids) else Path(path).stem,
        visit="{}{}{}".format(*ids) if all(ids[:3]) else None,
        epoch=None if middle is None else 2000.0 + (middle - 51544.5) / 365.25,
        **found,
        sky_level=number(header, "BKGLEVEL", *LIMITS["BKGLEVEL"], path=path),
        sky_subtracted=switch(header, "BKGSUB", path=path),
        wcsinfo={
            name: number(header, key, *LIMITS[key], path=path) for name, key in _WCSINFO.items()
        },
    )


def value(header: Header, key: str, path: str | Path) -> Any:
    """Return what a keyword stands for; None if it is not there or has no value.

    Raises
    ------
    InputError
        Its card is broken.
    """
    try:
        found = header.get(key)
    except (fits.VerifyError, ValueError):
        raise _broken(key, path) from None
    return None if isinstance(found, fits.card.Undefined) else found


def _broken(key: str, path: str | Path) -> InputError:
    return InputError(f"{path}: the card of {key} cannot be read: mend its header")


def number(
    header: Header,
    key: str,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    path: str | Path,
) -> float | None:
    """Return a keyword's number; None if it is not there.

    Parameters
    ----------
    header : mapping
        A header of astropy's, or several of them.
    key : str
    low, high : float, optional
        The least and the greatest that it can be. It is finite in any case.
    path : path
        The file, for the message.

    Raises
    ------
    InputError
        The value is no number, not finite, or out of range.
    """
    found = value(header, key, path)
    if found is None:
        return None
    if not _fits(found, low, high):
        limits = f"number from {low:g} to {high:g}"
        if math.isinf(high):
            limits = "finite number" if math.isinf(low) else "positive number"
        raise InputError(f"{path}: {key} is {found!r:.60}, no {limits}: mend its header")
    return found


def credible(header: Header, key: str, *, path: str | Path) -> float | None:
    """Return a keyword's number by its `LIMITS`; None, with a warning, if it cannot be true."""
    try:
        return number(header, key, *LIMITS[key], path=path)
    except InputError as error:
        log.warning("%s (until then it is left out)", error)
        return None


def text(header: Header, key: str, *, path: str | Path) -> str | None:
    """Return a keyword's text; None if it is not there.

    Raises
    ------
    InputError
        The value is none.
    """
    return _of_type(header, key, str, "text", path)


def switch(header: Header, key: str, *, path: str | Path) -> bool | None:
    """Return a keyword's truth; None if it is not there.

    Raises
    ------
    InputError
        The value is neither T nor F.
    """
    return _of_type(header, key, bool, "T or F", path)


def is_possible(key: str, found: Any) -> bool:
    """Return whether a number is finite and within the `LIMITS` of its keyword, if it has some."""
    return _fits(found, *LIMITS.get(key, (-math.inf, math.inf)))


def _fits(found: Any, low: float, high: float) -> bool:
    numeric = isinstance(found, int | float) and not isinstance(found, bool)
    return numeric and math.isfinite(found) and low <= found <= high


def _of_type(header: Header, key: str, kind: type, name: str, path: str | Path) -> Any:
    found = value(header, key, path)
    if found is None or isinstance(found, kind):
        return found
    raise InputError(f"{path}: {key} is {found!r:.60}, no {name}: mend its header")
