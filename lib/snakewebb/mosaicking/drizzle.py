"""One exposure drizzled: what of it is read, how its pixels weigh, what they add to the mosaic."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from snakewebb.errors import InputError
from snakewebb.io.dq import DO_NOT_USE, bad_mask
from snakewebb.io.planes import PLANES, Planes, read_planes
from snakewebb.kernels.drizzle import MARGIN, drizzle_square
from snakewebb.wcs.geometry import Geometry
from snakewebb.wcs.grid import Grid
from snakewebb.wcs.pixel_map import PixelMap

KERNELS = ("square", "point", "turbo", "gaussian", "lanczos2", "lanczos3")
WEIGHT_TYPES = ("ivm", "exptime", None)
VARIANCES = ("VAR_RNOISE", "VAR_POISSON", "VAR_FLAT")
NEEDED = ("SCI", "ERR", "DQ", *VARIANCES)
UNUSED = bad_mask("~DO_NOT_USE+NON_SCIENCE") | DO_NOT_USE
"""Flags of pixels that are not drizzled by default."""
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
        weight = np.ones(shape, np.float32)
    for name, plane in planes.items():
        if plane is not None:
            bad = (plane & np.uint32(bad_bits)) != 0 if name == "DQ" else ~np.isfinite(plane)
            weight[bad] = 0
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
) -> tuple[np.ndarray, int, int]:
    """Drizzle an exposure's images; return their sums, and these' first output row and column.

    The image comes first, then variances, whose square roots are drizzled; of these all together,
    as `snakewebb.kernels.drizzle.drizzle_square` says. The library's kernels give NaN for that.
    """
    grid, sky = exposure.pixel_map.grid, exposure.sky or 0.0
    if kernel == "square":
        x, y = (np.append(centres, centres[-1] + 1) - 0.5 for centres in (x, y))
    u, v = exposure.pixel_map.lattice(x, y)
    reach = reach_of(kernel, grid)
    top = max(math.floor(v.min() + 0.5) - reach, rows[0])
    left = max(math.floor(u.min() + 0.5) - reach, 0)
    height = max(min(math.floor(v.max() + 0.5) + reach + 1, rows[1]) - top, 0)
    width = max(min(math.floor(u.max() + 0.5) + reach + 1, grid.shape[1]) - left, 0)
    sums = np.zeros((height + 2 * MARGIN, width + 2 * MARGIN, 2 * len(images)))
    if kernel == "square":
        drizzle_square(
            u, v, pixfrac, weight, tuple(images), sky, float(exposure.repeats), top, left, sums
        )
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
        target[..., len(images) + 1 :] = np.nan
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
