"""What the steps of coronagraphy share: the star's place on the sky, and a whole reduction."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from snakewebb.coronagraphy.fourier import fourier_shift, shift_variance
from snakewebb.coronagraphy.klip import Library, Subtracted
from snakewebb.coronagraphy.repair import repair as fixed
from snakewebb.coronagraphy.stack_refs import read_usable
from snakewebb.coronagraphy.star import reference_pixel
from snakewebb.coronagraphy.star_light import StarLight, find_light
from snakewebb.coronagraphy.star_search import Sight
from snakewebb.coronagraphy.strategy import library
from snakewebb.errors import InputError
from snakewebb.io.dq import NON_SCIENCE
from snakewebb.io.names import product_exposure
from snakewebb.io.planes import read_planes
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


def reduction(
    rolls: Sequence[float],
    references: Sequence[np.ndarray],
    shifts: Sequence[Sequence[np.ndarray | None]],
    *,
    strategy: str = "RDI",
    reference_err: Sequence[np.ndarray] | None = None,
    groups: Sequence[Hashable] | None = None,
    truncate: Sequence[int] = (50,),
    n_references: int | None = None,
    symmetry: bool = False,
    whole: bool = True,
    **region: Any,
) -> Callable[..., list[list[Subtracted]]]:
    """Return a function that subtracts the star from all exposures of a product at once.

    Parameters
    ----------
    rolls : sequence of E floats
        Of the exposures of the target, degrees.
    references : sequence of E arrays (K, ny, nx)
        Other stars, aligned with each exposure.
    shifts : sequence of E sequences
        ``shifts[e][o]``: by how much exposure o lies off exposure e, (x, y); needed for ADI.
    strategy : {'RDI', 'ADI', 'ADI+RDI'}, optional
    reference_err : sequence of E arrays, optional
        Errors of `references`; without, no errors are computed.
    groups : sequence of K hashables, optional
        Which exposure each reference is from.
    truncate, n_references, symmetry
        See `snakewebb.coronagraphy.klip.Library.subtract`.
    whole : bool, optional
        If not, the star's light is subtracted only where it is, see
        `snakewebb.coronagraphy.star_light.find_light`.
    **region
        ``center`` and ``mask`` (E of them), ``annuli``, ``subsections``; see
        `snakewebb.coronagraphy.zones.zones`.

    Returns
    -------
    callable
        Takes the exposures' cubes (T, ny, nx), repaired, optionally their errors and which of them
        to subtract (``only``, indices); returns a list over these of lists over `truncate`.
    """
    centers = region.pop("center", [None] * len(rolls))
    masks = region.pop("mask", [None] * len(rolls))
    groups = list(range(len(references[0]))) if groups is None else list(groups)
    fixed: dict[int, Library] = {}
    lights: dict[int, StarLight | None] = {}  # not to change with what is added to the exposures

    def made(e: int, cubes: Sequence[np.ndarray], errors: Sequence[np.ndarray] | None) -> Library:
        if e in fixed:
            return fixed[e]
        exposures = [(o, roll) for o, roll in enumerate(rolls) if o != e]
        chosen = library(strategy, rolls[e], [-1] if len(references[e]) else [], exposures)
        images, variances, names = [], [], []
        for o in chosen:
            if o < 0:
                images.append(references[e])
                variances.append(None if reference_err is None else reference_err[e] ** 2)
                names += groups
                continue
            offsets = np.tile(-np.asarray(shifts[e][o]), (len(cubes[o]), 1))
            images.append(fourier_shift(cubes[o], offsets))
            variances.append(None if errors is None else shift_variance(errors[o] ** 2, offsets))
            names += [("exposure", o)] * len(cubes[o])
        if not whole and e not in lights:
            lights[e] = find_light(cubes[e].mean(axis=0), np.concatenate(images), centers[e], names)
        known = all(variance is not None for variance in variances)
        built = Library(
            np.concatenate(images),
            np.sqrt(np.concatenate(variances)) if known else None,
            groups=names,
            center=centers[e],
            mask=masks[e],
            light=lights.get(e),
            **region,
        )
        if strategy == "RDI":
            fixed[e] = built
        return built

    def reduce(
        cubes: Sequence[np.ndarray],
        errors: Sequence[np.ndarray] | None = None,
        only: Sequence[int] | None = None,
    ) -> list[list[Subtracted]]:
        return [
            made(e, cubes, errors).subtract(
                cubes[e],
                None if errors is None else errors[e],
                truncate=truncate,
                n_references=n_references,
                symmetry=symmetry,
            )
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
    subtract : callable
        Of `reduction`.
    """

    exposures: list[str]
    kept: list[np.ndarray]
    cubes: list[np.ndarray]
    errors: list[np.ndarray | None]
    bad: list[np.ndarray]
    subtract: Callable[..., list[list[Subtracted]]]


