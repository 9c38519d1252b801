"""Pixels and keywords of an exposure, read lightly.

Only astropy's FITS reader is imported here, since every job pays for its imports. Products are
written in :mod:`snakewebb.flagged` and :mod:`snakewebb.i2d`.
"""

import math
import os
import warnings
from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import yaml
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning

from snakewebb.dq import DO_NOT_USE
from snakewebb.errors import InputError

PLANES = {
    "SCI": np.float32,
    "ERR": np.float32,
    "DQ": np.uint32,
    "AREA": np.float32,
    "VAR_POISSON": np.float32,
    "VAR_RNOISE": np.float32,
    "VAR_FLAT": np.float32,
}
INVALIDATED = ("SCI", "ERR", "VAR_POISSON", "VAR_RNOISE", "VAR_FLAT")

ENOUGH = 1_000_000
"""The mean weight of so many pixels is right to 0.1 %."""

Planes = dict[str, np.ndarray | None]


class _Place(NamedTuple):
    """Where the pixels of a plane are in a file.

    ``dtype`` is how a pixel is stored; None if in a way that only astropy knows.
    """

    start: int
    shape: tuple[int, ...]
    dtype: str | None


_STORED = {(-32, 0): ">f4", (32, 2**31): ">u4"}
"""By BITPIX and BZERO. FITS knows no unsigned integers: they are stored less BZERO."""


@contextmanager
def open_fits(path: str | Path) -> Iterator[fits.HDUList]:
    """Open a FITS file for reading, or say in one line why it can't be read."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "File may have been truncated", AstropyUserWarning)
        try:
            with (
                open(path, "rb") as file,
                fits.open(file, memmap=False, lazy_load_hdus=True) as hdus,
            ):
                yield hdus
        except FileNotFoundError:
            raise InputError(f"{path}: there is no such file: check its folder") from None
        except AstropyUserWarning as error:
            raise InputError(f"{path}: is cut short: fetch it again") from error
        except PermissionError:
            raise InputError(f"{path}: may not be read: change its permissions") from None
        except OSError as error:
            reason = str(error).splitlines()[0].partition(",")[0]
            raise InputError(f"{path}: is no FITS file ({reason}): fetch it again") from error


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
        Rows (the last but one axis) to read; only their bytes are.

    Returns
    -------
    dict
        Native, C-contiguous array by name; None where the file has no such extension or an
        empty one.

    Raises
    ------
    InputError
        The file is no FITS file, is cut short, has no SCI, or a plane of another shape than SCI.
    """
    places = _places(str(path), _version(path))
    planes: Planes = dict.fromkeys(names)
    odd = any(places[name].dtype is None for name in names if name in places)
    with open_fits(path) if odd else open(path, "rb") as file:
        for name in places.keys() & planes.keys():
            try:
                read = _read_section if odd else _read_rows
                planes[name] = np.ascontiguousarray(
                    read(file, name, places[name], rows), PLANES[name]
                )
            except (ValueError, TypeError) as error:
                raise InputError(f"{path}: {name} is cut short: fetch the file again") from error
    return planes


def _version(path: str | Path) -> tuple[int, int]:
    """Return what changes when a file does."""
    try:
        status = os.stat(path)
    except OSError:  # opening it will tell
        return 0, 0
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=1000)
def _places(path: str, version: tuple[int, int]) -> dict[str, _Place]:
    """Return where the planes of a file are, of those that it has.

    A job that reads files band by band would otherwise spend as much on headers as on pixels.
    """
    places = {}
    with open_fits(path) as hdus, open(path, "rb") as file:
        packed = file.read(6) != b"SIMPLE"
        if "SCI" not in hdus:
            raise InputError(f"{path}: has no SCI extension: give a stage-2 exposure")
        shape = hdus["SCI"].shape
        if len(shape) not in (2, 3):
            raise InputError(f"{path}: SCI has shape {shape}: give an image or a cube of them")
        for name in PLANES:
            hdu = hdus[name] if name in hdus else None  # noqa: SIM401 (HDUList.get looks up no names)
            if hdu is None or not hdu.shape:
                continue
            if hdu.shape not in (shape, shape[-2:]):
                raise InputError(
                    f"{path}: {name} has shape {hdu.shape} but SCI {shape}: fetch the file again"
                )
            header = hdu.header
            kind = header["BITPIX"], header.get("BZERO", 0)
            odd = packed or header.get("BSCALE", 1) != 1
            start = hdu.fileinfo()["datLoc"]
            places[name] = _Place(start, hdu.shape, None if odd else _STORED.get(kind))
    return places


