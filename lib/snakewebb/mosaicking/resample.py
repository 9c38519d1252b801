"""Resampling of exposures onto a mosaic, a band of rows at a time: the drizzle."""

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from snakewebb.errors import InputError
from snakewebb.io.dq import DO_NOT_USE, bad_mask
from snakewebb.io.planes import ERRORS, Planes, has_error, has_plane
from snakewebb.kernels.resample import add_exposure, divide_totals
from snakewebb.mosaicking.drizzle import (
    POINT_PIXFRAC,
    VARIANCES,
    DrizzleOptions,
    Input,
    check_options,
    drizzle_exposure,
    reach_of,
    read_exposure,
    weights,
)
from snakewebb.wcs.exposure import Exposure, Exposures
from snakewebb.wcs.grid import Grid
from snakewebb.wcs.layout import Layout
from snakewebb.wcs.pixel_map import PixelMap

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Band:
    """Some rows of a mosaic.

    Attributes
    ----------
    sci : (h, nx) float32
        In the units of the inputs; the fill value where no input has weight.
    wht : (h, nx) float32
        Sum of weights.
    con : (planes, h, nx) int32 or None
        Bit ``i % 32`` of plane ``i // 32`` is set where input i (from 0) has weight.
    var_rnoise, var_poisson, var_flat : (h, nx) float32 or None
        NaN where no input has a variance.
    var_pixel : (h, nx) float32 or None
        The variance of SCI; NaN where some input has none.
    """

    sci: np.ndarray
    wht: np.ndarray
    con: np.ndarray | None
    var_rnoise: np.ndarray | None
    var_poisson: np.ndarray | None
    var_flat: np.ndarray | None
    var_pixel: np.ndarray | None