def read_target(
    exposures: Sequence[str | Path],
    references: Sequence[str | Path],
    stars: Mapping[str, Mapping[str, Any]],
    *,
    repair: Mapping[str, Any],
    strategy: str,
    truncate: Sequence[int],
    inner_radius: float = 0.0,
    outer_radius: float | None = None,
    **klip: Any,
) -> Target:
    """Read exposures of the target and set up their reduction.

    Parameters
    ----------
    exposures : sequence of paths
        ``_crfints``.
    references : sequence of paths
        ``_psfalign`` of the first of these, or of all that are to be subtracted; none for ADI.
    stars : mapping
        Of `locate_stars`.
    repair : mapping
        Options of `snakewebb.coronagraphy.repair.repair`.
    strategy, truncate
        See `reduction`.
    inner_radius, outer_radius : float, optional
        Of the search region, arcsec. Without an outer one, the star's light is subtracted only
        where it is, if the frame is much larger; see
        `snakewebb.coronagraphy.star_light.find_light`.
    **klip
        ``annuli``, ``subsections``, ``n_references``, ``symmetry``.

    Raises
    ------
    InputError
        A file cannot be read, or there are no references for the strategy.
    """
    raw, kept, names, images, errors = [], [], [], [], []
    for path, aligned in zip_longest(exposures, references):
        cube, usable = read_usable(path, repair.get("bad_bits", "DO_NOT_USE"))
        if not usable.any():
            continue
        if raw and cube["SCI"].shape[1:] != raw[0]["SCI"].shape[1:]:
            raise InputError(
                f"{path}: has {cube['SCI'].shape[1:]} pixels, {exposures[0]} "
                f"{raw[0]['SCI'].shape[1:]}: use one subarray"
            )
        raw.append(cube)
        kept.append(usable)
        names.append(product_exposure(path))
        planes = dict.fromkeys(("SCI", "ERR"), np.empty((0, *cube["SCI"].shape[1:])))
        if aligned:
            planes = read_planes(aligned, ("SCI", "ERR"))
        images.append(planes["SCI"])
        errors.append(planes["ERR"])
    if not raw:
        raise InputError(f"{exposures[0]}: no exposure has a good pixel: check their DQ")
    found = [stars[name] for name in names]
    repaired = [fixed(cube["SCI"], cube["DQ"], cube["ERR"], **repair) for cube in raw]
    groups = read_notes(references[0])["align_refs"]["exposures"] if references else []
    centers = np.array([star["center"] for star in found])
    subtract = reduction(
        [star["roll"] for star in found],
        images,
        centers[None, :] - centers[:, None],
        strategy=strategy,
        reference_err=None if any(err is None for err in errors) else errors,
        groups=groups,
        truncate=truncate,
        center=[tuple(center) for center in centers],
        mask=[
            search_region(
                cube["DQ"],
                star["center"],
                inner_radius / star["pixel_scale"],
                (np.inf if outer_radius is None else outer_radius) / star["pixel_scale"],
            )
            for cube, star in zip(raw, found, strict=True)
        ],
        whole=outer_radius is not None,
        **klip,
    )
    return Target(names, kept, *map(list, zip(*repaired, strict=True)), subtract)


def _sight(path: str | Path, options: Mapping[str, Any]) -> Sight:
    """Return the mean of an exposure's integrations, repaired, as `find_stars` takes it."""
    guess = reference_pixel(path)
    cube, usable = read_usable(path, options.get("bad_bits", "DO_NOT_USE"))
    if not usable.any():
        return Sight(None, guess)
    data, _, bad = fixed(cube["SCI"], cube["DQ"], **options)
    return Sight(data.mean(axis=0), guess, ~bad.any(axis=0))
