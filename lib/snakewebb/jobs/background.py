"""Job background: exposures of empty sky, combined for all exposures that share them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import reduce
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from snakewebb.calibration.background import MEASURED, BackgroundOptions, combine
from snakewebb.calibration.exposures import check_setup
from snakewebb.errors import InputError
from snakewebb.io.bands import cut_rows
from snakewebb.io.dq import DO_NOT_USE
from snakewebb.io.names import exposure_name
from snakewebb.io.planes import Planes, has_plane, image_shape, read_planes, total_error
from snakewebb.io.provenance import Provenance
from snakewebb.jobs.options import options_of, record_of
from snakewebb.jobs.rate import check_rate
from snakewebb.products.exposure_copy import write_copy
from snakewebb.references.subarrays import Subarray, subarray_of
from snakewebb.sources.masks import source_mask

log = logging.getLogger(__name__)

NAMES = ("SCI", "ERR", "DQ", *MEASURED)
PIXEL = 1000
"""Bytes that a pixel of an integration may take: bands are so small that they stay in a cache."""


def combine_backgrounds(
    exposures: Sequence[str | Path],
    target: str | Path,
    *,
    step: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Combine background exposures, and write the result.

    Of cubes it is the mean over integrations that counts. Sources are found in each exposure, and
    masked where another one sees no source. Levels of the sky are matched. Exposures may be
    different parts of the detector: the result covers them all, and where they have no part in
    common their levels stay.

    Parameters
    ----------
    exposures : sequence of paths
        ``_rate`` and ``_rateints`` of one detector and filter.
    target : path
        The ``_combinedbackground`` to write: an image with the metadata of the first exposure.
    step : mapping, optional
        Options of `snakewebb.calibration.background.BackgroundOptions`.

    Raises
    ------
    InputError
        An exposure cannot be used, is of another detector or filter, or none is left.
    """
    how = options_of(BackgroundOptions, step)
    used = _distinct(exposures)
    setup = check_rate(used[0])
    for path in used[1:]:
        check_setup(path, check_rate(path), used[0], setup)
    places = [subarray_of(path) for path in used]
    whole = reduce(Subarray.union, places)
    common = reduce(Subarray.intersection, places)
    masks, levels = zip(*(_sources(path, how, common) for path in used), strict=True)
    known = levels if min(common.nx, common.ny) > 0 else None
    if len(used) == 1 and (share := float(masks[0].mean())) > 0:
        log.warning(
            "%s: is the only background exposure: its sources, on %.1f %% of its pixels, are "
            "subtracted, too",
            used[0],
            100 * share,
        )
    planes: dict[str, list[np.ndarray]] = {}
    count = rejected = 0
    integrations = sum(_integrations(path) for path in used)
    for rows in cut_rows(whole.ny, PIXEL * whole.nx * integrations, 1):
        stack = _stack(used, places, whole, rows, how)
        result = combine(stack, how, _masked(masks, places, whole, rows), known)
        count, rejected = count + result.used, rejected + result.rejected
        for name, plane in result.planes.items():
            planes.setdefault(name, []).append(plane)
    combined = {name: np.concatenate(bands) for name, bands in planes.items()}
    lost = int(((combined["DQ"] & DO_NOT_USE) != 0).sum())
    if lost == combined["DQ"].size:
        raise InputError(f"{used[0]}: no background exposure has a good pixel: give others")
    notes = {
        "exposures": [exposure_name(path) for path in used],
        "parameters": record_of(how),
        "level": float(np.nanmedian(combined["SCI"])),
        "variance": float(np.nanmedian(combined["ERR"] ** 2)),
        "levels": list(levels),
        "rejected": rejected / max(count + rejected, 1),
        "without_value": lost,
    }
    corner = {"xstart": whole.x, "ystart": whole.y, "xsize": whole.nx, "ysize": whole.ny}
    write_copy(
        used[0],
        target,
        combined,
        provenance=Provenance(notes={"bkg_subtract": notes}),
        metadata={"subarray": corner},
        whole=False,
    )


