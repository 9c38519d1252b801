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
from snakewebb.io.dq import DO_NOT_USE, bad_mask
from snakewebb.io.names import product_exposure
from snakewebb.io.planes import Planes, read_planes
from snakewebb.io.provenance import read_notes
from snakewebb.mosaicking.resample import DrizzleOptions, Input, drizzle_band
from snakewebb.wcs.exposure import locate
from snakewebb.wcs.grid import output_grid
from snakewebb.wcs.layout import Layout, lay_out
from snakewebb.wcs.pixel_map import PixelMap

UNUSED = np.uint32(bad_mask("~DO_NOT_USE+NON_SCIENCE") | DO_NOT_USE)
"""Flags of pixels that are not drizzled by default."""


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
    names = {name for each in inputs for name, plane in _planes(each).items() if plane is not None}
    weight_type = how.weight_type if how.weight_type != "ivm" or "VAR_RNOISE" in names else None
    weights = [np.array([_weight(each, weight_type) for each in group]) for group in exposures]
    how = replace(how, weight_type="ivm", enable_err=False, enable_ctx=False, fillval="NAN")

    def drizzle(means: Sequence[np.ndarray], totals: Sequence[np.ndarray]) -> np.ndarray:
        with np.errstate(divide="ignore"):
            stacked = [
                replace(group[0], source={"SCI": mean, "VAR_RNOISE": 1 / total})
                for group, mean, total in zip(exposures, means, totals, strict=True)
            ]
        return drizzle_band(stacked, inputs[0].pixel_map.grid, rows, how).sci

    def whole(cubes: Cubes) -> np.ndarray:
        used = [weight * np.isfinite(cube) for weight, cube in zip(weights, cubes, strict=True)]
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

    every = [weight.sum(axis=0) for weight in weights]
    return Reduction(whole, lambda added: drizzle(added, every))


def _planes(exposure: Input) -> Planes:
    assert isinstance(exposure.source, dict)  # not a file
    return exposure.source


def _weight(exposure: Input, weight_type: str | None) -> np.ndarray:
    """Return what the pixels of an integration weigh, as `drizzle_band` has it, float64."""
    planes = _planes(exposure)
    known = {name: plane for name, plane in planes.items() if plane is not None and name != "SCI"}
    weight = np.ones(exposure.pixel_map.geometry.shape)
    if weight_type == "ivm":
        variance = known["VAR_RNOISE"].astype(np.float64)
        good = (variance > 0) & (variance < np.inf)
        weight = np.divide(1.0, variance, out=np.zeros_like(variance), where=good)
    elif weight_type == "exptime":
        weight *= exposure.measurement_time or exposure.exposure_time or 0.0
    for name, plane in known.items():
        weight[(plane & UNUSED) != 0 if name == "DQ" else np.isnan(plane)] = 0
    return weight


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
