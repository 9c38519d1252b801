"""Pixels and keywords of an exposure, read lightly.

Only astropy's FITS reader is imported here, since every job pays for its imports. Products are
written in :mod:`snakewebb.products.exposure_file` and :mod:`snakewebb.products.mosaic_file`.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from io import BufferedIOBase
from pathlib import Path

import numpy as np
from astropy.io import fits

from snakewebb.errors import InputError
from snakewebb.io.dq import DO_NOT_USE
from snakewebb.io.fits_structure import (
    Unit,
    find,
    is_packed,
    open_unpacked,
    read_tree,
    structure,
    version,
)
from snakewebb.io.headers import check_cards, exposure_header

log = logging.getLogger(__name__)

PLANES = {
    "SCI": np.float32,
    "ERR": np.float32,
    "DQ": np.uint32,
    "AREA": np.float32,
    "VAR_POISSON": np.float32,
    "VAR_RNOISE": np.float32,
    "VAR_FLAT": np.float32,
}
VARIANCES = ("VAR_POISSON", "VAR_RNOISE", "VAR_FLAT")
ERRORS = ("ERR", *VARIANCES)
INVALIDATED = ("SCI", *ERRORS)
DISPENSABLE = ("AREA", *VARIANCES)
"""Planes that are left out if they do not fit to SCI, as if they were not there."""

NAMED = re.compile(rb"source: ['\"]?fits:([^,'\"\s]+),(\d+)")
"""What an ASDF tree calls another extension of its file by."""

Planes = dict[str, np.ndarray | None]


@contextmanager
def open_fits(path: str | Path) -> Iterator[fits.HDUList]:
    """Open a FITS file for reading, or say in one line why it can't be read.

    All headers are walked through, none of the data.
    """
    structure(path)
    with open_unpacked(path) as file:
        try:
            hdus = fits.open(file, memmap=False, lazy_load_hdus=False)
        except Exception as error:  # what astropy makes of broken headers is of many kinds
            raise InputError(f"{path}: {_reason(error)}: fetch it again") from error
        try:
            with hdus:
                yield hdus
        except (fits.VerifyError, OSError) as error:
            raise InputError(f"{path}: {_reason(error)}: fetch it again") from error


def _reason(error: Exception) -> str:
    lines = str(error).splitlines() or [repr(error)]
    return f"cannot be read ({lines[0].partition(',')[0]:.80})"


def read_planes(
    path: str | Path, names: Sequence[str] = tuple(PLANES), rows: slice = slice(None)
) -> Planes:
    """Read planes of an exposure, or some rows of them.

    Parameters
    ----------
    path : path
        A stage-2 exposure, FITS; 2-D images, or cubes of which whole planes are read.
    names : sequence of str
        Extension names out of ``PLANES``.
    rows : slice, optional
        Rows (the last but one axis) to read; only their bytes are, where they are plainly the
        pixels.

    Returns
    -------
    dict
        Native, C-contiguous array by name; None where the file has no such extension or an
        empty one, one of ``DISPENSABLE`` that does not fit to SCI, or errors that are none (see
        `left_out`).

    Raises
    ------
    InputError
        The file is no FITS file, is cut short, has no SCI, or ERR or DQ of another shape than
        SCI, or DQ holds what are no flags.
    """
    places, _ = _places(str(path), version(path))
    wanted = {name: places[name] for name in names if has_plane(path, name)}
    planes: Planes = dict.fromkeys(names)
    for name, pixels in zip(wanted, _pixels(path, list(wanted.values()), rows), strict=True):
        planes[name] = _flags(pixels, path) if name == "DQ" else _floats(pixels)
    return planes


def map_plane(path: str | Path, name: str) -> np.ndarray:
    """Return a plane of which few pixels are needed, without reading all that are plainly pixels.

    Parameters
    ----------
    path : path
    name : str
        One that the file has, see `has_plane`, of numbers.
    """
    unit = _places(str(path), version(path))[0][name]
    if unit.dtype is None or is_packed(path):
        return read_planes(path, (name,))[name]
    return np.memmap(path, unit.dtype, "r", unit.start, unit.shape)


def read_measured(path: str | Path) -> Planes:
    """Read SCI, ERR and DQ of an exposure; without ERR it is what the variances amount to.

    ERR is None if there are no variances either, DQ if there are no flags.
    """
    planes = read_planes(path, ("SCI", "ERR", "DQ"))
    if planes["ERR"] is None:
        planes["ERR"] = total_error(read_planes(path, VARIANCES))
    return planes


def total_error(planes: Planes) -> np.ndarray | None:
    """Return what the variances of an exposure amount to; None if that is no error."""
    variances = [planes[name] for name in VARIANCES if planes.get(name) is not None]
    # One that is negative says nothing of its pixel: 0, not NaN, which would be taken for bad.
    err = np.sqrt(np.maximum(sum(variances), 0.0)) if variances else np.zeros(1)
    return err if (err > 0).any() else None


def read_pixels(path: str | Path, unit: Unit, rows: slice = slice(None)) -> np.ndarray:
    """Read rows of each image of a unit, as they are stored but native.

    Parameters
    ----------
    path : path
    unit : Unit
        An image, from `snakewebb.io.fits_structure`.
    rows : slice, optional

    Raises
    ------
    InputError
        They cannot be read.
    """
    (pixels,) = _pixels(path, [unit], rows)
    return pixels


def fill_rows(
    path: str | Path, units: Sequence[Unit], start: int, planes: Sequence[np.ndarray]
) -> None:
    """Fill arrays with whole rows of images, from a row on.

    Parameters
    ----------
    path : path
    units, planes : sequences of Unit, of (rows, nx) float32
        2-D images, and what is filled with rows of each.
    start : int

    Raises
    ------
    InputError
        They cannot be read.
    """
    with open(path, "rb") as file, np.errstate(over="ignore"):
        for unit, plane in zip(units, planes, strict=True):
            if unit.dtype != ">f4":
                plane[:] = read_pixels(path, unit, slice(start, start + len(plane)))
                continue
            _read_into(plane, file, unit, start * unit.shape[-1])


def _pixels(path: str | Path, units: Sequence[Unit], rows: slice) -> Iterator[np.ndarray]:
    """Read units one after the other: their bytes, or through astropy where these are no pixels."""
    plain = all(unit.dtype for unit in units)
    with open_unpacked(path) if plain else open_fits(path) as file:
        for unit in units:
            yield _read_rows(file, unit, rows) if plain else _read_section(file, unit, rows, path)


def check_exposure(path: str | Path) -> None:
    """Check an exposure before any work is done with it, by its headers alone.

    Needed is SCI. Without ERR nor variances outliers are not looked for, without DQ all pixels are
    good. What else is missing or does not fit, as far as headers say, is told as a warning.

    Parameters
    ----------
    path : path
        A stage-2 exposure.

    Raises
    ------
    InputError
        See `read_planes` and `snakewebb.io.headers.exposure_header`; or a card cannot be read.
    """
    reasons = _unfit(path)
    exposure_header(path)
    check_cards(path)
    if reasons:
        log.warning("%s: %s: done without", path, "; ".join(reasons))


def left_out(path: str | Path) -> list[str]:
    """Return what of an exposure is not used, and why.

    Dispensable are AREA and variances of another shape than SCI, extensions that are named in the
    ASDF tree but not there, and errors and variances that hold no number (ERR and VAR_RNOISE: none
    above 0), which programs write that know none.
    """
    blank = sorted(misfits(path) - set(_places(str(path), version(path))[1]))
    return [*_unfit(path), *(f"{name} holds no error" for name in blank)]


def _unfit(path: str | Path) -> list[str]:
    """Return what headers tell of `left_out`."""
    reasons = [*_places(str(path), version(path))[1].values()]
    if lost := lost_extensions(path):
        reasons.append(f"{', '.join(name for name, _ in lost)}: in the ASDF tree, but not there")
    return reasons


def misfits(path: str | Path) -> set[str]:
    """Return which planes of a file do not fit to its SCI, or are errors that are none."""
    places, unfit = _places(str(path), version(path))
    return {*unfit, *(name for name in places if not has_plane(path, name))}


def has_plane(path: str | Path, name: str) -> bool:
    """Return whether a file has a plane of which something can be used; see `left_out`."""
    key = str(path), version(path)
    least = 0.0 if name in ("ERR", "VAR_RNOISE") else -math.inf
    return name in _places(*key)[0] and not (name in ERRORS and _is_blank(*key, name, least))


def has_error(path: str | Path) -> bool:
    """Return whether some error or variance of a file is above 0."""
    key = str(path), version(path)
    return any(name in _places(*key)[0] and not _is_blank(*key, name, 0.0) for name in ERRORS)


def image_shape(path: str | Path) -> tuple[int, ...]:
    """Return the shape of an exposure's image, (ny, nx), or of its cube of images.

    Raises
    ------
    InputError
        See `read_planes`.
    """
    return _places(str(path), version(path))[0]["SCI"].shape


def lost_extensions(path: str | Path) -> list[tuple[str, int]]:
    """Return name and version of extensions that a file lacks though its ASDF tree names them."""
    there = {(unit.name, unit.version) for unit in structure(path)}
    named = NAMED.findall(read_tree(path))
    return sorted({(name.decode("ascii", "replace"), int(v)) for name, v in named} - there)


@lru_cache(maxsize=5000)
def _is_blank(path: str, version: tuple[int, int], name: str, least: float) -> bool:
    """Return whether no error or variance is above something, though pixels are there for it."""
    places, _ = _places(path, version)
    unit = places[name]
    if _most_in_the_middle(path, version)[name] > least:
        return False
    pixels, image = _pixels(path, [unit, places["SCI"]], slice(None))
    return _most(pixels) <= least and bool(np.isfinite(image).any())


@lru_cache(maxsize=1000)
def _most_in_the_middle(path: str, version: tuple[int, int]) -> dict[str, float]:
    """Return the greatest error and variances of a row, which mostly settles what a plane holds."""
    places, _ = _places(path, version)
    names = [name for name in ERRORS if name in places]
    middle = places["SCI"].shape[-2] // 2
    rows = _pixels(path, [places[name] for name in names], slice(middle, middle + 1))
    return {name: _most(pixels) for name, pixels in zip(names, rows, strict=True)}


def _most(pixels: np.ndarray) -> float:
    """Return the greatest finite number; minus infinity if there is none."""
    return float(np.max(pixels, where=np.isfinite(pixels), initial=-math.inf))


@lru_cache(maxsize=1000)
def _places(path: str, version: tuple[int, int]) -> tuple[dict[str, Unit], dict[str, str]]:
    """Return where the planes of a file are, and why some are not used, by name.

    A job that reads files band by band would otherwise spend as much on headers as on pixels.
    """
    image = find(path, "SCI")
    if image is None:
        raise InputError(f"{path}: has no SCI extension: give a stage-2 exposure")
    if len(image.shape) not in (2, 3):
        raise InputError(f"{path}: SCI has shape {image.shape}: give an image or a cube of them")
    places, misfits = {}, {}
    for name in PLANES:
        unit = find(path, name)
        if unit is None or not unit.shape:
            continue
        expected = image.shape[-2:] if name == "AREA" else image.shape
        if unit.shape == expected:
            places[name] = unit
            continue
        reason = f"{name} has shape {unit.shape} but SCI {image.shape}"
        if name not in DISPENSABLE:
            raise InputError(f"{path}: {reason}: fetch the file again")
        misfits[name] = reason
    return places, misfits


def _read_rows(file: BufferedIOBase, unit: Unit, rows: slice) -> np.ndarray:
    """Read rows of each image of a unit whose bytes are its pixels."""
    *images, height, width = unit.shape
    start, stop, _ = rows.indices(height)
    dtype = np.dtype(unit.dtype)
    data = np.empty((math.prod(images), max(stop - start, 0), width), dtype.newbyteorder("="))
    for index, image in enumerate(data):
        _read_into(image, file, unit, (index * height + start) * width)
    if unit.dtype == ">u4":
        data ^= dtype.type(2**31)
    return data.reshape(*images, *data.shape[1:])


def _read_into(rows: np.ndarray, file: BufferedIOBase, unit: Unit, first: int) -> None:
    """Fill native rows with a unit's pixels from the first on, counted over all images."""
    file.seek(unit.start + first * rows.itemsize)
    if file.readinto(rows.data) != rows.nbytes:
        raise InputError(f"{unit.name}: is cut short: fetch the file again")
    # In place: memory that is touched for the first time costs more than the work on it.
    if not np.dtype(unit.dtype).isnative:
        rows.byteswap(inplace=True)


