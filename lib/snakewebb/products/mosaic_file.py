"""Mosaics on disk: ``_i2d``.

Such a file is what stdatamodels would write of an ``ImageModel``, so that everything that reads
JWST products reads it. stdatamodels and gwcs would take longer to import than most mosaics take to
drizzle, so headers, table and ASDF tree are put together here. What JWST's schema has no place for
stands in ``meta.snakewebb`` of the tree, and the version of snakewebb also in the primary header.
"""

from __future__ import annotations

import io
import logging
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from astropy.io import fits
from astropy.io.fits.verify import VerifyWarning

from snakewebb.errors import InputError
from snakewebb.io import schema_table
from snakewebb.io.asdf_tree import AsdfTree, created, extension, fits_array, fits_hash
from snakewebb.io.atomic import BLOCK, replacing
from snakewebb.io.checksums import add, make_room, seal
from snakewebb.io.fits_structure import read_tree
from snakewebb.io.fits_table import table_hdu
from snakewebb.io.names import exposure_suffix
from snakewebb.io.noise_correlation import NAME as NOISE_CORR
from snakewebb.io.noise_correlation import NoiseCorrelation
from snakewebb.io.provenance import ORIGIN, cards, date, noted, plain
from snakewebb.io.schema import attributes
from snakewebb.products.blend import (
    blend,
    exposure_totals,
    header_table,
    read_metadata,
    status_counts,
    union_region,
)
from snakewebb.products.input_quality import input_quality
from snakewebb.products.stored_pixels import stored_pieces
from snakewebb.wcs.grid import Grid
from snakewebb.wcs.gwcs_yaml import grid_wcs
from snakewebb.wcs.layout import Layout
from snakewebb.wcs.sip import FITS_WCS
from snakewebb.wcs.sphere import ARCSEC

log = logging.getLogger(__name__)

VARIANCES = ("VAR_POISSON", "VAR_RNOISE", "VAR_FLAT")
ARRAYS = {
    "SCI": "data",
    "ERR": "err",
    "CON": "con",
    "WHT": "wht",
    "VAR_POISSON": "var_poisson",
    "VAR_RNOISE": "var_rnoise",
    "VAR_FLAT": "var_flat",
    "VAR_PIXEL": "extra_fits.VAR_PIXEL.data",
    NOISE_CORR: f"extra_fits.{NOISE_CORR}.data",
}
"""Planes of a mosaic and what the data model calls them."""

OF_DETECTORS: tuple[str, ...] = ("v2_ref", "v3_ref", "ra_ref", "dec_ref", "roll_ref", "v3yangle")
OF_DETECTORS += ("vparity", "siaf_xref_sci", "siaf_yref_sci")
"""Those of ``meta.wcsinfo`` that tell where a detector points, of which a mosaic has none."""


@dataclass(frozen=True, kw_only=True)
class FileOptions:
    """What a mosaic's file holds, after jwst's ``resample``.

    Attributes
    ----------
    report_var : bool
        Whether VAR_RNOISE, VAR_POISSON and VAR_FLAT are in it.
    report_noise : bool
        Whether VAR_PIXEL and NOISE_CORR are.
    blendheaders : bool
        Whether the metadata of all exposures are blended; otherwise they are those of the first
        one, and there is no table.
    """

    report_var: bool = True
    report_noise: bool = True
    blendheaders: bool = True


