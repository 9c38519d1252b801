"""PHOTOM and AREA reference files: from count rates to surface brightness.

The formulae of the time dependence are those of jwst 3.0.0 (``jwst.photom.time_dependence``), and
for the tables TIMECOEFF that files had before August 2025 those of its predecessors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from snakewebb.errors import InputError
from snakewebb.io.fits_structure import find, first_header
from snakewebb.io.headers import LIMITS
from snakewebb.io.planes import open_fits, read_planes
from snakewebb.io.tables import numbers, reading, words
from snakewebb.references.subarrays import Subarray, cut_out

KEYS = {
    "NIRCAM": ("filter", "pupil", "subarray"),
    "NIRISS": ("filter", "pupil"),
    "MIRI": ("filter", "subarray"),
    "FGS": (),
}
"""The columns that choose a row. Files for NIRCam may have no subarray, which then is none."""
GENERIC = "GENERIC"
"""The subarray of a row for those that have none of their own."""
REMEDY = "give a PHOTOM reference file for it"
AREA_REMEDY = "give an AREA reference file of its detector"

YEAR = 365.0
"""Days, as the coefficients count them."""

MICROJANSKYS = 1e12 * (math.pi / 648_000) ** 2
"""µJy/arcsec² of 1 MJy/sr."""


@dataclass(frozen=True)
class Conversion:
    """What turns DN/s into MJy/sr.

    Attributes
    ----------
    mjsr : float
        MJy/sr of 1 DN/s at the time of the exposure (PHOTMJSR).
    notes : dict
        ``photmjsr`` of the file, ``time_correction`` it is divided by, ``row`` by its columns.
    """

    mjsr: float
    notes: dict[str, Any]

    @property
    def microjanskys(self) -> float:
        """Return µJy/arcsec² of 1 DN/s (PHOTUJA2)."""
        return self.mjsr * MICROJANSKYS


@dataclass(frozen=True)
class PixelArea:
    """Sizes of pixels on the sky.

    Attributes
    ----------
    plane : (ny, nx) float32 or None
        Relative to the mean.
    steradians, square_arcsec : float or None
        The mean (PIXAR_SR, PIXAR_A2).
    """

    plane: np.ndarray | None
    steradians: float | None
    square_arcsec: float | None


def _linear(t: float, row: Mapping[str, float]) -> float:
    return 1 - row["lossperyear"] * (t - row["t0"]) / YEAR


def _exponential(t: float, row: Mapping[str, float]) -> float:
    return row["amplitude"] * math.exp(-(t - row["t0"]) / row["tau"]) + row["const"]


def _power_law(t: float, row: Mapping[str, float]) -> float:
    since = (t - row["t0"] + row["tsoft"]) / (YEAR + row["tsoft"])
    return row["year1value"] * since ** row["alpha"]


Throughput = Callable[[float, Mapping[str, float]], float]

TIME_TABLES: dict[str, tuple[tuple[str, ...], Throughput]] = {
    "TIMECOEFF_LINEAR": (("t0", "lossperyear"), _linear),
    "TIMECOEFF_EXPONENTIAL": (("t0", "amplitude", "tau", "const"), _exponential),
    "TIMECOEFF_POWERLAW": (("t0", "year1value", "tsoft", "alpha"), _power_law),
}
"""Columns and the throughput relative to that at t0."""
OLD_TABLE = "TIMECOEFF"
OLD_COLUMNS = ("amplitude", "tau", "t0")


def conversion_of(
    path: str | Path, header: Mapping[str, str], apply_time_correction: bool = True
) -> Conversion:
    """Look up the conversion factor of an exposure.

    Tables of time dependence have the rows of PHOTOM. Each gives a throughput relative to that at
    its t0, by whose product the factor is divided. An old table TIMECOEFF gives what is added to
    the factor, amplitude·exp(−(t − t0)/tau), unless there are newer ones.

    Parameters
    ----------
    path : path
        PHOTOM.
    header : mapping of str
        The exposure's, from `snakewebb.io.fits_structure.exposure_header`.
    apply_time_correction : bool, optional

    Raises
    ------
    InputError
        It is no PHOTOM, or has no sensible factor for the exposure, or more than one.
    """
    tables = {}
    with reading(path, REMEDY), open_fits(path) as hdus:
        if "PHOTOM" not in hdus or not hasattr(hdus["PHOTOM"], "columns"):
            raise InputError(f"{path}: has no PHOTOM table: {REMEDY}")
        for name in ("PHOTOM", *TIME_TABLES, OLD_TABLE):
            if name in hdus and hdus[name].data is not None:
                tables[name] = hdus[name].data
    table = tables["PHOTOM"]
    setup = {key: header.get(key.upper(), "").upper() for key in _keys(table, header, path)}
    row = _row(table, path, setup)
    photmjsr = _numbers(table, ("photmjsr",), row, path)["photmjsr"]
    correction, factor = 1.0, photmjsr
    found = [name for name in TIME_TABLES if name in tables] if apply_time_correction else []
    for name in found:
        columns, throughput = TIME_TABLES[name]
        coefficients = _coefficients(tables, name, columns, row, path)
        correction *= _evaluated(throughput, coefficients, header, name, path)
    factor /= correction
    notes = {"photmjsr": photmjsr, "time_correction": correction, "row": setup}
    if apply_time_correction and not found and OLD_TABLE in tables:
        coefficients = _coefficients(tables, OLD_TABLE, OLD_COLUMNS, row, path)
        if coefficients["amplitude"]:
            decay = {"const": 0.0, **coefficients}
            factor += _evaluated(_exponential, decay, header, OLD_TABLE, path, low=-math.inf)
            notes["time_correction"] = photmjsr / factor if factor else math.nan
        notes["time_table"] = "TIMECOEFF, as it was before August 2025"
    if not 0 < factor < math.inf:
        raise InputError(
            f"{path}: its factor for {_said(setup, header)} is {factor:g} MJy/sr: {REMEDY}"
        )
    return Conversion(factor, notes)


def read_area(area: str | Path | None, photom: str | Path, subarray: Subarray) -> PixelArea:
    """Read the sizes of an exposure's pixels.

    Parameters
    ----------
    area : path or None
        AREA reference file; without it there is no map.
    photom : path
        PHOTOM, whose header has the mean where that of AREA has not.
    subarray : Subarray
        Of the exposure.

    Raises
    ------
    InputError
        AREA has no image, or one that does not cover the exposure.
    """
    plane, headers = None, [first_header(photom)]
    if area is not None:
        if find(area, "SCI") is None:
            raise InputError(f"{area}: has no SCI extension: {AREA_REMEDY}")
        rows, columns = cut_out(area, subarray, AREA_REMEDY)
        plane = read_planes(area, ("SCI",), rows)["SCI"]
        if plane.ndim != 2:
            raise InputError(
                f"{area}: SCI has shape {plane.shape}, not that of an image: {AREA_REMEDY}"
            )
        plane = np.ascontiguousarray(plane[:, columns])
        headers.insert(0, first_header(area))
    steradians, square_arcsec = (_first(headers, key) for key in ("PIXAR_SR", "PIXAR_A2"))
    return PixelArea(plane, steradians, square_arcsec)


def _first(headers: list[dict[str, str]], key: str) -> float | None:
    """Return the first number of a keyword that can be true."""
    low, high = LIMITS[key]
    for header in headers:
        try:
            value = float(header.get(key, ""))
        except ValueError:
            continue
        if low <= value <= high:
            return value
    return None


def _keys(table: Any, header: Mapping[str, str], path: str | Path) -> list[str]:
    instrument = header.get("INSTRUME", "").upper()
    if instrument not in KEYS:
        raise InputError(f"{path}: the exposure is of {instrument or 'no instrument'}: {REMEDY}")
    there = [name.lower() for name in table.names]
    keys = KEYS[instrument]
    if instrument == "NIRCAM" and "subarray" not in there:
        keys = keys[:-1]
    if lacking := [name for name in (*keys, "photmjsr") if name not in there]:
        raise InputError(
            f"{path}: has no column {', '.join(lacking)}: give a PHOTOM reference file for "
            f"{instrument} imaging"
        )
    return list(keys)


def _row(table: Any, path: str | Path, setup: dict[str, str]) -> int:
    """Return the row for a set-up; its subarray becomes GENERIC where only that has one."""
    columns = {key: np.char.upper(words(table, key, path)) for key in setup}

    def rows() -> np.ndarray:
        chosen = np.ones(len(table), bool)
        for key, column in columns.items():
            chosen &= column == setup[key]
        return np.flatnonzero(chosen)

    if not setup:
        if not len(table):
            raise InputError(f"{path}: PHOTOM has no row: {REMEDY}")
        return 0
    wanted, found = ", ".join(f"{k} {v or 'unknown'}" for k, v in setup.items()), rows()
    if not len(found) and "subarray" in setup:
        setup["subarray"] = GENERIC
        found = rows()
    if len(found) != 1:
        number = "no row" if not len(found) else f"{len(found)} rows"
        raise InputError(f"{path}: PHOTOM has {number} for {wanted}: {REMEDY}")
    return int(found[0])


def _numbers(table: Any, columns: tuple[str, ...], row: int, path: str | Path) -> dict[str, float]:
    """Return some numbers of a row."""
    there = [name.lower() for name in table.names]
    if lacking := [name for name in columns if name not in there]:
        raise InputError(f"{path}: has no column {', '.join(lacking)}: {REMEDY}")
    return {name: float(numbers(table, name, path, rows=[row])[0]) for name in columns}


def _coefficients(
    tables: Mapping[str, Any], name: str, columns: tuple[str, ...], row: int, path: str | Path
) -> dict[str, float]:
    """Return a row of a table of time dependence, if its rows are those of PHOTOM."""
    table, photom = tables[name], tables["PHOTOM"]
    keys = {key.lower() for key in table.names} & {"filter", "pupil", "subarray"}
    same = len(table) == len(photom)
    for key in keys & {key.lower() for key in photom.names} if same else ():
        same &= bool((words(table, key, path) == words(photom, key, path)).all())
    if not same:
        raise InputError(f"{path}: the rows of {name} are not those of PHOTOM: {REMEDY}")
    return _numbers(table, columns, row, path)


def _evaluated(
    function: Throughput,
    coefficients: Mapping[str, float],
    header: Mapping[str, str],
    name: str,
    path: str | Path,
    low: float = 0.0,
) -> float:
    """Return what coefficients amount to in the middle of the exposure."""
    low_date, high_date = LIMITS["EXPMID"]
    try:
        middle = float(header.get("EXPMID", ""))
    except ValueError:
        middle = math.nan
    if not low_date <= middle <= high_date:
        raise InputError(
            f"{path}: {name} needs the time of the exposure, whose EXPMID is "
            f"{header.get('EXPMID') or 'missing'}: mend its header, or set "
            "photom.apply_time_correction to false"
        )
    try:
        value = function(middle, coefficients)
    except (ZeroDivisionError, OverflowError):
        value = math.nan
    if isinstance(value, complex) or not low < value < math.inf:
        raise InputError(f"{path}: {name} gives {value} on day {middle:g}: {REMEDY}")
    return value


def _said(setup: Mapping[str, str], header: Mapping[str, str]) -> str:
    return " ".join(setup.values()) or header.get("INSTRUME", "the exposure")
