"""Mosaics in bands of rows: made by several threads, written and read a band at a time.

Only astropy's FITS reader is imported here, since every job pays for its imports.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, pairwise
from typing import TypeVar

MEMORY = 400_000_000
"""Bytes that all threads together may take for the bands they work on."""

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