def write_i2d(
    target: str | Path,
    layout: Layout,
    bands: Iterable[tuple[int, Mapping[str, np.ndarray | None]]],
    inputs: Sequence[str | Path],
    how: FileOptions = FileOptions(),
    *,
    parameters: Mapping[str, Any],
    correlation: NoiseCorrelation | None = None,
    asn: Mapping[str, Any] | None = None,
) -> None:
    """Write a mosaic, band by band: never more of it than a band is in memory.

    Parameters
    ----------
    target : path
        The ``_i2d`` to write.
    layout : Layout
        The mosaic's grid and where its exposures lie on it, for S_REGION. Exposure times are summed
        once a group.
    bands : iterable of (start, planes)
        In row order: the first row, and arrays (rows, nx) by plane name: SCI, WHT, VAR_POISSON,
        VAR_RNOISE, VAR_FLAT, VAR_PIXEL, ERR; CON is (planes, rows, nx). All bands have the same
        planes, of which only SCI must be there. Without ERR, the error is the square root of the
        sum of VAR_POISSON, VAR_RNOISE and VAR_FLAT, if these are there. Names may be in small
        letters, so ``[(0, vars(band))]`` serves for a `snakewebb.mosaicking.resample.Band`.
    inputs : sequence of paths
        The exposures in the mosaic, in the order of the layout: their headers are blended.
    how : FileOptions, optional
    parameters : mapping
        Those of the resample step: ``pixfrac``, ``kernel``, ``fillval``, ``weight_type``, …
    correlation : NoiseCorrelation, optional
        Of the pixels' noise.
    asn : mapping, optional
        ``pool_name``, ``table_name`` for ``meta.asn``.

    Raises
    ------
    InputError
        An input cannot be read, the bands don't make up the grid, or hold nothing.
    """
    name, grid = Path(target).name, layout.grid
    rows = [read_metadata(path) for path in inputs]
    values = _metadata(name, layout, rows, parameters, how.blendheaders)
    values |= {f"meta.asn.{key}": value for key, value in (asn or {}).items()}
    notes = {"resample": parameters, "statuses": status_counts(rows)}
    if exposure_suffix(inputs[0]) == "crf":
        notes["quality"] = input_quality(inputs)
    tree = plain(values | {"cal_logs": _logs(inputs[0])})
    tree |= {"meta.snakewebb": noted(notes), "meta.wcs": grid_wcs(grid)}
    table = header_table(rows) if how.blendheaders else None
    bands = iter(bands)
    first = next(bands)
    planes = {key: plane.shape[:-2] for key, plane in _finished(first[1], how).items()}
    shapes = {key: (*shape, *grid.shape) for key, shape in planes.items()}
    if "ERR" not in shapes:
        tree.pop("meta.bunit_err", None)
    if not (how.report_noise and "VAR_PIXEL" in shapes):
        correlation = None
    head, tail = _frame(tree, shapes, table, correlation)
    row, (ny, nx), empty = 0, grid.shape, True
    with replacing(target) as file:
        places = _reserve(file, head, shapes)
        file.write(tail)
        sums = dict.fromkeys(places.values(), 0)
        for start, band in chain([first], bands):
            finished = _finished(band, how)
            stop = row + len(finished["SCI"])
            expected = {key: (*shape, stop - row, nx) for key, shape in planes.items()}
            if start != row or expected != {key: plane.shape for key, plane in finished.items()}:
                raise InputError(
                    f"{name}: the band at row {start} does not fit in at row {row}: "
                    "make bands in order, all with the same planes"
                )
            for key, plane in finished.items():
                total = _write_rows(file, places[key], plane, row, grid.shape)
                sums[places[key]] = add(sums[places[key]], total)
            row = stop
            empty &= not np.any(finished.get("WHT", np.isfinite(finished["SCI"])))
        if empty:
            raise InputError(
                f"{name}: not one of its {len(inputs)} exposures has a usable pixel with a weight: "
                "check their SCI, DQ and VAR_RNOISE"
            )
        if row != ny:
            raise InputError(f"{name}: the bands end at row {row} of {ny}: make them all")
        seal(file, sums)
    log.info("%s: %d × %d pixels from %d exposures", name, nx, ny, len(inputs))


# --- metadata ------------------------------------------------------------------------------------


