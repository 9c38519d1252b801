"""Numbers from tables and images that others made, checked before they are used.

What is wrong with them is told in one line that names the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from snakewebb.errors import InputError

LONGEST = 100
"""Characters of another's message."""


@contextmanager
def reading(path: str | Path, remedy: str) -> Iterator[None]:
    """Say in one line why a file cannot be read, whatever its reader raises.

    Those of FITS, ASDF, YAML, VOTable, gzip have exceptions of their own, and raise Python's, too.

    Parameters
    ----------
    path : path
    remedy : str
        What to do.

    Raises
    ------
    InputError
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:LONGEST] or type(error).__name__
        raise InputError(f"{path}: cannot be read ({reason}): {remedy}") from error


def numbers(
    table: Any,
    name: str,
    path: str | Path,
    *,
    rows: Sequence[int] | None = None,
    low: float = -np.inf,
    high: float = np.inf,
    holes: bool = False,
) -> np.ndarray:
    """Return a column of a table, or some rows of it, if it holds what it should.

    Parameters
    ----------
    table : Table or mapping of arrays
    name : str
        The column.
    path : path
        The table's file.
    rows : sequence of int, optional
        Only these are looked at.
    low, high : float, optional
        The least and the largest number. Infinite ones are none in any case.
    holes : bool, optional
        Whether NaN and masked values are allowed.

    Returns
    -------
    (n,) float64
        Masked values are NaN.

    Raises
    ------
    InputError
        It does not hold one number a row, or one out of range.
    """
    values = np.ma.getdata(table[name])
    if values.ndim != 1:
        raise InputError(f"{path}: column {name} has shape {values.shape}: give one number a row")
    if values.dtype.kind not in "iuf":
        raise InputError(f"{path}: column {name} does not hold numbers: give decimals")
    values = np.where(np.ma.getmaskarray(table[name]), np.nan, values.astype(np.float64))
    index = np.arange(len(values)) if rows is None else np.asarray(rows, int)
    values = values[index]
    good = np.isfinite(values) & (low <= values) & (values <= high)
    if holes:
        good |= np.isnan(values)
    if not good.all():
        first = np.argmin(good)
        more = f", and {(~good).sum() - 1} more" if (~good).sum() > 1 else ""
        raise InputError(
            f"{path}: column {name} holds {values[first]:g} in row {index[first] + 1}{more}: give "
            f"{_span(low, high)}"
        )
    return values


def words(table: Any, name: str, path: str | Path) -> np.ndarray:
    """Return a column of names, (n,) of str, without blanks around them.

    Raises
    ------
    InputError
        It does not hold one name a row.
    """
    values = np.ma.getdata(table[name])
    if values.ndim != 1 or values.dtype.kind not in "SU":
        raise InputError(f"{path}: column {name} does not hold names: give one a row")
    with reading(path, f"mend its column {name}"):
        return np.char.strip(values.astype(str))


def read_image(path: str | Path, remedy: str, name: str | None = None) -> tuple[np.ndarray, Any]:
    """Return an image of a FITS file and its header.

    Parameters
    ----------
    path : path
    remedy : str
        What to do if there is none.
    name : str, optional
        The extension; by default the first that has an image.

    Returns
    -------
    image : (ny, nx) float64
    header : Header

    Raises
    ------
    InputError
        There is no such image of real numbers.
    """
    from snakewebb.io.planes import open_fits  # not all who read tables pay for it

    with reading(path, remedy), open_fits(path) as hdus:
        if name is not None and name not in hdus:
            raise InputError(f"{path}: has no {name} extension: {remedy}")
        found = [hdus[name]] if name else hdus
        hdu = next((hdu for hdu in found if hdu.is_image and hdu.shape), None)
        if hdu is None:
            raise InputError(f"{path}: holds no image: {remedy}")
        values, header = np.asarray(hdu.data), hdu.header
    if values.ndim != 2 or values.dtype.kind not in "iuf":
        raise InputError(f"{path}: has shape {values.shape}, not that of an image: {remedy}")
    with np.errstate(invalid="ignore"):  # of signalling NaN
        return values.astype(np.float64), header


def read_shares(
    path: str | Path, shape: tuple[int, int], remedy: str, name: str | None = None
) -> np.ndarray:
    """Return an image of numbers from 0 to 1 on the pixels of the exposures.

    Parameters
    ----------
    path, remedy, name
        See `read_image`.
    shape : (ny, nx)
        Of the exposures.

    Returns
    -------
    (ny, nx) float64
        NaN is 0.

    Raises
    ------
    InputError
        It has another shape, numbers out of range, or nothing but 0.
    """
    values, _ = read_image(path, remedy, name)
    if values.shape != tuple(shape):
        raise InputError(
            f"{path}: its image has shape {values.shape}, the exposures {tuple(shape)}: {remedy}"
        )
    values[np.isnan(values)] = 0.0
    low, high = values.min(), values.max()
    if low < 0 or high > 1:
        span = f"{low:g} to {high:g}"
        raise InputError(f"{path}: its image reaches from {span}, not 0 to 1: {remedy}")
    if not high:
        raise InputError(f"{path}: its image is 0 everywhere: {remedy}")
    return values


def _span(low: float, high: float) -> str:
    if np.isfinite(low):
        return f"numbers from {low:g}" + (f" to {high:g}" if np.isfinite(high) else "")
    return "finite numbers"
