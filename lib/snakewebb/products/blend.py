"""One header for many exposures: the metadata of a mosaic.

Which metadata are blended, and how, is written in JWST's schema (see `snakewebb.io.schema_table`).
Only FITS headers are read, not pixels.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from shapely.geometry.polygon import orient

from snakewebb.errors import InputError
from snakewebb.io.fits_structure import find, structure
from snakewebb.io.headers import header_of, is_possible
from snakewebb.io.headers import value as card_value
from snakewebb.io.schema import attributes
from snakewebb.wcs.grid import Grid
from snakewebb.wcs.sphere import s_region

log = logging.getLogger(__name__)

MULTIPLE = "MULTIPLE"
OUTSIDE = "outside calibration tolerance"
STEPS = ("assign_mtwcs", "tweakreg", "skymatch", "outlier_detection")
STATUSES = ("FAILED", "COMPLETE", "SKIPPED")
SIMPLIFICATION = 0.05
"""How far, in pixels, the outline of a mosaic may be off."""


KINDS = {"string": (str,), "number": (int, float), "integer": (int,), "boolean": (bool,)}
"""Types of values by their names in the schema."""


def _same(values: list) -> Any:
    return values[0] if len(set(values)) == 1 else MULTIPLE


def _wheel(values: list) -> str:
    return OUTSIDE if OUTSIDE in values else values[0]


def _status(values: list) -> str:
    return next((status for status in STATUSES if status in values), values[0])


RULES: dict[str, Callable[[list], Any]] = {
    "first": lambda values: values[0],
    "multi": _same,
    "min": min,
    "max": max,
    "mean": lambda values: float(np.mean(values)),
    "sum": sum,
    # ISO 8601 texts sort by time.
    "mindate": min,
    "mintime": min,
    "mindatetime": min,
    "maxdatetime": max,
    "wheeltol": _wheel,
    "status": _status,
}
START = ("meta.observation.date", "meta.observation.time")
"""Two attributes that only together tell which exposure was first."""
SUMS = {
    "meta.exposure.exposure_time": "meta.exposure.exposure_time",
    "meta.exposure.effective_exposure_time": "meta.exposure.exposure_time",
    "meta.exposure.measurement_time": "meta.exposure.measurement_time",
    "meta.exposure.duration": "meta.exposure.duration",
    "meta.exposure.elapsed_exposure_time": "meta.exposure.duration",
}
"""What is summed over pointings, and where the addends are found."""


def read_metadata(path: str | Path) -> dict[str, Any]:
    """Return a product's metadata that have FITS keywords, by dotted path.

    Older files keep in the primary header what newer ones keep with the image. Values of a wrong
    type, and numbers that cannot be true, are left out.

    Raises
    ------
    InputError
        The file cannot be read or has no SCI extension.
    """
    units = {"PRIMARY": structure(path)[0], "SCI": find(path, "SCI"), "ERR": find(path, "ERR")}
    if units["SCI"] is None:
        raise InputError(f"{path}: has no SCI extension: give a JWST product")
    headers = {name: header_of(path, unit) for name, unit in units.items() if unit is not None}
    primary = {a.keyword for a in attributes() if a.hdu == "PRIMARY"}
    values = {}
    for name, hdu, keyword, kind, *_ in attributes():
        header = headers.get(hdu, {})
        if keyword not in header and hdu == "SCI" and keyword not in primary:
            header = headers["PRIMARY"]
        value = card_value(header, keyword, path)
        if value is None:
            continue
        if kind and type(value) not in KINDS[kind]:
            log.warning("%s: %s is %.60r, no %s: left out", path, keyword, value, kind)
            continue
        if type(value) in KINDS["number"] and not is_possible(keyword, value):
            log.warning("%s: %s is %r, which cannot be: left out", path, keyword, value)
            continue
        values[name] = value
    return values


def blend(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Blend the metadata of a mosaic's exposures.

    Parameters
    ----------
    rows : sequence of mappings
        What `read_metadata` returned for each exposure, in order.

    Returns
    -------
    dict
        By dotted path. Metadata without a rule are those of the first exposure. The status of a
        step is FAILED if it failed for any exposure, else COMPLETE if it did for any.
    """
    blended = {}
    for attribute in attributes():
        sources = rows[:1] if attribute.rule == "first" else rows
        values = [row[attribute.name] for row in sources if attribute.name in row]
        if values and attribute.rule:
            blended[attribute.name] = RULES[attribute.rule](values)
    starts = [tuple(row[name] for name in START) for row in rows if all(n in row for n in START)]
    if starts:
        blended.update(zip(START, min(starts), strict=True))
    return blended


