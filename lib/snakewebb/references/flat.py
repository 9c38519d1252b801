"""FLAT reference files: the response of each pixel, relative to the mean."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from snakewebb.errors import InputError
from snakewebb.io.dq import BITS, DO_NOT_USE
from snakewebb.io.fits_structure import find
from snakewebb.io.planes import has_plane, image_shape, open_fits, read_planes
from snakewebb.io.tables import numbers, reading, words
from snakewebb.references.subarrays import Subarray, cut_out

NO_FLAT_FIELD = BITS["NO_FLAT_FIELD"]
REMEDY = "give a FLAT reference file of its detector, filter and subarray"


@dataclass(frozen=True)
class Flat:
    """A flat field on the pixels of an exposure, or on some rows of them.

    Attributes
    ----------
    data : (ny, nx) float32
        The response; 1 where there is none, which `dq` tells.
    err : (ny, nx) float32
        Its error; 0 where that is unknown.
    dq : (ny, nx) uint32
        Flags in JWST's standard bits.
    """

    data: np.ndarray
    err: np.ndarray
    dq: np.ndarray


class FlatFile:
    """The part of a FLAT that covers an exposure, read as it is needed.

    A response of 0, or none, is NO_FLAT_FIELD, and a pixel with that is DO_NOT_USE. An error that
    is no number says nothing of the response: it is taken as unknown.

    Parameters
    ----------
    path : path
    subarray : Subarray
        Of the exposure.

    Attributes
    ----------
    good, unknown_errors : int
        Pixels of the rows read so far that have a response, and those of them without an error.

    Raises
    ------
    InputError
        It is no FLAT, or does not cover the exposure.
    """

    def __init__(self, path: str | Path, subarray: Subarray) -> None:
        if find(path, "SCI") is None:
            raise InputError(f"{path}: has no SCI extension: {REMEDY}")
        if len(shape := image_shape(path)) != 2:
            raise InputError(f"{path}: SCI has shape {shape}, not that of an image: {REMEDY}")
        self.path = path
        self.good = self.unknown_errors = 0
        self._rows, self._columns = cut_out(path, subarray, REMEDY)
        self._bits = _definitions(path)
        # Errors none of which is a number above 0 are not read.
        self._unknown = find(path, "ERR") is not None and not has_plane(path, "ERR")

    def rows(self, rows: slice) -> Flat:
        """Return it on some rows of the exposure."""
        start = self._rows.start
        there = slice(start + rows.start, start + rows.stop)
        planes = read_planes(self.path, ("SCI", "ERR", "DQ"), there)
        known = {n: None if p is None else p[:, self._columns] for n, p in planes.items()}
        data, err, dq = known["SCI"], known["ERR"], known["DQ"]
        if err is None:
            err = np.full_like(data, np.nan if self._unknown else 0)
        dq = np.zeros(data.shape, np.uint32) if dq is None else self._standard(dq)
        dq[~np.isfinite(data) | (data == 0)] |= NO_FLAT_FIELD
        dq[(dq & NO_FLAT_FIELD) != 0] |= DO_NOT_USE
        lost = (dq & DO_NOT_USE) != 0
        data[lost] = 1
        unknown = ~np.isfinite(err)
        err[unknown] = 0
        self.good += int((~lost).sum())
        self.unknown_errors += int((unknown & ~lost).sum())
        return Flat(data, err, dq)

    def check(self) -> None:
        """Raise InputError if the rows read so far have no good pixel."""
        if not self.good:
            raise InputError(f"{self.path}: has no good pixel where the exposure is: {REMEDY}")

    def _standard(self, dq: np.ndarray) -> np.ndarray:
        if self._bits is None:
            return dq
        flagged = np.flatnonzero(dq != 0)
        found = dq.take(flagged)
        standard = np.zeros_like(found)
        for value, bit in self._bits:
            standard[(found & np.uint32(value)) != 0] |= np.uint32(bit)
        np.put(dq, flagged, standard)
        return dq


def _definitions(path: str | Path) -> list[tuple[int, int]] | None:
    """Return values of flags in a file, and the standard bits that they stand for (DQ_DEF).

    Names that are not JWST's stand for none. None without table, or rows in it: bits are standard.
    """
    if find(path, "DQ_DEF") is None:
        return None
    with reading(path, REMEDY), open_fits(path) as hdus:
        table = hdus["DQ_DEF"].data
        if table is None or not len(table):
            return None
        values = numbers(table, "VALUE", path, low=0, high=2**32 - 1)
        names = words(table, "NAME", path)
    bits = (BITS.get(str(name).upper(), 0) for name in names)
    return list(zip(map(int, values), bits, strict=True))