def drizzle_band(
    inputs: Sequence[Input | None],
    grid: Grid,
    rows: slice,
    how: DrizzleOptions = DrizzleOptions(),
    *,
    good_bits: str | int | None = "~DO_NOT_USE+NON_SCIENCE",
) -> Band:
    """Drizzle exposures onto some rows of an output grid.

    Surface brightness is kept. Only the exposures, and only the rows of them, that fall on the
    band are read, one exposure at a time. With the square kernel the result has the same bits
    however a mosaic is cut into bands; the others go through the library drizzle.

    Variances are those of the reference pipeline: for each exposure the square of the drizzled
    square root, and their mean over exposures with weights from the drizzled VAR_RNOISE (``ivm``)
    or the time, divided by ``grid.pixel_scale_ratio`` squared. Of an exposure that has errors but
    no variances, the squares of these count as VAR_POISSON.

    The variance of a pixel Σ a w s / Σ a w of SCI, with pixel values s, weights w and the shares a
    of drops, is Σ (a w)² σ² / (Σ a w)²; σ² are the sums of the variances, of which VAR_FLAT counts
    as often as exposures have the same pixels on the same sky. It is made with the square kernel.

    Parameters
    ----------
    inputs : sequence of Input
        All exposures of the mosaic, in the order of the context bits; None for one that is known
        to miss the band.
    grid : Grid
        The output grid, that of the inputs' pixel maps.
    rows : slice
        Output rows of the band.
    how : DrizzleOptions, optional
    good_bits : str, int or None, optional
        DQ bits to ignore, see `snakewebb.io.dq.bad_mask`. A pixel that is flagged DO_NOT_USE, or
        NaN or infinite in any plane, is never used.

    Raises
    ------
    InputError
        A parameter is out of range, a file cannot be read, or an exposure has no time where its
        weight needs one.

    Notes
    -----
    Memory: 96 bytes for each pixel of the band (24 without variances), 4 for each 32 inputs if
    context is made, and about 50 for each pixel read of the exposure at hand.
    """
    check_options(how.kernel, how.weight_type, how.pixfrac)
    fill = fill_value(how.fillval)
    bad_bits = bad_mask(good_bits) | DO_NOT_USE
    kernel = "point" if how.pixfrac <= POINT_PIXFRAC else how.kernel
    start, stop, _ = rows.indices(grid.shape[0])
    shape = stop - start, grid.shape[1]
    totals = np.zeros((9 if how.enable_err else 2, *shape))
    con = np.zeros(((len(inputs) - 1) // 32 + 1 if how.enable_ctx else 0, *shape), np.uint32)
    used = []
    for number, exposure in enumerate(inputs):
        if exposure is None:
            continue
        found = read_exposure(exposure, start, stop, reach_of(kernel, grid))
        if found is None:
            continue
        planes, x, y = found
        weight, time = weights(exposure, planes, how.weight_type, bad_bits)
        images = (
            [planes[name] for name in ("SCI", *VARIANCES)] if how.enable_err else [planes["SCI"]]
        )
        images = [np.full_like(weight, np.nan) if image is None else image for image in images]
        plane = con[number // 32] if how.enable_ctx else np.zeros((0, 0), np.uint32)
        for sums, top, left in drizzle_exposure(
            exposure, images, weight, x, y, (start, stop), kernel, how.pixfrac
        ):
            add_exposure(sums, top - start, left, time, totals, plane, np.uint32(1 << number % 32))
        used.append(exposure.name)
    log.info("rows %d to %d from %s", start, stop, ", ".join(used) or "no exposure")
    sci, wht = np.empty((2, *shape), np.float32)
    variances = np.empty((len(VARIANCES) + 1 if how.enable_err else 0, *shape), np.float32)
    divide_totals(totals, fill, grid.pixel_scale_ratio, sci, wht, variances)
    rnoise, poisson, flat, exact = variances if how.enable_err else 4 * [None]
    return Band(
        sci,
        wht,
        con.view(np.int32) if how.enable_ctx else None,
        rnoise,
        poisson,
        flat,
        exact if kernel == "square" else None,
    )


def band_inputs(
    layout: Layout,
    sources: Sequence[str | Path],
    known: Exposures,
    rows: slice,
    sky: Callable[[Exposure], float | None],
) -> list[Input | None]:
    """Return the exposures of a layout that may fall on some rows, None for the others.

    Parameters
    ----------
    layout : Layout
        The product's.
    sources : sequence of paths
        Its exposures, in the layout's order.
    known : callable
        See `snakewebb.wcs.exposure.open_exposures`.
    rows : slice
        Output rows.
    sky : callable
        ``sky(exposure)`` returns the level to subtract from its pixels, or None.
    """
    margin = reach_of("lanczos3", layout.grid)
    inputs: list[Input | None] = []
    for (name, placement), source in zip(layout.placements.items(), sources, strict=True):
        if not placement.meets_rows(rows.start - margin, rows.stop + margin):
            inputs.append(None)
            continue
        exposure = known(name)
        inputs.append(
            Input(
                name,
                source,
                PixelMap(exposure.geometry.corrected(placement.correction), layout.grid),
                sky(exposure),
                exposure.header.measurement_time,
                exposure.header.exposure_time,
                layout.repeats[name],
            )
        )
    return inputs


def has_errors(sources: Iterable[str | Path | Planes]) -> bool:
    """Return whether some exposure, a file or planes, has errors or variances.

    If none has, a mosaic of them is made without (``enable_err``).
    """
    return any(
        any(source.get(name) is not None for name in ERRORS)
        if isinstance(source, dict)
        else has_error(source)
        for source in sources
    )


def tell_missing(paths: Iterable[str | Path], how: DrizzleOptions) -> None:
    """Log which exposures lack what their weights, or the variance of the mosaic, are made of."""
    for path in paths:
        if how.weight_type == "ivm" and not has_plane(path, "VAR_RNOISE"):
            log.warning("%s has no VAR_RNOISE: all its pixels weigh 1", path)
        if how.enable_err and not has_error(path):
            log.warning("%s has no errors: ERR is of the others, VAR_PIXEL is NaN there", path)


def fill_value(fillval: str | float | None) -> float:
    """Return the number that jwst's parameter ``fillval`` means.

    Raises
    ------
    InputError
        It is neither a number nor 'NAN' or 'INDEF'.
    """
    text = str(fillval).strip().upper()
    if text in {"NAN", "INDEF", "NONE", ""}:
        return math.nan
    try:
        return float(text)
    except ValueError:
        raise InputError(f"fillval: {fillval!r} is no number: give one, or NAN") from None