def exposure_totals(rows: Sequence[Mapping[str, Any]], group_ids: Sequence[str]) -> dict[str, Any]:
    """Return the number of pointings of a mosaic, and its exposure times summed over them.

    Parameters
    ----------
    rows : sequence of mappings
        What `read_metadata` returned for each exposure, in order.
    group_ids : sequence of str
        The exposures' groups: all detectors of a pointing count once.

    Returns
    -------
    dict
        By dotted path. None for a time that some pointing lacks.
    """
    pointings: dict[str, Mapping[str, Any]] = {}
    for group, row in zip(group_ids, rows, strict=True):
        pointings.setdefault(group, row)
    totals: dict[str, Any] = {"meta.resample.pointings": len(pointings)}
    for name, source in SUMS.items():
        values = [row.get(source) for row in pointings.values()]
        totals[name] = None if None in values else sum(values)
    return totals


def status_counts(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """Return for each step of stage 3 how many exposures have which status."""
    counts = {}
    for step in STEPS:
        name = f"meta.cal_step.{step}"
        counts[step] = dict(Counter(row[name] for row in rows if name in row))
    return {step: count for step, count in counts.items() if count}


def header_table(rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Return a table of the exposures' header keywords, one row each.

    Parameters
    ----------
    rows : sequence of mappings
        What `read_metadata` returned for each exposure, in order.

    Returns
    -------
    structured array
        Columns are those keywords that at least one exposure has. What an exposure lacks is an
        empty text or NaN.
    """
    columns = {}
    for attribute in attributes():
        values = [row.get(attribute.name) for row in rows]
        if attribute.tabled and any(value is not None for value in values):
            columns[attribute.keyword] = _column(values)
    dtype = [(name, column.dtype) for name, column in columns.items()]
    return np.rec.fromarrays(list(columns.values()), dtype=dtype)


def _column(values: list) -> np.ndarray:
    if any(isinstance(value, str) for value in values):
        return np.array(["" if value is None else str(value) for value in values])
    if None in values:
        return np.array([np.nan if value is None else float(value) for value in values])
    return np.array(values)


def union_region(corners: Sequence[np.ndarray], grid: Grid) -> str | None:
    """Return the S_REGION of a mosaic.

    Parameters
    ----------
    corners : sequence of (n, 2) arrays
        The exposures' corners in pixels of the grid; they are convex.
    grid : Grid
        The mosaic's.

    Returns
    -------
    str or None
        The union of all polygons within the frame, without its holes, counterclockwise on the
        sky (North up, East left), one POLYGON for each part; None if they all lie outside.
    """
    ny, nx = grid.shape
    frame = shapely.box(-0.5, -0.5, nx - 0.5, ny - 0.5)
    union = shapely.union_all([shapely.Polygon(each) for each in corners])
    union = union.simplify(SIMPLIFICATION).intersection(frame)
    parts = [part for part in shapely.get_parts(union) if part.area > 0]
    sign = -np.sign(np.linalg.det(grid.pc))
    outlines = [orient(part, sign).exterior.coords.xy for part in parts]
    return "  ".join(s_region(*grid.pixel_to_sky(x[:-1], y[:-1])) for x, y in outlines) or None