def _read_section(hdus: fits.HDUList, unit: Unit, rows: slice, path: str | Path) -> np.ndarray:
    """Read rows of each image of a unit, however it is stored."""
    try:
        section = hdus[unit.name].section
        return np.asarray(section[(..., rows, slice(None)) if len(unit.shape) > 2 else rows])
    except Exception as error:  # broken tiles, scales that are no numbers, …
        raise InputError(f"{path}: {unit.name} {_reason(error)}: fetch the file again") from error


def _floats(plane: np.ndarray) -> np.ndarray:
    """Return a plane of numbers, float32; those beyond it are infinite."""
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(plane, np.float32)


def _flags(plane: np.ndarray, path: str | Path) -> np.ndarray:
    """Return a plane of flags, uint32, if it was stored as what holds the same numbers."""
    if plane.dtype not in (np.uint32, np.int32):  # signed ones have the same bits
        with np.errstate(invalid="ignore"):
            wrong = plane[~((plane >= 0) & (plane < 2**32) & (plane % 1 == 0))]
        if wrong.size:
            raise InputError(
                f"{path}: DQ holds {wrong.flat[0]}, no sum of flags: give whole numbers"
            )
    return np.ascontiguousarray(plane, np.uint32)


def invalidate(planes: Planes) -> None:
    """Make NaN and the DQ flag DO_NOT_USE agree, in place.

    A pixel that is NaN in SCI, ERR or a variance, infinite in SCI, or flagged DO_NOT_USE, becomes
    both: NaN in all of them and flagged. Only planes that are there take part.
    """
    floats = [planes[name] for name in INVALIDATED if planes.get(name) is not None]
    dq = planes.get("DQ")
    bad = np.zeros(floats[0].shape, bool) if dq is None else (dq & DO_NOT_USE) != 0
    for plane in floats:
        bad |= ~np.isfinite(plane) if plane is planes.get("SCI") else np.isnan(plane)
    places = np.flatnonzero(bad)  # mostly few: a mask would be looked through for each plane
    for plane in floats:
        np.put(plane, places, np.nan)
    if dq is not None:
        np.put(dq, places, dq.take(places) | DO_NOT_USE)
