"""stack_refs: all integrations of all references in one cube."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from snakewebb.coronagraphy.repair import RepairOptions, bad_pixels
from snakewebb.errors import InputError
from snakewebb.io.planes import Planes, invalidate, read_measured

log = logging.getLogger(__name__)


def stack(paths: Sequence[str | Path]) -> tuple[Planes, list[str], list[str]]:
    """Stack the integrations of references, in order.

    Parameters
    ----------
    paths : sequence of paths
        Exposures, ``_crfints``; images count as one integration.

    Returns
    -------
    planes : dict
        SCI, ERR, DQ: (K, ny, nx). NaN and DO_NOT_USE agree; nothing is repaired. ERR is None if
        some reference has none.
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
    cubes: list[Planes] = []
    exposures: list[str] = []
    left_out: list[str] = []
    for path in paths:
        planes, kept = read_usable(path)
        shape = planes["SCI"].shape
        if cubes and shape[1:] != cubes[0]["SCI"].shape[1:]:
            raise InputError(
                f"{path}: has {shape[2]} × {shape[1]} pixels, the references before it "
                f"{cubes[0]['SCI'].shape[2]} × {cubes[0]['SCI'].shape[1]}: use one subarray"
            )
        cubes.append(planes)
        exposures += [Path(path).name] * len(planes["SCI"])
        empty = np.flatnonzero(~kept) + 1
        left_out += [f"{Path(path).name}: integration {k}" for k in empty]
    if not exposures:
        raise InputError(f"{paths[0]}: no reference has a good pixel: check their DQ")
    log.info("%d integrations of %d references", len(exposures), len(paths))
    stacked: Planes = {}
    for name in cubes[0]:
        known = [cube[name] for cube in cubes]
        if any(cube is None for cube in known):
            log.warning("not all references have errors: the subtraction will have none")
            stacked[name] = None
        else:
            stacked[name] = np.concatenate(known)
    return stacked, exposures, left_out


def read_cube(path: str | Path) -> Planes:
    """Read SCI, ERR and DQ of an exposure as cubes in which NaN and DO_NOT_USE agree.

    ERR is None if the exposure has neither errors nor variances.

    Raises
    ------
    InputError
        The file cannot be read.
    """
    planes = read_measured(path)
    ny, nx = planes["SCI"].shape[-2:]
    if planes["DQ"] is None:
        planes["DQ"] = np.zeros(planes["SCI"].shape, np.uint32)
    cubes = {name: p if p is None else p.reshape(-1, ny, nx) for name, p in planes.items()}
    invalidate(cubes)
    return cubes


def read_usable(
    path: str | Path, bad_bits: str | int | None = RepairOptions.bad_bits
) -> tuple[Planes, np.ndarray]:
    """Read an exposure as `read_cube` does, without integrations that have no good pixel.

    Parameters
    ----------
    path : path
    bad_bits : str, int or None, optional
        DQ flags that make a pixel bad.

    Returns
    -------
    planes : dict
        SCI, ERR, DQ: (n, ny, nx); n may be 0.
    kept : (T,) bool
        Which of all integrations these are.

    Raises
    ------
    InputError
        See `read_cube`.
    """
    cubes = read_cube(path)
    empty = without_pixels(cubes, bad_bits)
    if not empty:
        return cubes, np.ones(len(cubes["SCI"]), bool)
    log.warning("%s: integrations without a good pixel are left out: %s", path, empty)
    kept = ~np.isin(np.arange(len(cubes["SCI"])) + 1, empty)
    return {name: None if cube is None else cube[kept] for name, cube in cubes.items()}, kept


def without_pixels(cubes: Planes, bad_bits: str | int | None = RepairOptions.bad_bits) -> list[int]:
    """Return the numbers, from 1, of integrations that have no good pixel."""
    bad = bad_pixels(cubes["SCI"], cubes["DQ"], bad_bits)
    if cubes["ERR"] is not None:
        bad |= ~np.isfinite(cubes["ERR"])
    return (np.flatnonzero(bad.all(axis=(1, 2))) + 1).tolist()
