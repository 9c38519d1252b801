"""FLAT reference files: the response of each pixel, relative to the mean."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from snakewebb.errors import InputError
from snakewebb.io.dq import BITS, DO_NOT_USE
from snakewebb.io.fits_structure import find
from snakewebb.io.planes import open_fits, read_planes
from snakewebb.io.tables import numbers, reading, words
from snakewebb.references.subarrays import Subarray, cut_out

NO_FLAT_FIELD = BITS["NO_FLAT_FIELD"]
REMEDY = "give a FLAT reference file of its detector, filter and subarray"


@dataclass(frozen=True)
class Flat:
    """A flat field on the pixels of an exposure.

    Attributes
    ----------
    data : (ny, nx) float32
        The response; 1 where there is none, which `dq` tells.
    err : (ny, nx) float32
        Its error; 0 where that is unknown.
    dq : (ny, nx) uint32
        Flags in JWST's standard bits.
    unknown_errors : int
        Pixels that have a response, but an error that is no number.
    """

    data: np.ndarray
    err: np.ndarray
    dq: np.ndarray
    unknown_errors: int


def read_flat(path: str | Path, subarray: Subarray) -> Flat:
    """Read the part of a FLAT that covers an exposure.

    A response of 0, or none, is NO_FLAT_FIELD, and a pixel with that is DO_NOT_USE. An error that
    is no number says nothing of the response: it is taken as unknown.

    Parameters
    ----------
    path : path
    subarray : Subarray
        Of the exposure.

    Raises
    ------
    InputError
        It is no FLAT, does not cover the exposure, or has no good pixel there.
    """
    if find(path, "SCI") is None:
        raise InputError(f"{path}: has no SCI extension: {REMEDY}")
    rows, columns = cut_out(path, subarray, REMEDY)
    planes = read_planes(path, ("SCI", "ERR", "DQ"), rows)
    data = planes["SCI"]
    if data.ndim != 2:
        raise InputError(f"{path}: SCI has shape {data.shape}, not that of an image: {REMEDY}")
    data = data[:, columns]
    # Errors none of which is a number above 0 are not read.
    err = planes["ERR"]
    lacking = err is None and find(path, "ERR") is not None
    err = np.full_like(data, np.nan if lacking else 0) if err is None else err[:, columns]
    dq = planes["DQ"]
    dq = np.zeros(data.shape, np.uint32) if dq is None else _decoded(dq[:, columns], path)
    dq[~np.isfinite(data) | (data == 0)] |= NO_FLAT_FIELD
    dq[(dq & NO_FLAT_FIELD) != 0] |= DO_NOT_USE
    lost = (dq & DO_NOT_USE) != 0
    if lost.all():
        raise InputError(f"{path}: has no good pixel where the exposure is: {REMEDY}")
    data[lost] = 1
    unknown = ~np.isfinite(err)
    err[unknown] = 0
    return Flat(data, err, dq, int((unknown & ~lost).sum()))


def _decoded(dq: np.ndarray, path: str | Path) -> np.ndarray:
    """Return flags in the standard bits; what they stand for in a file is in its table DQ_DEF.

    Names that are not JWST's are dropped. Without table, or rows in it, bits are standard.
    """
    definitions = find(path, "DQ_DEF")
    if definitions is None:
        return dq
    with reading(path, REMEDY), open_fits(path) as hdus:
        table = hdus["DQ_DEF"].data
        if table is None or not len(table):
            return dq
        values = numbers(table, "VALUE", path, low=0, high=2**32 - 1)
        names = words(table, "NAME", path)
    flagged = np.nonzero(dq)
    found = dq[flagged]
    standard = np.zeros_like(found)
    for value, name in zip(values, names, strict=True):
        standard[(found & np.uint32(value)) != 0] |= np.uint32(BITS.get(str(name).upper(), 0))
    decoded = np.zeros_like(dq)
    decoded[flagged] = standard
    return decoded
