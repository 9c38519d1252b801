"""Integrations of all rolls combined on the sky."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from snakewebb.coronagraphy.injection import Cubes, Reduction
from snakewebb.coronagraphy.klip import Subtracted
from snakewebb.errors import InputError
from snakewebb.io.names import product_exposure
from snakewebb.io.planes import read_planes
from snakewebb.io.provenance import read_notes
from snakewebb.mosaicking.drizzle import UNUSED, weights
from snakewebb.mosaicking.resample import DrizzleOptions, Input, drizzle_band
from snakewebb.wcs.exposure import locate
from snakewebb.wcs.grid import output_grid
from snakewebb.wcs.layout import Layout, lay_out
from snakewebb.wcs.pixel_map import PixelMap


def combiner(inputs: Sequence[Input], how: DrizzleOptions = DrizzleOptions()) -> Reduction:
    """Return the combination of exposures into one image, as the resample step makes it.

    The integrations of an exposure lie on the same pixels, so their weighted mean is drizzled,
    which is the same as to drizzle each.

    Parameters
    ----------
    inputs : sequence of Input
        All integrations of all exposures, in order, with their planes in memory; SCI is ignored.
        Those of one exposure have one pixel map.
    how : DrizzleOptions, optional

    Returns
    -------
    Reduction
        To one image.
    """
    rows = slice(0, inputs[0].pixel_map.grid.shape[0])
    exposures = [list(group) for _, group in groupby(inputs, lambda each: id(each.pixel_map))]
    every_weight = [np.array([_weight(each, how) for each in group]) for group in exposures]
    how = replace(how, weight_type="ivm", enable_err=False, enable_ctx=False, fillval="NAN")

    def drizzle(means: Sequence[np.ndarray], totals: Sequence[np.ndarray]) -> np.ndarray:
        with np.errstate(divide="ignore"):
            stacked = [
                replace(group[0], source={"SCI": mean, "VAR_RNOISE": 1 / total})
                for group, mean, total in zip(exposures, means, totals, strict=True)
            ]
        return drizzle_band(stacked, inputs[0].pixel_map.grid, rows, how).sci

    def whole(cubes: Cubes) -> np.ndarray:
        used = [
            weight * np.isfinite(cube) for weight, cube in zip(every_weight, cubes, strict=True)
        ]
        totals = [weight.sum(axis=0) for weight in used]
        sums = [
            np.einsum("tyx,tyx->yx", weight, np.nan_to_num(cube, posinf=0.0, neginf=0.0))
            for weight, cube in zip(used, cubes, strict=True)
        ]
        means = [
            np.divide(light, total, out=np.zeros_like(light), where=total > 0)
            for light, total in zip(sums, totals, strict=True)
        ]
        return drizzle(means, totals)

    every = [weight.sum(axis=0) for weight in every_weight]
    return Reduction(whole, lambda added: drizzle(added, every))


def _weight(exposure: Input, how: DrizzleOptions) -> np.ndarray:
    """Return what the pixels of an integration weigh, whatever its image, float64."""
    assert isinstance(exposure.source, dict)  # not a file
    image = np.zeros(exposure.pixel_map.geometry.shape, np.float32)
    planes = {"VAR_RNOISE": None, **exposure.source, "SCI": image}
    return weights(exposure, planes, how.weight_type, UNUSED)[0].astype(np.float64)


def reducer(
    subtract: Callable[[Cubes], Sequence[Sequence[Subtracted]]],
    combine: Reduction,
    *,
    linear: bool = False,
) -> Reduction:
    """Return the reduction that a product had, from its exposures to its combined images.

    Parameters
    ----------
    subtract : callable
        Of `snakewebb.coronagraphy.reduction.reduction`.
    combine : Reduction
        Of `combiner`.
    linear : bool, optional
        Whether `subtract` takes from a sum of exposures what it takes from each.
    """

    def whole(cubes: Cubes) -> np.ndarray:
        by_truncate = zip(*subtract(cubes), strict=True)
        return np.array([combine([part.data for part in parts]) for parts in by_truncate])

    def of_added(added: Sequence[np.ndarray]) -> np.ndarray:
        by_truncate = zip(*subtract([image[None] for image in added]), strict=True)
        respond = combine.response([])
        return np.array([respond([part.data[0] for part in parts]) for parts in by_truncate])

    return Reduction(whole, of_added if linear else None)


def integrations(paths: Sequence[str | Path], **parameters: Any) -> tuple[Layout, list[Input]]:
    """Return how exposures are laid out, and all their integrations, to be drizzled together.

    Errors that the integrations of an exposure have in common (VAR_FLAT: the flat field, the PSF
    model) do not average out. Drizzling takes inputs as independent, so they are multiplied by the
    number of integrations, which the mean over these then divides by.

    Parameters
    ----------
    paths : sequence of paths
        ``_psfsub``, whose WCS is corrected. Integrations without a good pixel are left out.
    **parameters
        Of `snakewebb.wcs.grid.output_grid`.
    """
    known = {product_exposure(path): locate(path)[0] for path in paths}
    geometries = {name: exposure.geometry for name, exposure in known.items()}
    groups = {name: exposure.header.group_id for name, exposure in known.items()}
    grid = output_grid(geometries, **parameters)
    inputs = []
    for path, (name, exposure) in zip(paths, known.items(), strict=True):
        pixel_map = PixelMap(geometries[name], grid)
        planes = {n: plane for n, plane in read_planes(path).items() if plane is not None}
        shape = planes["SCI"].shape
        cubes = {n: p.reshape(-1, *shape[-2:]) for n, p in planes.items() if p.shape == shape}
        empty = read_notes(path).get("klip", {}).get("without_pixels", [])
        if "VAR_FLAT" in cubes:
            cubes["VAR_FLAT"] = cubes["VAR_FLAT"] * np.isfinite(cubes["SCI"]).sum(axis=0)
        times = exposure.header.measurement_time, exposure.header.exposure_time
        inputs += [
            Input(f"{name}[{k}]", {n: p[k] for n, p in cubes.items()}, pixel_map, None, *times)
            for k in range(len(cubes["SCI"]))
            if k + 1 not in empty
        ]
    if not inputs:
        raise InputError(f"{paths[0]}: no exposure has a good pixel: check their DQ")
    return lay_out(geometries, groups, dict.fromkeys(geometries), grid), inputs
