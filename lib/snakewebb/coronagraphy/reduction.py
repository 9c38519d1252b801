"""What the steps of coronagraphy share: the star's place on the sky, and a whole reduction."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

import numpy as np

from snakewebb.coronagraphy.fourier import fourier_shift, shift_variance
from snakewebb.coronagraphy.klip import KlipOptions, Library, Subtracted
from snakewebb.coronagraphy.repair import Repaired, RepairOptions, repair_pixels
from snakewebb.coronagraphy.stack_refs import read_usable
from snakewebb.coronagraphy.star_light import StarLight, find_light
from snakewebb.coronagraphy.star_position import StarPosition
from snakewebb.coronagraphy.strategy import library
from snakewebb.errors import InputError
from snakewebb.io.dq import NON_SCIENCE
from snakewebb.io.names import product_exposure
from snakewebb.io.planes import Planes, read_planes
from snakewebb.io.provenance import read_notes

log = logging.getLogger(__name__)


def search_region(
    dq: np.ndarray,
    center: tuple[float, float] = (0.0, 0.0),
    inner_radius: float = 0.0,
    outer_radius: float = np.inf,
) -> np.ndarray:
    """Return True where to look for companions.

    Parameters
    ----------
    dq : (n, ny, nx) uint32
        No integration may be flagged NON_SCIENCE.
    center : (x, y)
        The star, 0-based pixels.
    inner_radius, outer_radius : float
        Least and greatest distance from the star, pixels.

    Returns
    -------
    (ny, nx) bool
    """
    y, x = np.indices(dq.shape[1:])
    radius = np.hypot(x - center[0], y - center[1])
    near = (radius >= inner_radius) & (radius <= outer_radius)
    return near & ~((dq & np.uint32(NON_SCIENCE)) != 0).any(axis=0)


@dataclass(frozen=True)
class Roll:
    """What is known of an exposure of the target before its star is subtracted.

    Attributes
    ----------
    angle : float
        Its roll, degrees.
    center : (x, y)
        The star, 0-based pixels.
    references : (K, ny, nx) array
        Other stars, aligned with it.
    reference_err : (K, ny, nx) array, optional
        Their errors; without, no errors are computed.
    mask : (ny, nx) bool, optional
        The search region.
    """

    angle: float
    center: tuple[float, float]
    references: np.ndarray
    reference_err: np.ndarray | None = None
    mask: np.ndarray | None = None


Cubes = Sequence[np.ndarray]
Subtract = Callable[..., list[list[Subtracted]]]
"""Takes the exposures' cubes (T, ny, nx), repaired, optionally their errors and which of them to
subtract (``only``, indices); returns a list over these of lists over numbers of modes."""


def reduction(
    rolls: Sequence[Roll],
    options: KlipOptions = KlipOptions(),
    groups: Sequence[Hashable] | None = None,
) -> Subtract:
    """Return a function that subtracts the star from all exposures of a product at once.

    Parameters
    ----------
    rolls : sequence of Roll
        The exposures of the target.
    options : KlipOptions, optional
    groups : sequence of K hashables, optional
        Which exposure each reference is from.
    """
    names = list(range(len(rolls[0].references))) if groups is None else list(groups)
    fixed: dict[int, Library] = {}
    lights: dict[int, StarLight | None] = {}  # not to change with what is added to the exposures

    def made(e: int, cubes: Cubes, errors: Cubes | None) -> Library:
        if e in fixed:
            return fixed[e]
        roll = rolls[e]
        others = [(o, other.angle) for o, other in enumerate(rolls) if o != e]
        own = [-1] if len(roll.references) else []
        images: list[np.ndarray] = []
        variances: list[np.ndarray | None] = []
        sources: list[Hashable] = []
        for o in library(options.strategy, roll.angle, own, others):
            if o < 0:
                err = roll.reference_err
                images.append(roll.references)
                variances.append(None if err is None else err**2)
                sources += names
                continue
            offset = np.subtract(rolls[o].center, roll.center)
            offsets = np.tile(-offset, (len(cubes[o]), 1))
            images.append(fourier_shift(cubes[o], offsets))
            variances.append(None if errors is None else shift_variance(errors[o] ** 2, offsets))
            sources += [("exposure", o)] * len(cubes[o])
        if options.outer_radius is None and e not in lights:
            stars = cubes[e].mean(axis=0), np.concatenate(images)
            lights[e] = find_light(*stars, roll.center, sources)
        known = [variance for variance in variances if variance is not None]
        built = Library(
            np.concatenate(images),
            np.sqrt(np.concatenate(known)) if len(known) == len(variances) else None,
            options,
            groups=sources,
            center=roll.center,
            mask=roll.mask,
            light=lights.get(e),
        )
        if options.strategy == "RDI":
            fixed[e] = built
        return built

    def reduce(
        cubes: Cubes, errors: Cubes | None = None, only: Sequence[int] | None = None
    ) -> list[list[Subtracted]]:
        return [
            made(e, cubes, errors).subtract(cubes[e], None if errors is None else errors[e])
            for e in (range(len(cubes)) if only is None else only)
        ]

    return reduce


@dataclass(frozen=True)
class Target:
    """Exposures of a star as they are reduced: repaired, and what takes the star from them.

    Attributes
    ----------
    exposures : list of str
        Those that have a good pixel.
    kept : list of (T,) bool
        Which of their integrations have.
    cubes, errors : list of (n, ny, nx) float64
        Of these. The errors of an exposure that has none are None.
    bad : list of (n, ny, nx) bool
        Pixels that were repaired.
    options : KlipOptions
        How the star is taken from them.
    subtract : callable
        Of `reduction`.
    """

    exposures: list[str]
    kept: list[np.ndarray]
    cubes: list[np.ndarray]
    errors: list[np.ndarray | None]
    bad: list[np.ndarray]
    options: KlipOptions
    subtract: Subtract


def read_target(
    exposures: Sequence[str | Path],
    references: Sequence[str | Path],
    stars: Mapping[str, StarPosition],
    repair: RepairOptions = RepairOptions(),
    klip: KlipOptions = KlipOptions(),
) -> Target:
    """Read exposures of the target and set up their reduction.

    Parameters
    ----------
    exposures : sequence of paths
        ``_crfints``.
    references : sequence of paths
        ``_psfalign`` of the first of these, or of all that are to be subtracted; none for ADI.
    stars : mapping
        By exposure.
    repair : RepairOptions, optional
    klip : KlipOptions, optional

    Raises
    ------
    InputError
        A file cannot be read, or there are no references for the strategy.
    """
    names: list[str] = []
    rolls: list[Roll] = []
    kept: list[np.ndarray] = []
    repaired: list[Repaired] = []
    for path, aligned in zip_longest(exposures, references):
        cube, usable = read_usable(path, repair.bad_bits)
        if not usable.any():
            continue
        shape = cube.data.shape[1:]
        if repaired and shape != repaired[0].data.shape[1:]:
            raise InputError(
                f"{path}: has {shape} pixels, {exposures[0]} {repaired[0].data.shape[1:]}: "
                "use one subarray"
            )
        name = product_exposure(path)
        star = stars[name]
        planes: Planes = {"SCI": np.empty((0, *shape)), "ERR": np.empty((0, *shape))}
        if aligned:
            planes = read_planes(aligned, ("SCI", "ERR"))
        images, errors = planes["SCI"], planes["ERR"]
        assert images is not None  # or reading had failed
        near = klip.inner_radius / star.pixel_scale
        far = (np.inf if klip.outer_radius is None else klip.outer_radius) / star.pixel_scale
        mask = search_region(cube.dq, star.center, near, far)
        rolls.append(Roll(star.roll, star.center, images, errors, mask))
        repaired.append(repair_pixels(*cube, repair))
        kept.append(usable)
        names.append(name)
    if not rolls:
        raise InputError(f"{exposures[0]}: no exposure has a good pixel: check their DQ")
    if klip.strategy == "ADI" and len(rolls) == 1 and not klip.skip:
        raise InputError(
            f"{names[0]}: no other exposure has a good pixel, as ADI needs: check their DQ, or set "
            "klip.strategy to RDI, or klip.skip"
        )
    if any(roll.reference_err is None for roll in rolls):
        rolls = [replace(roll, reference_err=None) for roll in rolls]
    groups = read_notes(references[0])["align_refs"]["exposures"] if references else []
    return Target(
        names,
        kept,
        [each.data for each in repaired],
        [each.err for each in repaired],
        [each.bad for each in repaired],
        klip,
        reduction(rolls, klip, groups),
    )
