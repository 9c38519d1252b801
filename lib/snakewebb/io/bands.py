"""Mosaics in bands of rows: made by several threads, written and read a band at a time.

Only astropy's FITS reader is imported here, since every job pays for its imports.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, pairwise
from pathlib import Path
from typing import TypeVar

import numpy as np
from astropy.io import fits

from snakewebb.errors import InputError
from snakewebb.io.atomic import BLOCK, replacing
from snakewebb.io.fits_structure import is_packed, structure
from snakewebb.io.planes import Planes

MEMORY = 400_000_000
"""Bytes that all threads together may take for the bands they work on."""

CACHED = 1 << 17
"""Pixels of a band of which some planes stay in a processor's cache."""

Task = TypeVar("Task")
Result = TypeVar("Result")


def cut_rows(height: int, row_bytes: float, threads: int) -> list[slice]:
    """Cut a mosaic into bands of rows that several threads can hold at a time.

    Parameters
    ----------
    height : int
        Of the mosaic, in rows.
    row_bytes : float
        Memory that it takes to make a row.
    threads : int
        So many bands are worked on at a time, which share ``MEMORY``.
    """
    most = max(int(MEMORY / threads / max(row_bytes, 1)), 1)
    number = max(-(-height // most), min(threads, height), 1)
    edges = [height * band // number for band in range(number + 1)]
    return [slice(*ends) for ends in pairwise(edges)]


def row_bands(planes: Planes) -> Iterator[tuple[slice, Planes]]:
    """Yield planes in bands of rows, as views, and which rows these are.

    What is done to a band at a time needs little memory beside that of the planes, and goes over
    it once.
    """
    *images, height, width = planes["SCI"].shape
    rows = max(CACHED // (math.prod(images) * width), 1)
    for start in range(0, height, rows):
        band = slice(start, min(start + rows, height))
        yield band, {name: plane[..., band, :] for name, plane in planes.items()}


def in_order(
    function: Callable[[Task], Result], tasks: Iterable[Task], threads: int
) -> Iterator[Result]:
    """Apply a function in several threads; yield results in the order of the tasks.

    Work begins at once, unless there is one thread only. A task is begun only when fewer than
    twice as many results as threads are being made or wait to be taken: a slow task does not hold
    up the others, and little waits.
    """
    if threads == 1:
        return map(function, tasks)
    tasks = iter(tasks)
    pool = ThreadPoolExecutor(threads)
    running = deque(pool.submit(function, task) for task in islice(tasks, 2 * threads))
    return _results(function, tasks, pool, running)


def _results(function, tasks, pool, running):
    with pool:
        try:
            while running:
                yield running.popleft().result()
                running.extend(pool.submit(function, task) for task in islice(tasks, 1))
        finally:
            for future in running:
                future.cancel()


def write_rows(path: str | Path, shape: tuple[int, int, int], bands: Iterable[np.ndarray]) -> None:
    """Write images band by band, whose rows take turns.

    Parameters
    ----------
    path : path
    shape : (ny, n, nx)
    bands : iterable of (rows, n, nx) float32
        That make up the images, in order.
    """
    header = fits.Header({"SIMPLE": True, "BITPIX": -32, "NAXIS": len(shape)})
    for axis, length in enumerate(reversed(shape), 1):
        header[f"NAXIS{axis}"] = length
    with replacing(path) as file:
        file.write(header.tostring().encode("ascii"))
        for band in bands:
            file.write(band.astype(">f4").data)
        file.write(bytes(-file.tell() % BLOCK))


def read_window(path: str | Path, rows: slice, columns: slice) -> np.ndarray:
    """Read a part of what `write_rows` wrote; from disk only what is made use of.

    Returns
    -------
    (rows, n, columns) float32, its bytes ordered as in the file

    Raises
    ------
    InputError
        The file is cut short, or has no such images.
    """
    image = structure(path)[0]
    if image.dtype != ">f4" or len(image.shape) != 3 or is_packed(path):
        raise InputError(f"{path}: is no median of this version: remove the file and run again")
    return np.memmap(path, image.dtype, "r", image.start, image.shape)[rows, :, columns]