def _metadata(
    name: str,
    layout: Layout,
    rows: Sequence[Mapping[str, Any]],
    parameters: Mapping[str, Any],
    blendheaders: bool,
) -> dict[str, Any]:
    """Return what JWST's schema says of a mosaic, by dotted path; None for what is not known."""
    grid, placements = layout.grid, layout.placements.values()
    values = blend(rows if blendheaders else rows[:1])
    values |= exposure_totals(rows, [placement.group for placement in placements])
    forgotten = {f"meta.wcsinfo.{key}" for key in (*FITS_WCS, *OF_DETECTORS)}
    forgotten |= {"meta.background.level", "meta.background.subtracted"}
    values = {key: value for key, value in values.items() if key not in forgotten}
    names = {a.keyword: a.name for a in attributes() if a.hdu == "SCI"}
    values |= {names[keyword]: value for keyword, value in grid_keywords(grid).items()}
    resample = {key: parameters[key] for key in ("pixfrac", "kernel", "fillval", "weight_type")}
    return {
        **values,
        **{f"meta.resample.{key}": value for key, value in resample.items()},
        "meta.wcsinfo.s_region": union_region([each.corners for each in placements], grid),
        "meta.resample.pixel_scale_ratio": grid.pixel_scale_ratio,
        "meta.photometry.pixelarea_steradians": grid.pixel_area,
        "meta.photometry.pixelarea_arcsecsq": grid.pixel_area * ARCSEC**2,
        "meta.cal_step.resample": "COMPLETE",
        "meta.filename": name,
        "meta.date": date(),
        "meta.origin": ORIGIN,
        "meta.model_type": "ImageModel",
    }


def grid_keywords(grid: Grid) -> dict[str, Any]:
    """Return the FITS WCS keywords of a mosaic's grid."""
    (pc11, pc12), (pc21, pc22) = grid.pc
    return {
        "WCSAXES": 2,
        "CRPIX1": grid.crpix[0] + 1,
        "CRPIX2": grid.crpix[1] + 1,
        "CRVAL1": grid.crval[0],
        "CRVAL2": grid.crval[1],
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CUNIT1": "deg",
        "CUNIT2": "deg",
        "CDELT1": grid.cdelt,
        "CDELT2": grid.cdelt,
        "PC1_1": pc11,
        "PC1_2": pc12,
        "PC2_1": pc21,
        "PC2_2": pc22,
        "RADESYS": "ICRS",
    }


def _logs(path: str | Path) -> Any:
    """Return the logs of the earlier stages that an exposure may have in its ASDF tree."""
    tree = read_tree(path)
    try:
        return AsdfTree(tree).value("cal_logs") if b"\ncal_logs:" in tree else None
    except ValueError as error:
        raise InputError(f"{path}: its ASDF tree cannot be read: fetch it again") from error


# --- files ---------------------------------------------------------------------------------------


def _frame(
    tree: Mapping[str, Any],
    shapes: Mapping[str, tuple[int, ...]],
    table: np.ndarray | None,
    correlation: NoiseCorrelation | None,
) -> tuple[dict[str, bytes], bytes]:
    """Return headers by name, the primary one and those of planes, and what follows the planes."""
    own, contents = cards(tree["meta.snakewebb"]), {}
    headers = {"PRIMARY": _primary_header()}
    headers |= {name: _image_header(name, shape) for name, shape in shapes.items()}
    _add_metadata(headers, tree)
    for card in own:
        headers["PRIMARY"].append(tuple(card), end=True)
    for name in shapes:
        if not ARRAYS[name].startswith("extra_fits"):
            headers[name].append(("EXTVER", 1, "extension value"), end=True)
    tree = {**tree, "extra_fits.PRIMARY.header": own}
    if correlation is not None:
        shapes = {**shapes, NOISE_CORR: correlation.kernels.shape}
        headers[NOISE_CORR] = _image_header(NOISE_CORR, correlation.kernels.shape)
        for card in correlation.cards():
            headers[NOISE_CORR].append(tuple(card), end=True)
        tree[f"extra_fits.{NOISE_CORR}.header"] = correlation.cards()
        contents[NOISE_CORR] = correlation.kernels.astype(">f4").tobytes()
    tree |= {ARRAYS[name]: fits_array(name, _dtype(name), shape) for name, shape in shapes.items()}
    if table is not None:
        headers["HDRTAB"], contents["HDRTAB"] = table_hdu("HDRTAB", table)
        tree["hdrtab"] = fits_array("HDRTAB", table.dtype, table.shape)
    make_room(headers.values())
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Card is too long", VerifyWarning)
        texts = {name: header.tostring() for name, header in headers.items()}
    tree["_fits_hash"] = fits_hash(texts.values())
    head = {name: text.encode("ascii") for name, text in texts.items()}
    tail = [head.pop(n) + content + bytes(-len(content) % BLOCK) for n, content in contents.items()]
    return head, b"".join((*tail, extension(created(tree))))