def _distinct(exposures: Sequence[str | Path]) -> list[str | Path]:
    """Return exposures, each once."""
    chosen: dict[str, str | Path] = {}
    for path in exposures:
        name = exposure_name(path)
        if name in chosen:
            log.warning("%s: is given twice as a background", path)
        else:
            chosen[name] = path
    if not chosen:
        raise InputError("there is no background exposure: give one")
    return list(chosen.values())


def _integrations(path: str | Path) -> int:
    shape = image_shape(path)
    return shape[0] if len(shape) == 3 else 1


def _image(path: str | Path, rows: slice, how: BackgroundOptions) -> Planes:
    """Read rows of an exposure, (rows, nx); of a cube the mean of its integrations."""
    known = read_planes(path, NAMES, rows)
    if known["DQ"] is None:
        known["DQ"] = np.zeros(known["SCI"].shape, np.uint32)
    if known["ERR"] is None:
        known["ERR"] = total_error(known)
        if known["ERR"] is None:
            raise InputError(f"{path}: has neither errors nor variances: give another background")
    planes = {name: plane for name, plane in known.items() if plane is not None}
    return planes if planes["SCI"].ndim == 2 else combine(planes, how).planes


def _sources(
    path: str | Path, how: BackgroundOptions, common: Subarray
) -> tuple[np.ndarray, float]:
    """Return where an exposure has sources, and its level: the median of the rest.

    That is the rest of the part that all exposures have, if there is one.
    """
    height = image_shape(path)[-2]
    row = PIXEL * image_shape(path)[-1] * _integrations(path)
    bands = [_image(path, rows, how) for rows in cut_rows(height, row, 1)]
    sci, dq = (np.concatenate([band[name] for band in bands]) for name in ("SCI", "DQ"))
    bad = ((dq & DO_NOT_USE) != 0) | ~np.isfinite(sci)
    if bad.all():
        raise InputError(f"{path}: has no good pixel: leave it out of the backgrounds")
    mask = source_mask(sci, bad)
    shared = np.zeros_like(bad)
    shared[subarray_of(path).window(common) or ()] = True
    parts = (good & ~bad for good in (shared & ~mask, shared, ~mask, ~bad))
    rest = next(sci[part] for part in parts if part.any())
    return mask, float(np.median(rest))


def _stack(
    paths: Sequence[str | Path],
    places: Sequence[Subarray],
    whole: Subarray,
    rows: slice,
    how: BackgroundOptions,
) -> Planes:
    """Read rows of a part of the detector from exposures, (n, rows, nx).

    Where an exposure is not, it is NaN and DO_NOT_USE.
    """
    shape = len(paths), rows.stop - rows.start, whole.nx
    names = [
        name for name in NAMES if name not in MEASURED or all(has_plane(p, name) for p in paths)
    ]
    stack: Planes = {name: np.full(shape, np.nan, np.float32) for name in names}
    stack["DQ"] = np.full(shape, DO_NOT_USE, np.uint32)
    for number, (path, place) in enumerate(zip(paths, places, strict=True)):
        inside, there = _overlap(place, whole, rows)
        if inside.start < inside.stop:
            image = _image(path, inside, how)
            for name, plane in stack.items():
                plane[number][there] = image[name]
    return stack


def _overlap(place: Subarray, whole: Subarray, rows: slice) -> tuple[slice, tuple[slice, slice]]:
    """Return the rows of an exposure that are among some of the whole, and where they are there."""
    below, left = place.y - whole.y, place.x - whole.x
    first, last = max(rows.start, below), min(rows.stop, below + place.ny)
    there = slice(first - rows.start, last - rows.start), slice(left, left + place.nx)
    return slice(first - below, last - below), there


def _masked(
    masks: Sequence[np.ndarray], places: Sequence[Subarray], whole: Subarray, rows: slice
) -> np.ndarray:
    """Return rows of the masks of exposures, (n, rows, nx) bool."""
    stack = np.zeros((len(masks), rows.stop - rows.start, whole.nx), bool)
    for number, (mask, place) in enumerate(zip(masks, places, strict=True)):
        inside, there = _overlap(place, whole, rows)
        if inside.start < inside.stop:
            stack[number][there] = mask[inside]
    return stack
