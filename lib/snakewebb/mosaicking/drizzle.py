"""One exposure drizzled: what of it is read, how its pixels weigh, what they add to the mosaic."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from snakewebb.errors import InputError
from snakewebb.io.dq import DO_NOT_USE, bad_mask
from snakewebb.io.planes import PLANES, Planes, read_planes
from snakewebb.kernels.drizzle import MARGIN, drizzle_square, weigh
from snakewebb.wcs.geometry import Geometry
from snakewebb.wcs.grid import Grid
from snakewebb.wcs.pixel_map import PixelMap

KERNELS = ("square", "point", "turbo", "gaussian", "lanczos2", "lanczos3")
WEIGHT_TYPES = ("ivm", "exptime", None)
VARIANCES = ("VAR_RNOISE", "VAR_POISSON", "VAR_FLAT")
NEEDED = ("SCI", "ERR", "DQ", *VARIANCES)
UNUSED = bad_mask("~DO_NOT_USE+NON_SCIENCE") | DO_NOT_USE
"""Flags of pixels that are not drizzled by default."""
STRIP = 32
"""Rows of sums at a time: what is added to them stays in a core's cache until it is taken."""
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
    repeats : int, optional
        How many exposures of the mosaic, this one among them, see the same sky with the same
        pixels. Errors of the flat field are the same in all of them.
    """

    name: str
    source: str | Path | Planes
    pixel_map: PixelMap
    sky: float | None = None
    measurement_time: float | None = None
    exposure_time: float | None = None
    repeats: int = 1


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


def check_options(kernel: str, weight_type: str | None, pixfrac: float) -> None:
    """Raise where an option of `DrizzleOptions` is out of range."""
    if kernel not in KERNELS:
        raise InputError(f"kernel: {kernel!r} is none: choose from {', '.join(KERNELS)}")
    if weight_type not in WEIGHT_TYPES:
        raise InputError(f"weight_type: {weight_type!r} is none: choose 'ivm', 'exptime' or None")
    if not 0.0 <= pixfrac <= 1.0:
        raise InputError(f"pixfrac: {pixfrac} is out of range: give a number from 0 to 1")


def reach_of(kernel: str, grid: Grid) -> int:
    """Return how many output pixels beyond the input pixels' own a kernel may reach."""
    return 0 if kernel == "square" else math.ceil(3 / grid.pixel_scale_ratio) + 1


def read_exposure(
    exposure: Input, start: int, stop: int, reach: int
) -> tuple[Planes, np.ndarray, np.ndarray] | None:
    """Read what of an exposure may fall on output rows; return its columns and rows, too."""
    wanted = exposure.pixel_map.rows(start - reach, stop + reach)
    columns, rows = usable(exposure.pixel_map.geometry)
    rows = slice(max(rows.start, wanted.start), min(rows.stop, wanted.stop))
    x, y = np.arange(columns.start, columns.stop), np.arange(rows.start, rows.stop)
    if not (x.size and y.size):
        return None
    return read_part(exposure, rows, columns), x, y


def usable(geometry: Geometry) -> tuple[slice, slice]:
    """Return the columns and the rows of the pixels in an exposure's bounding box."""
    (x0, x1), (y0, y1) = geometry.bounding_box
    ny, nx = geometry.shape
    return (
        slice(max(math.ceil(x0), 0), min(math.floor(x1) + 1, nx)),
        slice(max(math.ceil(y0), 0), min(math.floor(y1) + 1, ny)),
    )


def read_part(exposure: Input, rows: slice, columns: slice) -> Planes:
    """Read some rows and columns of an exposure."""
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
    return {n: p if p is None else np.ascontiguousarray(p[:, columns]) for n, p in planes.items()}


def weights(
    exposure: Input, planes: Planes, weight_type: str | None, bad_bits: int
) -> tuple[np.ndarray, float]:
    """Return the pixels' weights, and that of the exposure's variances (0: see `add_exposure`)."""
    sci, dq = np.ascontiguousarray(planes["SCI"], np.float32), planes.get("DQ")
    others = {name: planes.get(name) for name in ("ERR", *VARIANCES)}
    time = 1.0
    if weight_type == "ivm" and others["VAR_RNOISE"] is not None:
        time = 0.0
    elif weight_type == "exptime":
        given = exposure.measurement_time or exposure.exposure_time
        if not given:
            raise InputError(
                f"{exposure.name}: has neither a measurement nor an exposure time: use "
                "weight_type 'ivm'"
            )
        time = given
    err, rnoise, poisson, flat = (
        sci if plane is None else np.ascontiguousarray(plane, np.float32)
        for plane in others.values()
    )
    flags = sci.view(np.uint32) if dq is None else np.ascontiguousarray(dq, np.uint32)
    bits = np.uint32(0 if dq is None else bad_bits)
    weight = np.empty(sci.shape, np.float32)
    weigh(sci, err, flags, rnoise, poisson, flat, bits, np.float32(time), weight)
    return weight, time