def _read_section(hdus: fits.HDUList, name: str, place: _Place, rows: slice) -> np.ndarray:
    """Read rows of each image of a plane, however it is stored."""
    return hdus[name].section[(..., rows, slice(None)) if len(place.shape) > 2 else rows]


def _read_rows(file: BinaryIO, name: str, place: _Place, rows: slice) -> np.ndarray:
    """Read rows of each image of a plane, by its place."""
    *images, height, width = place.shape
    start, stop, _ = rows.indices(height)
    dtype = np.dtype(place.dtype)
    data = np.empty((math.prod(images), max(stop - start, 0), width), dtype.newbyteorder("="))
    for index, image in enumerate(data):
        file.seek(place.start + (index * height + start) * width * dtype.itemsize)
        if file.readinto(image) != image.nbytes:
            raise ValueError("too few bytes")
    # In place: memory that is touched for the first time costs more than the work on it.
    if not dtype.isnative:
        data.byteswap(inplace=True)
    if dtype.kind == "u":
        data ^= dtype.type(2**31)
    return data.reshape(*images, *data.shape[1:])


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
    for plane in floats:
        plane[bad] = np.nan
    if dq is not None:
        dq[bad] |= DO_NOT_USE


def read_notes(path: str | Path) -> dict[str, Any]:
    """Return what snakewebb has noted in a product, by step (``meta.snakewebb``).

    The notes are plain YAML, so neither asdf nor gwcs has to be imported.

    Raises
    ------
    InputError
        The file has no such notes.
    """
    with open_fits(path) as hdus:
        text = hdus["ASDF"].data.tobytes() if "ASDF" in hdus else b""
    try:
        return yaml.load(text.partition(b"\n...")[0], _Plain)["meta"]["snakewebb"]
    except (KeyError, TypeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: has no notes of snakewebb: remove it and run again") from error


class _Plain(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """Reads YAML and passes over what needs another package to be understood."""


_Plain.add_multi_constructor("", lambda loader, tag, node: _untagged(loader, node))


def _untagged(loader: _Plain, node: yaml.Node) -> Any:
    return loader.construct_mapping(node) if isinstance(node, yaml.MappingNode) else None


def facts(path: str | Path) -> dict[str, Any]:
    """Return what stage 3 needs to know of an exposure besides its pixels.

    Returns
    -------
    dict
        ``group_id`` (all detectors of one exposure share it), ``target_type``, ``mt_ra`` and
        ``mt_dec`` (deg or None), ``measurement_time``, ``exposure_time`` (s or None), ``epoch``
        (decimal year or None), ``instrument``, ``filter``, ``pupil``, ``bunit``, ``sky_level``,
        ``sky_subtracted``, and ``wcsinfo``: v2_ref, v3_ref (arcsec), roll_ref, ra_ref, dec_ref,
        v3yangle (deg), vparity.

    Raises
    ------
    InputError
        The file cannot be read.
    """
    with open_fits(path) as hdus:
        if "SCI" not in hdus:
            raise InputError(f"{path}: has no SCI extension: give a stage-2 exposure")
        # Older files keep in the primary header what newer ones keep with the image.
        header = ChainMap(hdus["SCI"].header, hdus[0].header)
        ids = [header.get(key) for key in _GROUP_KEYS]
        middle = header.get("EXPMID")
        return {
            "group_id": "jw{}{}{}_{}{}{}_{}".format(*ids) if all(ids) else Path(path).stem,
            "epoch": None if middle is None else 2000.0 + (middle - 51544.5) / 365.25,
            **{name: header.get(key) for name, key in _FACT_KEYS.items()},
            "wcsinfo": {name: header.get(key) for name, key in _WCSINFO_KEYS.items()},
        }


def typical_weights(path: str | Path, facts: Mapping[str, Any]) -> dict[str, float]:
    """Measure the weight that most pixels of an exposure have.

    Parameters
    ----------
    path : path
        A stage-2 image.
    facts : mapping
        ``measurement_time`` and ``exposure_time`` (s), from `facts`.

    Returns
    -------
    dict
        By ``weight_type``: of ``ivm`` the mean of 1 / VAR_RNOISE over good pixels, clipped at 3
        sigma, 1 if the exposure has no VAR_RNOISE; of ``exptime`` the time. 0 if there is none.
    """
    from snakewebb.kernels.background import (  # numba: few users of this module need it
        clipped,
        sort,
    )

    planes = read_planes(path, ("DQ", "VAR_RNOISE"))
    ivm = 1.0
    variance, dq = planes["VAR_RNOISE"], planes["DQ"]
    if variance is not None:
        good = (variance > np.finfo(np.float32).tiny) & (variance < np.inf)
        if dq is not None:
            good &= (dq & DO_NOT_USE) == 0
        variance = variance[good]
        weight = np.float32(1.0) / variance[:: variance.size // ENOUGH + 1]
        sort(weight)
        number, _, mean, _ = clipped(weight, 3.0, 5)
        ivm = mean if number else 0.0
    time = facts["measurement_time"] or facts["exposure_time"] or 0.0
    return {"ivm": ivm, "exptime": float(time)}


def sky_in_pixels(known: Mapping[str, Any], matched: Mapping[str, Any] | None) -> float | None:
    """Return the sky level in the pixels of a stage-2 exposure, in their units; None if unknown.

    Parameters
    ----------
    known : mapping
        The exposure's facts.
    matched : mapping or None
        What `snakewebb.skymatch.match_sky` found for it; without that, its header counts.
    """
    if matched and matched["delta"] is not None:
        return matched["delta"]
    return None if known["sky_subtracted"] else known["sky_level"]


def check_subtraction(name: str, before: bool | None, subtract: bool) -> None:
    """Raise where an earlier run treated an exposure's sky in the other way.

    Parameters
    ----------
    name : str
        The exposure.
    before : bool or None
        Whether an earlier run subtracted its sky; None if there was none.
    subtract : bool
        Whether this one is to.

    Raises
    ------
    InputError
    """
    if before is not None and before != subtract:
        did = "was" if before else "was not"
        raise InputError(
            f"{name}: its sky {did} subtracted by an earlier run but skymatch.subtract is "
            f"{subtract}: set it to {before} or start from a fresh stage-2 file"
        )


def remaining_sky(path: str | Path) -> float | None:
    """Return the sky level that is known but still in an exposure's pixels, in their units."""
    with open_fits(path) as hdus:
        header = ChainMap(hdus["SCI"].header, hdus[0].header)
        return None if header.get("BKGSUB") else header.get("BKGLEVEL")


_GROUP_KEYS = ("PROGRAM", "OBSERVTN", "VISIT", "VISITGRP", "SEQ_ID", "ACT_ID", "EXPOSURE")
_FACT_KEYS = {
    "target_type": "TARGTYPE",
    "mt_ra": "MT_RA",
    "mt_dec": "MT_DEC",
    "measurement_time": "TMEASURE",
    "exposure_time": "XPOSURE",
    "instrument": "INSTRUME",
    "filter": "FILTER",
    "pupil": "PUPIL",
    "bunit": "BUNIT",
    "sky_level": "BKGLEVEL",
    "sky_subtracted": "BKGSUB",
}
_WCSINFO_KEYS = {
    "v2_ref": "V2_REF",
    "v3_ref": "V3_REF",
    "roll_ref": "ROLL_REF",
    "ra_ref": "RA_REF",
    "dec_ref": "DEC_REF",
    "v3yangle": "V3I_YANG",
    "vparity": "VPARITY",
}
