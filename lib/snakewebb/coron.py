"""What the steps of coronagraphy share: the star's place on the sky, and a whole reduction."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from snakewebb.align_refs import find_star, fourier_shift, repair, shift_variance
from snakewebb.association import exposure_name
from snakewebb.dq import NON_SCIENCE
from snakewebb.exposure import open_fits, read_planes
from snakewebb.geometry import Correction, Geometry, to_plane
from snakewebb.grid import Grid, PixelMap, output_grid
from snakewebb.klip import Library, Subtracted, library
from snakewebb.resample import Input
from snakewebb.stack_refs import read_cube
from snakewebb.wcs import read_geometry

log = logging.getLogger(__name__)


def science_region(dq: np.ndarray) -> np.ndarray:
    """Return True where no integration, (n, ny, nx), is flagged NON_SCIENCE."""
    return ~((dq & np.uint32(NON_SCIENCE)) != 0).any(axis=0)


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
    **region
        ``center`` (E of them), ``annuli``, ``subsections``, ``mask``; see `snakewebb.klip.zones`.

    Returns
    -------
    callable
        Takes the exposures' cubes (T, ny, nx), repaired, and optionally their errors; returns a
        list over exposures of lists over `truncate`.
    """
    centers = region.pop("center", [None] * len(rolls))
    groups = list(range(len(references[0]))) if groups is None else list(groups)
    fixed: dict[int, Library] = {}

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
        known = all(variance is not None for variance in variances)
        built = Library(
            np.concatenate(images),
            np.sqrt(np.concatenate(variances)) if known else None,
            groups=names,
            center=centers[e],
            **region,
        )
        if strategy == "RDI":
            fixed[e] = built
        return built

    def reduce(
        cubes: Sequence[np.ndarray], errors: Sequence[np.ndarray] | None = None
    ) -> list[list[Subtracted]]:
        return [
            made(e, cubes, errors).subtract(
                cube,
                None if errors is None else errors[e],
                truncate=truncate,
                n_references=n_references,
                symmetry=symmetry,
            )
            for e, cube in enumerate(cubes)
        ]

    return reduce


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
        For JSON, by exposure: ``center`` and its ``error`` (x, y; 0-based pixels), and the
        ``correction`` of the pointing that puts the star where the first exposure has it.

    Raises
    ------
    InputError
        An exposure has no gWCS, or no star is found.
    """
    stars: dict[str, dict[str, Any]] = {}
    place: tuple[float, float] | None = None
    for path in paths:
        cube = read_cube(path)
        data, _, bad = repair(cube["SCI"], cube["DQ"], **options)
        geometry = Geometry.from_dict(read_geometry(path)["geometry"])
        with open_fits(path) as hdus:
            header = hdus["SCI"].header
            guess = header["CRPIX1"] - 1, header["CRPIX2"] - 1
        center, error = find_star(data.mean(axis=0), guess, ~bad.any(axis=0))
        place = place or star_position(geometry, center)
        stars[product_exposure(path)] = {
            "center": center.tolist(),
            "error": error.tolist(),
            "correction": star_correction(geometry, center, *place).to_dict(),
        }
        log.info("%s: star at %.3f, %.3f", path, *center)
    return stars


def product_exposure(path: str | Path) -> str:
    """Return the exposure that a file ``<exposure>_<asn_id>_<suffix>.fits`` is of."""
    return exposure_name(path).rpartition("_")[0]


def integrations(paths: Sequence[str | Path], **parameters: Any) -> tuple[Grid, list[Input]]:
    """Return all integrations of exposures, to be drizzled together, and their grid.

    Errors that the integrations of an exposure have in common (VAR_FLAT: the flat field, the PSF
    model) do not average out. Drizzling takes inputs as independent, so they are multiplied by the
    number of integrations, which the mean over these then divides by.

    Parameters
    ----------
    paths : sequence of paths
        ``_psfsub``, whose WCS is corrected.
    **parameters
        Of `snakewebb.grid.output_grid`.
    """
    known = {product_exposure(path): read_geometry(path) for path in paths}
    geometries = {name: Geometry.from_dict(facts["geometry"]) for name, facts in known.items()}
    grid = output_grid(geometries, **parameters)
    inputs = []
    for path, (name, facts) in zip(paths, known.items(), strict=True):
        pixel_map = PixelMap(geometries[name], grid)
        planes = read_planes(path)
        shape = planes["SCI"].shape
        cubes = {n: p.reshape(-1, *shape[-2:]) for n, p in planes.items() if np.shape(p) == shape}
        if "VAR_FLAT" in cubes:
            cubes["VAR_FLAT"] = cubes["VAR_FLAT"] * np.isfinite(cubes["SCI"]).sum(axis=0)
        times = facts["measurement_time"], facts["exposure_time"]
        inputs += [
            Input(f"{name}[{k}]", {n: p[k] for n, p in cubes.items()}, pixel_map, None, *times)
            for k in range(len(cubes["SCI"]))
        ]
    return grid, inputs
