"""Reference files that are images: PSFMASK, and curves of throughput."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from snakewebb.io.tables import read_shares


def read_throughput(path: str | Path | None, shape: tuple[int, int]) -> np.ndarray | None:
    """Return the coronagraph's throughput, (ny, nx): the first image of a file."""
    return read_shares(path, shape, "give the throughput on this subarray") if path else None


def read_psfmask(path: str | Path, shape: tuple[int, int]) -> np.ndarray:
    """Return the weights, (ny, nx) from 0 to 1, of a PSFMASK reference file.

    Raises
    ------
    InputError
        It has no SCI of that shape, or weights that are none.
    """
    return read_shares(path, shape, "give a PSFMASK reference file for this subarray", "SCI")
