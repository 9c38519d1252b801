"""Resampling of exposures onto a mosaic, a band of rows at a time: the drizzle."""

import logging
import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from snakewebb.errors import InputError
from snakewebb.io.dq import DO_NOT_USE, bad_mask
from snakewebb.io.planes import ERRORS, PLANES, Planes, has_error, read_planes
from snakewebb.kernels.drizzle import MARGIN, add_exposure, divide_totals, drizzle_square
from snakewebb.wcs.exposure import Exposure, Exposures
from snakewebb.wcs.grid import Grid
from snakewebb.wcs.layout import Layout
from snakewebb.wcs.pixel_map import PixelMap

log = logging.getLogger(__name__)

KERNELS = ("square", "point", "turbo", "gaussian", "lanczos2", "lanczos3")
WEIGHT_TYPES = ("ivm", "exptime", None)
VARIANCES = ("VAR_RNOISE", "VAR_POISSON", "VAR_FLAT")
NEEDED = ("SCI", "ERR", "DQ", *VARIANCES)
POINT_PIXFRAC = 0.001  # drops this small are points


@dataclass(frozen=True)
class Input:
    """An exposure to drizzle.

    Attributes
    ----------
    name : str
        For messages.
    source : path or Planes
        The exposure's file, or its 2-D planes in memory, named as `snakewebb.io.planes.read_planes`
        names them.
    pixel_map : PixelMap
        From the exposure's pixels to those of the output grid.
    sky : float, optional
        Level to subtract from SCI, in its units.
    measurement_time, exposure_time : float, optional
        Seconds.
    """

    name: str
    source: str | Path | Planes
    pixel_map: PixelMap
    sky: float | None = None
    measurement_time: float | None = None
    exposure_time: float | None = None


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
    """

    sci: np.ndarray
    wht: np.ndarray
    con: np.ndarray | None
    var_rnoise: np.ndarray | None
    var_poisson: np.ndarray | None
    var_flat: np.ndarray | None


@dataclass(frozen=True, kw_only=True)
class DrizzleOptions:
    """How exposures are drizzled, after jwst's ``resample``.

    Attributes
    ----------
    pixfrac : float
        Side of the drop over that of the input pixel, 0 to 1.
    kernel : str
        One of ``KERNELS``. Gaussian and Lanczos kernels do not conserve flux.
    fillval : str or float
        Value of SCI where no input has weight; 'NAN' and 'INDEF' are NaN.
    weight_type : {'ivm', 'exptime', None}
        Weight of a pixel: 1 / VAR_RNOISE (1 where the file has none), the measurement time (or
        else the exposure time), or 1.
    enable_err, enable_ctx : bool
        Make the variances and the context planes.
    """

    pixfrac: float = 1.0
    kernel: str = "square"
    fillval: str | float | None = "NAN"
    weight_type: str | None = "ivm"
    enable_err: bool = True
    enable_ctx: bool = True


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
        NaN in any plane, is never used.

    Raises
    ------
    InputError
        A parameter is out of range, a file cannot be read, or an exposure has no time where its
        weight needs one.

    Notes
    -----
    Memory: 84 bytes for each pixel of the band (24 without variances), 4 for each 32 inputs if
    context is made, 40 (16) for each pixel of it that the exposure at hand may touch, and about
    50 for each pixel read.
    """
    if how.kernel not in KERNELS:
        raise InputError(f"kernel: {how.kernel!r} is none: choose from {', '.join(KERNELS)}")
    if how.weight_type not in WEIGHT_TYPES:
        raise InputError(
            f"weight_type: {how.weight_type!r} is none: choose 'ivm', 'exptime' or None"
        )
    if not 0.0 <= how.pixfrac <= 1.0:
        raise InputError(f"pixfrac: {how.pixfrac} is out of range: give a number from 0 to 1")
    fill = fill_value(how.fillval)
    bad_bits = bad_mask(good_bits) | DO_NOT_USE
    kernel = "point" if how.pixfrac <= POINT_PIXFRAC else how.kernel
    start, stop, _ = rows.indices(grid.shape[0])
    shape = stop - start, grid.shape[1]
    totals = np.zeros((*shape, 8 if how.enable_err else 2))
    con = np.zeros(((len(inputs) - 1) // 32 + 1 if how.enable_ctx else 0, *shape), np.uint32)
    used = []
    for number, exposure in enumerate(inputs):
        found = None if exposure is None else _read(exposure, start, stop, _reach(kernel, grid))
        if exposure is None or found is None:
            continue
        planes, x, y = found
        weight, time = _weights(exposure, planes, how.weight_type, bad_bits)
        images = (
            [planes[name] for name in ("SCI", *VARIANCES)] if how.enable_err else [planes["SCI"]]
        )
        images = [np.full_like(weight, np.nan) if image is None else image for image in images]
        sums, top, left = _drizzle(
            exposure, images, weight, x, y, (start, stop), kernel, how.pixfrac
        )
        plane = con[number // 32] if how.enable_ctx else np.zeros((0, 0), np.uint32)
        add_exposure(sums, top - start, left, time, totals, plane, np.uint32(1 << number % 32))
        used.append(exposure.name)
    log.info("rows %d to %d from %s", start, stop, ", ".join(used) or "no exposure")
    sci, wht = np.empty((2, *shape), np.float32)
    means = np.empty((len(VARIANCES) if how.enable_err else 0, *shape), np.float32)
    divide_totals(totals, fill, grid.pixel_scale_ratio, sci, wht, means)
    return Band(
        sci,
        wht,
        con.view(np.int32) if how.enable_ctx else None,
        *(means if how.enable_err else 3 * [None]),
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
    margin = _reach("lanczos3", layout.grid)
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


def _reach(kernel: str, grid: Grid) -> int:
    """Return how many output pixels beyond the input pixels' own a kernel may reach."""
    return 0 if kernel == "square" else math.ceil(3 / grid.pixel_scale_ratio) + 1


def _read(
    exposure: Input, start: int, stop: int, reach: int
) -> tuple[Planes, np.ndarray, np.ndarray] | None:
    """Read what of an exposure may fall on output rows; return its columns and rows, too."""
    geometry = exposure.pixel_map.geometry
    wanted = exposure.pixel_map.rows(start - reach, stop + reach)
    (x0, x1), (y0, y1) = geometry.bounding_box
    x = np.arange(max(math.ceil(x0), 0), min(math.floor(x1) + 1, geometry.shape[1]))
    y = np.arange(max(math.ceil(y0), wanted.start), min(math.floor(y1) + 1, wanted.stop))
    if not (x.size and y.size):
        return None
    rows, columns = slice(int(y[0]), int(y[-1]) + 1), slice(int(x[0]), int(x[-1]) + 1)
    if isinstance(exposure.source, dict):
        found = {name: exposure.source.get(name) for name in NEEDED}
        planes = {n: p if p is None else np.array(p[rows], PLANES[n]) for n, p in found.items()}
    else:
        planes = read_planes(exposure.source, NEEDED, rows)
    if planes["ERR"] is not None and all(planes[name] is None for name in VARIANCES):
        with np.errstate(over="ignore"):
            planes["VAR_POISSON"] = planes["ERR"] ** 2
    if planes["SCI"].ndim != 2:
        raise InputError(f"{exposure.name}: SCI is not a 2-D image: give its planes one by one")
    cut = {n: p if p is None else np.ascontiguousarray(p[:, columns]) for n, p in planes.items()}
    return cut, x, y


def _weights(
    exposure: Input, planes: Planes, weight_type: str | None, bad_bits: int
) -> tuple[np.ndarray, float]:
    """Return the pixels' weights, and that of the exposure's variances (0: see `add_exposure`)."""
    shape, rnoise, time = planes["SCI"].shape, planes["VAR_RNOISE"], 1.0
    if weight_type == "ivm" and rnoise is not None:
        time = 0.0
        with np.errstate(divide="ignore", over="ignore"):
            weight = np.float32(1) / rnoise
        weight[~((weight > 0) & (weight < np.inf))] = 0
    elif weight_type == "exptime":
        time = exposure.measurement_time or exposure.exposure_time
        if not time:
            raise InputError(
                f"{exposure.name}: has neither a measurement nor an exposure time: use "
                "weight_type 'ivm'"
            )
        weight = np.full(shape, time, np.float32)
    else:
        if weight_type == "ivm":
            log.warning("%s has no VAR_RNOISE: all its pixels weigh 1", exposure.name)
        weight = np.ones(shape, np.float32)
    for name, plane in planes.items():
        if plane is not None:
            bad = (plane & np.uint32(bad_bits)) != 0 if name == "DQ" else np.isnan(plane)
            weight[bad] = 0
    return weight, time


def _drizzle(
    exposure: Input,
    images: list[np.ndarray],
    weight: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    rows: tuple[int, int],
    kernel: str,
    pixfrac: float,
) -> tuple[np.ndarray, int, int]:
    """Drizzle an exposure's images; return their sums, and these' first output row and column.

    The image comes first, then variances, whose square roots are drizzled.
    """
    grid, sky = exposure.pixel_map.grid, exposure.sky or 0.0
    if kernel == "square":
        x, y = (np.append(centres, centres[-1] + 1) - 0.5 for centres in (x, y))
    u, v = exposure.pixel_map.lattice(x, y)
    reach = _reach(kernel, grid)
    top = max(math.floor(v.min() + 0.5) - reach, rows[0])
    left = max(math.floor(u.min() + 0.5) - reach, 0)
    height = max(min(math.floor(v.max() + 0.5) + reach + 1, rows[1]) - top, 0)
    width = max(min(math.floor(u.max() + 0.5) + reach + 1, grid.shape[1]) - left, 0)
    sums = np.zeros((height + 2 * MARGIN, width + 2 * MARGIN, 1 + len(images)))
    if kernel == "square":
        drizzle_square(u, v, pixfrac, weight, tuple(images), sky, top, left, sums)
    elif height and width:
        with np.errstate(invalid="ignore"):
            images = [images[0] - np.float32(sky), *map(np.sqrt, images[1:])]
        # The library skips pixels whose centres lie outside its frame, so that is made wider.
        pixmap = np.stack((u - (left - reach), v - (top - reach)), axis=-1)
        inner = slice(reach, reach + height), slice(reach, reach + width)
        target = sums[MARGIN:-MARGIN, MARGIN:-MARGIN]
        for k, image in enumerate(images):
            mean, total = _drizzle_by_library(
                image,
                weight,
                pixmap,
                (height + 2 * reach, width + 2 * reach),
                kernel,
                pixfrac,
                grid,
            )
            target[..., 0] = total[inner]
            target[..., k + 1] = target[..., 0] * mean[inner]
    return sums, top, left


def _drizzle_by_library(
    image: np.ndarray,
    weight: np.ndarray,
    pixmap: np.ndarray,
    shape: tuple[int, int],
    kernel: str,
    pixfrac: float,
    grid: Grid,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the weighted mean image and the weights that the library drizzle makes."""
    from drizzle.resample import Drizzle

    library = Drizzle(kernel=kernel, fillval=0.0, out_shape=shape, disable_ctx=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* is not a flux-conserving kernel")
        library.add_image(
            image,
            exptime=1.0,
            pixmap=pixmap,
            pixel_scale_ratio=grid.pixel_scale_ratio,
            weight_map=weight,
            pixfrac=pixfrac if kernel in {"turbo", "gaussian"} else 1.0,
        )
    return library.out_img, library.out_wht