def drizzle_exposure(
    exposure: Input,
    images: list[np.ndarray],
    weight: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    rows: tuple[int, int],
    kernel: str,
    pixfrac: float,
) -> Iterator[tuple[np.ndarray, int, int]]:
    """Drizzle an exposure's images; yield their sums, and these' first output row and column.

    They come in strips of rows, each in the memory of the one before. The image comes first, then
    variances, whose square roots are drizzled; of these all together, as
    `snakewebb.kernels.drizzle.drizzle_square` says. The library's kernels give NaN for that.
    """
    grid, sky = exposure.pixel_map.grid, exposure.sky or 0.0
    if kernel == "square":
        x, y = (np.append(centres, centres[-1] + 1) - 0.5 for centres in (x, y))
    u, v = exposure.pixel_map.lattice(x, y)
    reach = reach_of(kernel, grid)
    top = max(math.floor(v.min() + 0.5) - reach, rows[0])
    left = max(math.floor(u.min() + 0.5) - reach, 0)
    bottom = max(min(math.floor(v.max() + 0.5) + reach + 1, rows[1]), top)
    height = bottom - top
    width = max(min(math.floor(u.max() + 0.5) + reach + 1, grid.shape[1]) - left, 0)
    strip = STRIP if kernel == "square" else max(height, 1)
    memory = np.empty((strip + 2 * MARGIN, width + 2 * MARGIN, 2 * len(images)))
    lows, highs = v.min(axis=1), v.max(axis=1)
    lows, highs = np.minimum(lows[:-1], lows[1:]), np.maximum(highs[:-1], highs[1:])
    for start in range(top, bottom, strip):
        stop = min(start + strip, bottom)
        sums = memory[: stop - start + 2 * MARGIN]
        sums[:] = 0.0
        if kernel == "square":
            near = np.flatnonzero((lows < stop - 0.5) & (highs > start - 0.5))
            part = slice(near[0], near[-1] + 1) if near.size else slice(0, 0)
            drizzle_square(
                u[part.start : part.stop + 1],
                v[part.start : part.stop + 1],
                pixfrac,
                weight[part],
                tuple(image[part] for image in images),
                sky,
                float(exposure.repeats),
                start,
                left,
                sums,
            )
        elif width:
            _add_by_library(exposure, images, weight, (u, v), kernel, pixfrac, (start, left), sums)
        yield sums, start, left


def _add_by_library(
    exposure: Input,
    images: list[np.ndarray],
    weight: np.ndarray,
    places: tuple[np.ndarray, np.ndarray],
    kernel: str,
    pixfrac: float,
    corner: tuple[int, int],
    sums: np.ndarray,
) -> None:
    """Add an exposure's images, drizzled by the library, to sums over a window."""
    grid = exposure.pixel_map.grid
    reach = reach_of(kernel, grid)
    (u, v), (top, left) = places, corner
    with np.errstate(invalid="ignore"):
        sky = np.float32(exposure.sky or 0.0)
        images = [images[0] - sky, *map(np.sqrt, images[1:])]
    # The library skips pixels whose centres lie outside its frame, so that is made wider.
    pixmap = np.stack((u - (left - reach), v - (top - reach)), axis=-1)
    target = sums[MARGIN:-MARGIN, MARGIN:-MARGIN]
    height, width = target.shape[:2]
    inner = slice(reach, reach + height), slice(reach, reach + width)
    frame = height + 2 * reach, width + 2 * reach
    for k, image in enumerate(images):
        mean, total = _drizzle_by_library(image, weight, pixmap, frame, kernel, pixfrac, grid)
        target[..., 0] = total[inner]
        target[..., k + 1] = target[..., 0] * mean[inner]
    target[..., len(images) + 1 :] = np.nan


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