def _add_metadata(headers: Mapping[str, fits.Header], metadata: Mapping[str, Any]) -> None:
    """Put metadata in the headers where they belong, under the headings of their sections."""
    headings = dict(line.split(" ", 1) for line in schema_table.SECTIONS.strip().splitlines())
    for attribute in attributes():
        if attribute.name not in metadata:
            continue
        header, section = headers[attribute.hdu], attribute.name.split(".")[1]
        if section in headings:
            for line in ("", headings.pop(section), ""):
                header.append((" ", line), end=True)
        card = attribute.keyword, metadata[attribute.name], attribute.comment
        header.append(card, end=True)


def _primary_header() -> fits.Header:
    return fits.Header(
        [
            ("SIMPLE", True, "conforms to FITS standard"),
            ("BITPIX", 8, "array data type"),
            ("NAXIS", 0, "number of array dimensions"),
            ("EXTEND", True),
        ]
    )


def _image_header(name: str, shape: tuple[int, ...]) -> fits.Header:
    axes = [(f"NAXIS{axis + 1}", length) for axis, length in enumerate(shape[::-1])]
    return fits.Header(
        [
            ("XTENSION", "IMAGE", "Image extension"),
            ("BITPIX", 32 if name == "CON" else -32, "array data type"),
            ("NAXIS", len(shape), "number of array dimensions"),
            *axes,
            ("PCOUNT", 0, "number of parameters"),
            ("GCOUNT", 1, "number of groups"),
            ("EXTNAME", name, "extension name"),
        ]
    )


def _dtype(name: str) -> np.dtype:
    return np.dtype(np.int32 if name == "CON" else np.float32)


def _reserve(
    file: BinaryIO, head: Mapping[str, bytes], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, int]:
    """Write headers, leave room for the pixels, and return where these belong."""
    places = {}
    for name, header in head.items():
        file.write(header)
        if name in shapes:
            places[name] = file.tell()
            size = 4 * math.prod(shapes[name])
            file.seek(-(-size // BLOCK) * BLOCK, io.SEEK_CUR)
    return places


def _write_rows(
    file: BinaryIO, place: int, plane: np.ndarray, row: int, shape: tuple[int, int]
) -> int:
    """Write rows of an image, or of each image of a cube, where they belong; return their sum."""
    (ny, nx), total = shape, 0
    count = math.prod(plane.shape[:-2])
    images = np.ascontiguousarray(plane).reshape(count, *plane.shape[-2:])
    for index, rows in enumerate(images):
        file.seek(place + 4 * nx * (index * ny + row))
        for data, part in stored_pieces(rows):
            file.write(data)
            total += part
    return total


def _finished(planes: Mapping[str, np.ndarray | None], how: FileOptions) -> dict[str, np.ndarray]:
    """Return a band's planes as they are in the file, in its order."""
    known = {name.upper(): plane for name, plane in planes.items() if plane is not None}
    variances = [known[name] for name in VARIANCES if name in known]
    if variances and "ERR" not in known:
        known["ERR"] = _error(variances)
    left_out = VARIANCES if not how.report_var else ()
    if not how.report_noise:
        left_out = (*left_out, "VAR_PIXEL")
    known = {name: plane for name, plane in known.items() if name not in left_out}
    return {n: known[n].astype(_dtype(n), copy=False) for n in ARRAYS if n in known}


def _error(variances: Sequence[np.ndarray]) -> np.ndarray:
    """Return the error of a mosaic: NaN only where all variances are."""
    total, known = np.zeros(variances[0].shape, np.float32), np.zeros(variances[0].shape, bool)
    for variance in variances:
        good = ~np.isnan(variance)
        total += np.where(good, variance, np.float32(0))
        known |= good
    np.sqrt(total, out=total)
    total[~known] = np.nan
    return total
