"""What the steps of coronagraphy share: the star's place on the sky, and a whole reduction."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from snakewebb.align_refs import find_star, fourier_shift, shift_variance
from snakewebb.align_refs import repair as fixed
from snakewebb.association import exposure_name
from snakewebb.dq import NON_SCIENCE
from snakewebb.errors import InputError
from snakewebb.exposure import read_notes, read_planes
from snakewebb.exposure_geometry import read_geometry
from snakewebb.fits_structure import find
from snakewebb.geometry import Correction, Geometry, to_plane
from snakewebb.grid import Grid, PixelMap, output_grid
from snakewebb.headers import number, read_header
from snakewebb.klip import Library, Subtracted
from snakewebb.stack_refs import read_usable
from snakewebb.star_light import StarLight, find_light
from snakewebb.strategy import library

if TYPE_CHECKING:
    from snakewebb.resample import Input

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


def star_position(geometry: Geometry, center: tuple[float, float]) -> tuple[float, float]:
    """Return RA and Dec, degrees, of a place on the detector, (x, y) 0-based pixels."""
    local = Grid(
        geometry.center(), (0.0, 0.0), geometry.pixel_scale, ((1.0, 0.0), (0.0, 1.0)), (2, 2)
    )
    u, v = PixelMap(geometry, local).lattice(np.array([center[0]]), np.array([center[1]]))
    ra, dec = local.pixel_to_sky(u, v)
    return float(np.ravel(ra)[0]), float(np.ravel(dec)[0])


def star_correction(
    geometry: Geometry, center: tuple[float, float], ra: float, dec: float
) -> Correction:
    """Return the correction of the pointing that puts a star in its place on the sky.

    No pixel is resampled: the frame is centred by its WCS, so errors of neighbouring pixels stay
    independent, and rolls combined by WCS turn about the star.

    Parameters
    ----------
    geometry : Geometry
        The exposure's.
    center : (x, y)
        Where the star is, 0-based pixels; see `snakewebb.align_refs.find_star`.
    ra, dec : float
        Where it belongs, degrees: the same for all exposures of it.
    """
    xi, eta = to_plane(*star_position(geometry, center), ra, dec)
    return Correction(ra, dec, ((1.0, 0.0), (0.0, 1.0)), (-float(xi), -float(eta)))


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
        See `snakewebb.klip.Library.subtract`.
    whole : bool, optional
        If not, the star's light is subtracted only where it is, see
        `snakewebb.star_light.find_light`.
    **region
        ``center`` and ``mask`` (E of them), ``annuli``, ``subsections``; see
        `snakewebb.klip.zones`.

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
        Options of `snakewebb.align_refs.repair`.
    strategy, truncate
        See `reduction`.
    inner_radius, outer_radius : float, optional
        Of the search region, arcsec. Without an outer one, the star's light is subtracted only
        where it is, if the frame is much larger; see `snakewebb.star_light.find_light`.
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


def locate_stars(paths: Sequence[str | Path], **options: Any) -> dict[str, dict[str, Any]]:
    """Find the star in the exposures of a product, and how to bring all to one place on the sky.

    Parameters
    ----------
    paths : sequence of paths
        ``_crfints`` of the science exposures.
    **options
        See `snakewebb.align_refs.repair`.

    Returns
    -------
    dict
        For JSON, by exposure: ``center`` and its ``error`` (x, y; 0-based pixels), the
        ``correction`` of the pointing that puts the star where the first exposure has it, the
        ``roll`` (degrees) and the ``pixel_scale`` (arcsec). Where no star is found ``reason`` says
        why; the center is where the header says (CRPIX), and its error is NaN.

    Raises
    ------
    InputError
        An exposure has no gWCS or no CRPIX, or no exposure has a good pixel.
    """
    known = []
    for path in paths:
        cube, usable = read_usable(path, options.get("bad_bits", "DO_NOT_USE"))
        geometry = Geometry.from_dict(read_geometry(path)["geometry"])
        center, error, reason = reference_pixel(path), (math.nan, math.nan), "has no good pixel"
        if usable.any():
            data, _, bad = fixed(cube["SCI"], cube["DQ"], **options)
            try:
                center, error = find_star(data.mean(axis=0), center, ~bad.any(axis=0))
                reason = ""
                log.info("%s: star at %.3f, %.3f", path, *center)
            except (InputError, np.linalg.LinAlgError) as failure:
                reason = f"the star is taken to be at CRPIX: {failure}"
                log.warning("%s: %s", path, reason)
        known.append((product_exposure(path), geometry, center, error, reason, usable.any()))
    if not any(usable for *_, usable in known):
        raise InputError(f"{paths[0]}: no exposure has a good pixel: check their DQ")
    # What is brought together is the star, so one that was found says where.
    _, geometry, center, *_ = min(known, key=lambda exposure: (exposure[4] != "", not exposure[5]))
    place = star_position(geometry, center)
    return {
        name: {
            "center": list(map(float, center)),
            "error": list(map(float, error)),
            "correction": star_correction(geometry, center, *place).to_dict(),
            "roll": geometry.roll_ref,
            "pixel_scale": 3600 * geometry.pixel_scale,
            **({"reason": reason} if reason else {}),
        }
        for name, geometry, center, error, reason, _ in known
    }


def reference_pixel(path: str | Path) -> tuple[float, float]:
    """Return where a header says that the star is, (x, y), 0-based pixels: CRPIX.

    Raises
    ------
    InputError
        It says nothing, or that it is beside the frame.
    """
    header, (ny, nx) = read_header(path), find(path, "SCI").shape[-2:]
    x, y = (
        number(header, key, 0.5, n + 0.5, path=path) for key, n in (("CRPIX1", nx), ("CRPIX2", ny))
    )
    if x is None or y is None:
        raise InputError(f"{path}: has no CRPIX1 and CRPIX2, where the star is: add them")
    return x - 1, y - 1


def product_exposure(path: str | Path) -> str:
    """Return the exposure that ``<exposure>_<asn_id>_<suffix>.fits`` is of.

    Before the suffix may stand a number of modes, ``_k5``.
    """
    return re.sub(r"_k\d+$", "", exposure_name(path)).rpartition("_")[0]


def integrations(paths: Sequence[str | Path], **parameters: Any) -> tuple[Grid, list[Input]]:
    """Return all integrations of exposures, to be drizzled together, and their grid.

    Errors that the integrations of an exposure have in common (VAR_FLAT: the flat field, the PSF
    model) do not average out. Drizzling takes inputs as independent, so they are multiplied by the
    number of integrations, which the mean over these then divides by.

    Parameters
    ----------
    paths : sequence of paths
        ``_psfsub``, whose WCS is corrected. Integrations without a good pixel are left out.
    **parameters
        Of `snakewebb.grid.output_grid`.
    """
    from snakewebb.resample import Input  # kernels that only this needs

    known = {product_exposure(path): read_geometry(path) for path in paths}
    geometries = {name: Geometry.from_dict(facts["geometry"]) for name, facts in known.items()}
    grid = output_grid(geometries, **parameters)
    inputs = []
    for path, (name, facts) in zip(paths, known.items(), strict=True):
        pixel_map = PixelMap(geometries[name], grid)
        planes = read_planes(path)
        shape = planes["SCI"].shape
        cubes = {n: p.reshape(-1, *shape[-2:]) for n, p in planes.items() if np.shape(p) == shape}
        empty = read_notes(path).get("klip", {}).get("without_pixels", [])
        if "VAR_FLAT" in cubes:
            cubes["VAR_FLAT"] = cubes["VAR_FLAT"] * np.isfinite(cubes["SCI"]).sum(axis=0)
        times = facts["measurement_time"], facts["exposure_time"]
        inputs += [
            Input(f"{name}[{k}]", {n: p[k] for n, p in cubes.items()}, pixel_map, None, *times)
            for k in range(len(cubes["SCI"]))
            if k + 1 not in empty
        ]
    if not inputs:
        raise InputError(f"{paths[0]}: no exposure has a good pixel: check their DQ")
    return grid, inputs
