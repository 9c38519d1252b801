"""stack_refs: all integrations of all references in one cube."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from snakewebb.errors import InputError
from snakewebb.exposure import Planes, invalidate, read_planes

log = logging.getLogger(__name__)


def stack(paths: Sequence[str | Path]) -> tuple[Planes, list[str]]:
    """Stack the integrations of references, in order.

    Parameters
    ----------
    paths : sequence of paths
        Exposures, ``_crfints``; images count as one integration.

    Returns
    -------
    planes : dict
        SCI, ERR, DQ: (K, ny, nx). NaN and DO_NOT_USE agree; nothing is repaired.
    exposures : list of str
        File name, of which each integration is.

    Raises
    ------
    InputError
        There is no exposure, they differ in size, or one has no ERR.
    """
    if not paths:
        raise InputError("stack_refs: there are no references: name psf members")
    cubes: list[Planes] = []
    exposures: list[str] = []
    for path in paths:
        planes = read_cube(path)
        shape = planes["SCI"].shape
        if cubes and shape[1:] != cubes[0]["SCI"].shape[1:]:
            raise InputError(
                f"{path}: has {shape[2]} × {shape[1]} pixels, the references before it "
                f"{cubes[0]['SCI'].shape[2]} × {cubes[0]['SCI'].shape[1]}: use one subarray"
            )
        cubes.append(planes)
        exposures += [Path(path).name] * len(planes["SCI"])
    log.info("%d integrations of %d references", len(exposures), len(paths))
    return {name: np.concatenate([cube[name] for cube in cubes]) for name in cubes[0]}, exposures


def read_cube(path: str | Path) -> Planes:
    """Read SCI, ERR and DQ of an exposure as cubes in which NaN and DO_NOT_USE agree.

    Raises
    ------
    InputError
        The file cannot be read, or has no ERR.
    """
    planes = read_planes(path, ("SCI", "ERR", "DQ"))
    if planes["ERR"] is None:
        raise InputError(f"{path}: has no ERR: fetch it again")
    if planes["DQ"] is None:
        planes["DQ"] = np.zeros(planes["SCI"].shape, np.uint32)
    ny, nx = planes["SCI"].shape[-2:]
    cubes = {name: plane.reshape(-1, ny, nx) for name, plane in planes.items()}
    invalidate(cubes)
    return cubes
