"""Products on disk: mosaics (``_i2d``), and exposures that are changed.

They are written through stdatamodels, so that everything that reads JWST products reads them.
What JWST's schema has no place for stands in ``meta.snakewebb`` of the ASDF extension, and the
most telling numbers also as ``SWB_…`` keywords of the primary header.
"""

from __future__ import annotations

import io
import logging
import math
import mmap
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from astropy.io import fits
from astropy.io.fits.verify import VerifyWarning
from stdatamodels import fits_support
from stdatamodels.jwst.datamodels import CubeModel, ImageModel

from snakewebb.blend import (
    attributes,
    blend,
    exposure_totals,
    header_table,
    read_metadata,
    status_counts,
    union_region,
)
from snakewebb.errors import InputError
from snakewebb.exposure import INVALIDATED, Planes, facts, open_fits
from snakewebb.files import replacing
from snakewebb.geometry import ARCSEC, Correction, s_region
from snakewebb.grid import Grid
from snakewebb.notes import cards, history, log_statuses, noted
from snakewebb.sip import FITS_WCS
from snakewebb.wcs import corrected_wcs, grid_wcs, sip_keywords

log = logging.getLogger(__name__)

BLOCK = 2880
"""Bytes; FITS files are made of such blocks."""

VARIANCES = ("VAR_POISSON", "VAR_RNOISE", "VAR_FLAT")
ARRAYS = {
    "SCI": "data",
    "ERR": "err",
    "CON": "con",
    "WHT": "wht",
    "VAR_POISSON": "var_poisson",
    "VAR_RNOISE": "var_rnoise",
    "VAR_FLAT": "var_flat",
}
"""Planes of a mosaic and what the data model calls them."""

REFERENCE = ("v2_ref", "v3_ref", "ra_ref", "dec_ref", "roll_ref", "v3yangle", "vparity")
SIAF = ("siaf_xref_sci", "siaf_yref_sci")
"""Those that tell where a detector points, of which a mosaic has none."""


def write_changed(
    source: str | Path,
    target: str | Path,
    change: Callable[[Planes], None],
    metadata: Mapping[str, Mapping[str, Any]],
    statuses: Mapping[str, str],
    notes: Mapping[str, Any],
    *,
    correction: Correction | None,
    moving_target: bool,
    sip: Mapping[str, Any] | None,
) -> None:
    """Write an exposure with other pixels, metadata and pointing.

    Parameters
    ----------
    source, target : path
        The exposure and the product to write.
    change : callable
        See `snakewebb.flagged.rewrite`.
    metadata : mapping
        By node of ``meta``: names and values.
    statuses, correction, moving_target, sip
        See `snakewebb.flagged.write_crf`.
    notes : mapping
        For ``meta.snakewebb``.
    """
    model = open_model(source)
    if model.dq is None:
        model.dq = np.zeros(model.data.shape, np.uint32)
    known = {"DQ": model.dq, **{name: getattr(model, ARRAYS[name]) for name in INVALIDATED}}
    planes = {name: a for name, a in known.items() if np.shape(a) == model.data.shape}
    change(planes)
    for name, plane in planes.items():
        setattr(model, "dq" if name == "DQ" else ARRAYS[name], plane)
    if correction is not None:
        correct_pointing(model, correction, moving_target, sip)
    for node, values in metadata.items():
        _assign(getattr(model.meta, node), values)
    _assign(model.meta.cal_step, statuses)
    _note(model, notes, statuses)
    with replacing(target) as file, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Card is too long", VerifyWarning)
        _header_list(model, target).writeto(file)
    log_statuses(target, statuses)


