"""Row bands of a mosaic on disk: written by one job, read whole or by rows by another.

A band file is a FITS file with one image extension a plane (``SCI``, ``WHT``, ``CON``, …) and the
mosaic row at which the band starts in the primary keyword ``ROW0``. Only astropy's FITS reader
is imported here, since every band job pays for its imports.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from astropy.io import fits

from snakewebb.errors import InputError
from snakewebb.exposure import open_fits

START = "ROW0"


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file that appears under its name only when it is complete.

    The bytes go to a hidden file in the same folder, which replaces `path` at the end of the
    block, or is removed if the block raises.

    Raises
    ------
    OSError
        No space, no permission; the message names `path`.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            yield file
        partial.replace(path)
    except OSError as error:
        raise OSError(f"{path}: cannot be written: {error}") from error
    finally:
        partial.unlink(missing_ok=True)


def write_band(path: str | Path, planes: Mapping[str, np.ndarray | None], start: int) -> None:
    """Write some rows of a mosaic.

    Parameters
    ----------
    path : path
    planes : mapping
        Array (…, rows, nx) by plane name; float32, or int32 or uint32 for ``CON``, whose bits
        are kept. None where there is no such plane. FITS makes names capital, so ``vars(band)``
        serves for a `snakewebb.resample.Band`.
    start : int
        The mosaic row that is the band's first.
    """
    hdus = fits.HDUList([fits.PrimaryHDU()])
    hdus[0].header[START] = (start, "mosaic row at which the band starts")
    for name, plane in planes.items():
        if plane is not None:
            bits = plane.view(np.int32) if plane.dtype == np.uint32 else plane
            hdus.append(fits.ImageHDU(bits, name=name))
    with replacing(path) as file:
        hdus.writeto(file)


def read_band(path: str | Path) -> tuple[int, dict[str, np.ndarray]]:
    """Return the first mosaic row of a band and its planes by name.

    Raises
    ------
    InputError
        The file is no band, or cut short.
    """
    with open_fits(path) as hdus:
        start = _start(hdus, path)
        return start, {hdu.name: _native(hdu, slice(None), path) for hdu in hdus[1:]}


def read_rows(paths: Sequence[str | Path], plane: str, start: int, stop: int) -> np.ndarray:
    """Read mosaic rows ``start`` to ``stop`` (excluded) of one plane from several band files.

    Parameters
    ----------
    paths : sequence of paths
        Band files in row order; those that hold none of the rows may be left out.
    plane : str
    start, stop : int

    Returns
    -------
    array (…, stop - start, nx)

    Raises
    ------
    InputError
        The rows are not all in the files, or a file is no band or has no such plane.
    """
    pieces = []
    reached = start
    for path in paths:
        with open_fits(path) as hdus:
            first = _start(hdus, path)
            if plane not in hdus:
                raise InputError(f"{path}: has no plane {plane}: remove the file and run again")
            last = min(first + hdus[plane].shape[-2], stop)
            if first <= reached < last:
                pieces.append(_native(hdus[plane], slice(reached - first, last - first), path))
                reached = last
        if reached >= stop:
            break
    if reached < stop:
        raise InputError(
            f"{plane}: rows {reached} to {stop} are in none of {len(paths)} band files: "
            "remove these files and run again"
        )
    return np.concatenate(pieces, axis=-2)


def _start(hdus: fits.HDUList, path: str | Path) -> int:
    if START not in hdus[0].header:
        raise InputError(f"{path}: is no band of a mosaic: remove the file and run again")
    return hdus[0].header[START]


def _native(hdu: fits.ImageHDU, rows: slice, path: str | Path) -> np.ndarray:
    """Return some rows of an image extension, C-contiguous in the machine's byte order."""
    if 0 in hdu.shape:
        return np.empty(hdu.shape, np.dtype(fits.BITPIX2DTYPE[hdu.header["BITPIX"]]))
    try:
        data = hdu.section[..., rows, :]
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{path}: {hdu.name} is cut short: remove the file and run again"
        ) from error
    return np.ascontiguousarray(data, dtype=data.dtype.newbyteorder("="))
