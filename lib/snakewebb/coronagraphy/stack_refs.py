"""stack_refs: integrations of exposures, and those of all references in one cube."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from snakewebb.coronagraphy.repair import RepairOptions, bad_pixels
from snakewebb.errors import InputError
from snakewebb.io.planes import invalidate, read_measured

log = logging.getLogger(__name__)


class Integrations(NamedTuple):
    """Integrations, in which NaN and DO_NOT_USE agree.

    Attributes
    ----------
    data, err : (n, ny, nx) float32
        MJy/sr; err is None if there are neither errors nor variances.
    dq : (n, ny, nx) uint32
    """

    data: np.ndarray
    dq: np.ndarray
    err: np.ndarray | None


def stack(paths: Sequence[str | Path]) -> tuple[Integrations, list[str], list[str]]:
    """Stack the integrations of references, in order.

    Parameters
    ----------
    paths : sequence of paths
        Exposures, ``_crfints``; images count as one integration.

    Returns
    -------
    references : Integrations
        Nothing is repaired; there are no errors if some reference has none.
    exposures : list of str
        File name, of which each integration is.
    left_out : list of str
        Integrations without a good pixel, which are not in the stack.

    Raises
    ------
    InputError
        There is no exposure, none has a good pixel, or they differ in size.
    """
    if not paths:
        raise InputError("stack_refs: there are no references: name psf members")
    cubes: list[Integrations] = []
    exposures: list[str] = []
    left_out: list[str] = []
    for path in paths:
        cube, kept = read_usable(path)
        count, ny, nx = cube.data.shape
        if cubes and (ny, nx) != cubes[0].data.shape[1:]:
            raise InputError(
                f"{path}: has {nx} × {ny} pixels, the references before it "
                f"{cubes[0].data.shape[2]} × {cubes[0].data.shape[1]}: use one subarray"
            )
        if count:
            cubes.append(cube)
        exposures += [Path(path).name] * count
        empty = np.flatnonzero(~kept) + 1
        left_out += [f"{Path(path).name}: integration {k}" for k in empty]
    if not exposures:
        raise InputError(f"{paths[0]}: no reference has a good pixel: check their DQ")
    log.info("%d integrations of %d references", len(exposures), len(paths))
    errors = [cube.err for cube in cubes if cube.err is not None]
    if len(errors) < len(cubes):
        log.warning("not all references have errors: the subtraction will have none")
    references = Integrations(
        np.concatenate([cube.data for cube in cubes]),
        np.concatenate([cube.dq for cube in cubes]),
        np.concatenate(errors) if len(errors) == len(cubes) else None,
    )
    return references, exposures, left_out


def read_cube(path: str | Path) -> Integrations:
    """Read the integrations of an exposure; an image is one.

    Raises
    ------
    InputError
        The file cannot be read.
    """
    planes = read_measured(path)
    data, dq, err = (planes[name] for name in ("SCI", "DQ", "ERR"))
    assert data is not None  # or reading had failed
    shape = (-1, *data.shape[-2:])
    data = data.reshape(shape)
    dq = np.zeros(data.shape, np.uint32) if dq is None else dq.reshape(shape)
    err = None if err is None else err.reshape(shape)
    invalidate({"SCI": data, "ERR": err, "DQ": dq})
    return Integrations(data, dq, err)


def read_usable(
    path: str | Path, bad_bits: str | int | None = RepairOptions.bad_bits
) -> tuple[Integrations, np.ndarray]:
    """Read an exposure as `read_cube` does, without integrations that have no good pixel.

    Parameters
    ----------
    path : path
    bad_bits : str, int or None, optional
        DQ flags that make a pixel bad.

    Returns
    -------
    cube : Integrations
        There may be none.
    kept : (T,) bool
        Which of all integrations these are.

    Raises
    ------
    InputError
        See `read_cube`.
    """
    cube = read_cube(path)
    empty = without_pixels(cube, bad_bits)
    if not empty:
        return cube, np.ones(len(cube.data), bool)
    log.warning("%s: integrations without a good pixel are left out: %s", path, empty)
    kept = ~np.isin(np.arange(len(cube.data)) + 1, empty)
    err = None if cube.err is None else cube.err[kept]
    return Integrations(cube.data[kept], cube.dq[kept], err), kept


def without_pixels(
    cube: Integrations, bad_bits: str | int | None = RepairOptions.bad_bits
) -> list[int]:
    """Return the numbers, from 1, of integrations that have no good pixel."""
    bad = bad_pixels(cube.data, cube.dq, bad_bits)
    if cube.err is not None:
        bad |= ~np.isfinite(cube.err)
    return (np.flatnonzero(bad.all(axis=(1, 2))) + 1).tolist()