def write_i2d(
    target: str | Path,
    grid: Grid,
    bands: Iterable[tuple[int, Mapping[str, np.ndarray | None]]],
    inputs: Sequence[str | Path],
    *,
    parameters: Mapping[str, Any],
    group_ids: Sequence[str] | None = None,
    report_var: bool = True,
    blendheaders: bool = True,
    asn: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write a mosaic, band by band: never more of it than a band is in memory.

    Parameters
    ----------
    target : path
        The ``_i2d`` to write.
    grid : Grid
        The mosaic's.
    bands : iterable of (start, planes)
        In row order: the first row, and arrays (rows, nx) by plane name: SCI, WHT, VAR_POISSON,
        VAR_RNOISE, VAR_FLAT, ERR; CON is (planes, rows, nx). All bands have the same planes, of
        which only SCI must be there. Without ERR, the error is the square root of the sum of the
        variances, if these are there. Names may be in small letters, so ``[(0, vars(band))]``
        serves for a `snakewebb.resample.Band`.
    inputs : sequence of paths
        The exposures in the mosaic, in order: their headers are blended.
    parameters : mapping
        Those of the resample step: ``pixfrac``, ``kernel``, ``fillval``, ``weight_type``, …
    group_ids : sequence of str, optional
        The exposures' groups: exposure times are summed once a group. By default from the
        headers.
    report_var : bool, optional
        Whether the variances are in the file.
    blendheaders : bool, optional
        Whether to blend; otherwise metadata are those of the first input, and there is no table.
    asn : mapping, optional
        ``pool_name``, ``table_name`` for ``meta.asn``.
    provenance : mapping, optional
        For ``meta.snakewebb``.

    Raises
    ------
    InputError
        An input cannot be read, the bands don't make up the grid, or hold nothing.
    """
    name = Path(target).name
    model = _mosaic_model(grid, inputs, group_ids, parameters, blendheaders, provenance)
    _assign(model.meta.asn, asn or {})
    bands = iter(bands)
    first = next(bands)
    shapes = {key: plane.shape[:-2] for key, plane in _finished(first[1], report_var).items()}
    if "ERR" not in shapes:
        # Its unit alone would bring forth an empty extension.
        model.meta.bunit_err = None
    _promise_arrays(model, {key: (*shape, *grid.shape) for key, shape in shapes.items()})
    hdus = _header_list(model, target)
    row, (ny, nx), empty = 0, grid.shape, True
    with replacing(target) as file:
        places = _write_headers(file, hdus, shapes)
        for start, planes in chain([first], bands):
            finished = _finished(planes, report_var)
            stop = row + len(finished["SCI"])
            expected = {key: (*shape, stop - row, nx) for key, shape in shapes.items()}
            if start != row or expected != {key: plane.shape for key, plane in finished.items()}:
                raise InputError(
                    f"{name}: the band at row {start} does not fit in at row {row}: "
                    "make bands in order, all with the same planes"
                )
            for key, plane in finished.items():
                _write_rows(file, places[key], plane, row, grid.shape)
            row = stop
            empty &= not np.any(finished.get("WHT", np.isfinite(finished["SCI"])))
        if empty:
            raise InputError(
                f"{name}: not one of its {len(inputs)} exposures has a usable pixel with a weight: "
                "check their SCI, DQ and VAR_RNOISE"
            )
        if row != ny:
            raise InputError(f"{name}: the bands end at row {row} of {ny}: make them all")
    log.info("%s: %d × %d pixels from %d exposures", name, nx, ny, len(inputs))


# --- metadata ------------------------------------------------------------------------------------


def open_model(path: str | Path) -> ImageModel | CubeModel:
    """Open an image or a cube as the data model it is."""
    with open_fits(path) as hdus:
        if "SCI" not in hdus:
            raise InputError(f"{path}: has no SCI extension: give a stage-2 exposure")
        kind = CubeModel if len(hdus["SCI"].shape) == 3 else ImageModel
    try:
        return kind(path)
    except (OSError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: cannot be read ({reason}): fetch the file again") from error


def _assign(node: Any, values: Mapping[str, Any]) -> None:
    """Set metadata; the data model checks them against its schema."""
    for name, value in values.items():
        setattr(node, name, value)


def correct_pointing(
    model: ImageModel, correction: Correction, moving_target: bool, sip: Mapping[str, Any] | None
) -> None:
    """Correct a model's gWCS, S_REGION and FITS WCS keywords."""
    wcsinfo = model.meta.wcsinfo
    known = {name: wcsinfo.instance.get(name) for name in (*REFERENCE, "crpix1", "crpix2")}
    wcs = corrected_wcs(model.meta.wcs, correction, known, moving_target=moving_target)
    model.meta.wcs = wcs
    wcsinfo.s_region = s_region(*wcs.footprint(center=False).T)
    _forget(wcsinfo, FITS_WCS)
    if sip is not None:
        keywords = {key.lower(): value for key, value in sip_keywords(wcs, known, **sip).items()}
        # Not as attributes: the schema would be gone through for each of a hundred numbers.
        wcsinfo.instance.update((name, keywords[name]) for name in FITS_WCS if name in keywords)


def _forget(node: Any, names: Iterable[str]) -> None:
    for name in names:
        node.instance.pop(name, None)


def _assign_keywords(model: ImageModel, header: Mapping[str, Any]) -> None:
    """Set metadata that belong in the header of SCI by their keywords."""
    names = {a.keyword: a.name for a in attributes() if a.hdu == "SCI"}
    for keyword, value in header.items():
        if keyword in names:
            model[names[keyword]] = value


def _note(model: ImageModel, notes: dict[str, Any], statuses: Mapping[str, str]) -> None:
    """Keep our own metadata, and a few of them as keywords and history of the FITS header."""
    model.meta.snakewebb = notes
    extra = model.instance.setdefault("extra_fits", {}).setdefault("PRIMARY", {})
    extra.setdefault("header", []).extend(cards(notes))
    for entry in history(notes, statuses):
        model.add_history_entry(entry)


def _mosaic_model(
    grid: Grid,
    inputs: Sequence[str | Path],
    group_ids: Sequence[str] | None,
    parameters: Mapping[str, Any],
    blendheaders: bool,
    provenance: Mapping[str, Any] | None,
) -> ImageModel:
    """Return a mosaic without pixels."""
    rows = [read_metadata(path) for path in inputs]
    model = ImageModel()
    with open_model(inputs[0]) as first:
        model.update(first)
    values = blend(rows) if blendheaders else {}
    values |= exposure_totals(rows, group_ids or [facts(path)["group_id"] for path in inputs])
    for name, value in values.items():
        model[name] = value
    names = ("pixfrac", "kernel", "fillval", "weight_type")
    _assign(model.meta.resample, {name: parameters[name] for name in names})
    model.meta.resample.pixel_scale_ratio = grid.pixel_scale_ratio
    model.meta.photometry.pixelarea_steradians = grid.pixel_area
    model.meta.photometry.pixelarea_arcsecsq = grid.pixel_area * ARCSEC**2
    model.meta.cal_step.resample = "COMPLETE"
    _forget(model.meta.background, ("level", "subtracted"))
    model.meta.wcs = grid_wcs(grid)
    wcsinfo = model.meta.wcsinfo
    _forget(wcsinfo, (*FITS_WCS, *REFERENCE, *SIAF))
    _assign_keywords(model, grid_keywords(grid))
    wcsinfo.s_region = union_region(
        [row[name] for row in rows if (name := "meta.wcsinfo.s_region") in row], grid
    )
    notes = {**(provenance or {}), "resample": parameters, "statuses": status_counts(rows)}
    _note(model, noted(notes), {})
    if blendheaders:
        _add_table(model, header_table(rows))
    return model


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


def _add_table(model: ImageModel, table: np.ndarray) -> None:
    """Add the extension HDRTAB."""
    kinds = {name: table.dtype[name] for name in table.dtype.names}
    columns = [
        {
            "name": name,
            "datatype": ["ascii", kind.itemsize // 4] if kind.kind == "U" else str(kind),
        }
        for name, kind in kinds.items()
    ]
    schema = {"title": "Header keywords of the inputs", "fits_hdu": "HDRTAB", "datatype": columns}
    model.add_schema_entry("hdrtab", schema)
    model.hdrtab = table


# --- files ---------------------------------------------------------------------------------------


def _header_list(model: ImageModel | CubeModel, target: str | Path) -> fits.HDUList:
    """Return a model in FITS form, ready to be written as `target`."""
    model.meta.filename = Path(target).name
    model.on_save(None)
    return fits_support.to_fits(model.instance, model.schema)


def _promise_arrays(model: ImageModel, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Give a model arrays of zeros that take no memory, to be written by someone else.

    Memory of the system that nobody may write to is neither allocated nor accounted for.
    """
    size = 4 * max(math.prod(shape) for shape in shapes.values())
    nothing = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=mmap.PROT_READ)
    for name, shape in shapes.items():
        dtype = np.int32 if name == "CON" else np.float32
        array = np.frombuffer(nothing, dtype, math.prod(shape)).reshape(shape)
        setattr(model, ARRAYS[name], array)


def _write_headers(file: BinaryIO, hdus: fits.HDUList, names: Iterable[str]) -> dict[str, int]:
    """Write everything but the pixels of some extensions, and return where these belong."""
    places = {}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Card is too long", VerifyWarning)
        others = io.BytesIO()
        fits.HDUList([hdu for hdu in hdus if hdu.name not in names]).writeto(others)
        end = len(hdus[0].header.tostring())
        file.write(others.getvalue()[:end])
        for hdu in (hdus[name] for name in names):
            file.write(hdu.header.tostring().encode("ascii"))
            places[hdu.name] = file.tell()
            file.seek(-(-hdu.size // BLOCK) * BLOCK, io.SEEK_CUR)
        file.write(others.getvalue()[end:])
    return places


def _write_rows(
    file: BinaryIO, place: int, plane: np.ndarray, row: int, shape: tuple[int, int]
) -> None:
    """Write rows of an image, or of each image of a cube, where they belong."""
    ny, nx = shape
    images = np.ascontiguousarray(plane, plane.dtype.newbyteorder(">"))
    count = math.prod(plane.shape[:-2])
    for index, rows in enumerate(images.reshape(count, *plane.shape[-2:])):
        file.seek(place + 4 * nx * (index * ny + row))
        file.write(rows.view(np.uint8))


def _finished(planes: Mapping[str, np.ndarray | None], report_var: bool) -> dict[str, np.ndarray]:
    """Return a band's planes as they are in the file, in its order."""
    known = {name.upper(): plane for name, plane in planes.items() if plane is not None}
    variances = [known[name] for name in VARIANCES if name in known]
    if variances and "ERR" not in known:
        known["ERR"] = _error(variances)
    if not report_var:
        known = {name: plane for name, plane in known.items() if name not in VARIANCES}
    return {
        name: known[name].astype(np.int32 if name == "CON" else np.float32, copy=False)
        for name in ARRAYS
        if name in known
    }


def _error(variances: Sequence[np.ndarray]) -> np.ndarray:
    """Return the error of a mosaic: NaN only where all variances are."""
    total = np.full(variances[0].shape, np.nan, np.float32)
    for variance in variances:
        np.add(np.nan_to_num(total), variance, out=total, where=~np.isnan(variance))
    return np.sqrt(total)
