"""Integrations of all rolls combined on the sky."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from snakewebb.coronagraphy.injection import Cubes, Reduce
from snakewebb.coronagraphy.klip import Subtracted
from snakewebb.errors import InputError
from snakewebb.io.names import product_exposure
from snakewebb.io.planes import read_planes
from snakewebb.io.provenance import read_notes
from snakewebb.mosaicking.resample import DrizzleOptions, Input, drizzle_band
from snakewebb.wcs.exposure import locate
from snakewebb.wcs.grid import output_grid
from snakewebb.wcs.layout import Layout, lay_out
from snakewebb.wcs.pixel_map import PixelMap


def combiner(
    inputs: Sequence[Input], how: DrizzleOptions = DrizzleOptions()
) -> Callable[[Cubes], np.ndarray]:
    """Return the combination of exposures into one image, as the resample step makes it.

    Parameters
    ----------
    inputs : sequence of Input
        All integrations of all exposures, in order, with their planes in memory; SCI is ignored.
    how : DrizzleOptions, optional

    Returns
    -------
    callable
        Takes a cube (n, ny, nx) an exposure, returns the image.
    """
    rows = slice(0, inputs[0].pixel_map.grid.shape[0])
    weights = []
    for each in inputs:
        assert isinstance(each.source, dict)  # not a file
        known = {name: plane for name, plane in each.source.items() if plane is not None}
        weights.append({name: plane for name, plane in known.items() if name != "SCI"})
    if not any("VAR_RNOISE" in planes for planes in weights):
        how = replace(how, weight_type=None)
    how = replace(how, enable_err=False, enable_ctx=False, fillval="NAN")

    def combine(cubes: Cubes) -> np.ndarray:
        images = (image for cube in cubes for image in cube)
        filled = [
            replace(each, source={"SCI": image, **planes})
            for each, planes, image in zip(inputs, weights, images, strict=True)
        ]
        return drizzle_band(filled, inputs[0].pixel_map.grid, rows, how).sci

    return combine


def reducer(
    subtract: Callable[[Cubes], Sequence[Sequence[Subtracted]]],
    combine: Callable[[Cubes], np.ndarray],
) -> Reduce:
    """Return the reduction that a product had, from its exposures to its combined images.

    Parameters
    ----------
    subtract : callable
        Of `snakewebb.coronagraphy.reduction.reduction`.
    combine : callable
        Of `combiner`.
    """

    def reduce(cubes: Cubes) -> np.ndarray:
        by_truncate = zip(*subtract(cubes), strict=True)
        return np.array([combine([part.data for part in parts]) for parts in by_truncate])

    return reduce


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
