"""skymatch: statistics of where exposures overlap."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.polynomial.chebyshev import chebvander2d

from snakewebb.errors import InputError
from snakewebb.io.dq import bad_mask
from snakewebb.io.headers import ExposureHeader, exposure_header
from snakewebb.io.planes import read_planes
from snakewebb.kernels import skymatch as kernels
from snakewebb.wcs.geometry import Geometry
from snakewebb.wcs.layout import Layout, Placement
from snakewebb.wcs.sphere import to_plane

log = logging.getLogger(__name__)

STATISTICS = {
    "mean": kernels.MEAN,
    "median": kernels.MEDIAN,
    "mode": kernels.MODE,
    "midpt": kernels.MIDPT,
}
METHODS = ("match", "global", "global+match", "local", "user")
DISTORTION_DEGREE = 7  # of the inverse: within 1e-4 pixels for NIRCam, NIRISS and MIRI


@dataclass(frozen=True)
class SkySample:
    """The sky of some pixels: its level, None where none of them is good, and their number."""

    level: float | None
    npix: int


@dataclass(frozen=True)
class SkyStatistics:
    """The sky of an exposure where it overlaps others.

    Attributes
    ----------
    name, group : str
    before : float
        The level that an earlier run took from its pixels.
    whole : SkySample or None
        Of all its pixels, where they are needed.
    overlaps : dict of str to SkySample
        By group that has a pixel in common.
    """

    name: str
    group: str
    before: float = 0.0
    whole: SkySample | None = None
    overlaps: dict[str, SkySample] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class SkyOptions:
    """How the sky of an exposure is measured, after jwst's ``skymatch``.

    Attributes
    ----------
    skymethod : str
        Decides what `snakewebb.mosaicking.skymatch.match_sky` needs: overlaps, the sky of the whole
        exposure, or none of it.
    skystat : str
        What is called the sky level of clipped pixels: mean, median, mode (of a kernel estimate
        with a Gaussian of 4 bins) or midpt (the median of the histogram).
    dqbits : str, int or None
        DQ bits that do not matter.
    lower, upper : float or None
        Limits of pixel values.
    nclip : int
        Clipping passes.
    lsigma, usigma : float
        Clipping limits below and above the mean, in standard deviations.
    binwidth : float
        Width of histogram bins in standard deviations.
    """

    skymethod: str = "match"
    skystat: str = "mode"
    dqbits: str | int | None = "~DO_NOT_USE+NON_SCIENCE"
    lower: float | None = None
    upper: float | None = None
    nclip: int = 5
    lsigma: float = 4.0
    usigma: float = 4.0
    binwidth: float = 0.1

    def limits(self) -> tuple[float, float]:
        """Return the limits of pixel values.

        Raises
        ------
        InputError
            An option is not what it must be.
        """
        for key, known in (("skymethod", METHODS), ("skystat", tuple(STATISTICS))):
            value = getattr(self, key)
            check_option(value in known, key, value, f"is none of {', '.join(known)}")
        for key in ("lsigma", "usigma", "binwidth"):
            check_option(getattr(self, key) > 0, key, getattr(self, key), "must be greater than 0")
        lower = -np.inf if self.lower is None else float(self.lower)
        upper = np.inf if self.upper is None else float(self.upper)
        check_option(lower < upper, "lower", lower, f"must be less than upper ({upper})")
        return lower, upper


def overlap_statistics(
    path: str | Path,
    name: str,
    geometry: Geometry,
    layout: Layout,
    how: SkyOptions = SkyOptions(),
) -> SkyStatistics:
    """Measure the sky of an exposure where it overlaps others.

    A pixel takes part in an overlap if its centre is in the exposure's bounding box and within
    the outline of the other's, whose points are joined by straight lines in the exposure's pixel
    frame. The overlap with a group is the union of those with its members.

    Parameters
    ----------
    path : path
        The exposure: a stage-2 image. Only SCI and DQ are read.
    name : str
        Its name in `layout`.
    geometry : Geometry
        The exposure's, not corrected.
    layout : Layout
        Of all exposures of the product.
    how : SkyOptions, optional

    Returns
    -------
    SkyStatistics

    Raises
    ------
    InputError
        The file cannot be read, or is no image of the geometry's shape; its earlier background is
        inconsistent; a parameter is wrong.
    """
    lower, upper = how.limits()
    own = layout.placements[name]
    before = _subtracted_before(name, exposure_header(path))
    if how.skymethod == "user":
        return SkyStatistics(name, own.group, before)
    image, corner = _good_pixels(path, geometry, bad_mask(how.dqbits))
    values = np.empty(image.size, np.float32)

    widths = float(how.lsigma), float(how.usigma), float(how.binwidth)

    def sky_of(inside: np.ndarray) -> SkySample:
        n = kernels.gather(image, inside, values)
        level, npix = kernels.sky_statistic(
            values[:n], STATISTICS[how.skystat], lower, upper, int(how.nclip), *widths
        )
        return SkySample(float(level) if npix else None, int(npix))

    whole = sky_of(np.ones(image.shape, bool)) if how.skymethod != "match" else None
    overlaps = {}
    if "match" in how.skymethod:
        to_pixels = pixel_finder(geometry.corrected(own.correction))
        for group, outlines in _neighbours(own, layout).items():
            inside = np.zeros(image.shape, bool)
            for points in outlines:
                outline = to_pixels(*layout.grid.pixel_to_sky(*points.T)) - corner
                kernels.fill_polygon(*np.ascontiguousarray(outline.T), inside)
            if inside.any():
                overlaps[group] = sky_of(inside)
        log.info("%s: overlaps %d other groups", name, len(overlaps))
    return SkyStatistics(name, own.group, before, whole, overlaps)


def check_option(holds: bool, key: str, value: Any, trouble: str) -> None:
    """Raise where an option of the step is not what it must be."""
    if not holds:
        raise InputError(f"skymatch.{key}: {value!r} {trouble}: change it in the configuration")


def _subtracted_before(name: str, header: ExposureHeader) -> float:
    """Return the level that an earlier run took from an exposure's pixels."""
    level, subtracted = header.sky_level, header.sky_subtracted
    if (level is None) != (subtracted is None):
        missing = "BKGLEVEL" if level is None else "BKGSUB"
        raise InputError(f"{name}: its header lacks {missing}: start from a fresh stage-2 file")
    return float(level) if level is not None and subtracted else 0.0


def _good_pixels(
    path: str | Path, geometry: Geometry, bad: int
) -> tuple[np.ndarray, tuple[int, int]]:
    """Return the image within the bounding box, bad pixels NaN, and the (x, y) of its corner."""
    planes = read_planes(path, ("SCI", "DQ"))
    image, dq = planes["SCI"], planes["DQ"]
    if image.shape != geometry.shape:
        raise InputError(
            f"{path}: SCI has shape {image.shape} but the alignment was made for {geometry.shape}: "
            "give the same file to all steps"
        )
    if dq is not None:
        image[dq & np.uint32(bad) != 0] = np.nan
    (x0, x1), (y0, y1) = geometry.bounding_box
    column, row = max(int(np.ceil(x0)), 0), max(int(np.ceil(y0)), 0)
    box = image[row : int(np.floor(y1)) + 1, column : int(np.floor(x1)) + 1]
    return np.ascontiguousarray(box), (column, row)


def _neighbours(own: Placement, layout: Layout) -> dict[str, list[np.ndarray]]:
    """Return the outlines of exposures of other groups that may overlap one, by group."""
    found: dict[str, list[np.ndarray]] = {}
    for other in layout.placements.values():
        if other.group != own.group and other.meets(own):
            found.setdefault(other.group, []).append(other.outline)
    return found


def pixel_finder(geometry: Geometry) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return the way back from the sky to an exposure's pixels.

    An affine map from the tangent plane, corrected by a polynomial that is fitted to the nodes;
    beyond a tenth of the exposure's size from its edge, the correction goes on as a constant.

    Returns
    -------
    callable
        Takes RA and Dec (n,) in degrees, returns 0-based pixel coordinates (n, 2), x first.
        They are rounded to 1e-6, so that an outline that touches pixel centres does so on every
        machine.
    """
    origin = geometry.center()
    (x0, x1), (y0, y1) = geometry.bounding_box
    middle, half = np.array([x0 + x1, y0 + y1]) / 2, np.array([x1 - x0, y1 - y0]) / 2

    def plane(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
        return np.column_stack((np.ones(len(ra)), *to_plane(ra, dec, *origin)))

    def basis(coarse: np.ndarray) -> np.ndarray:
        x, y = np.clip((coarse - middle) / half, -1.1, 1.1).T
        return chebvander2d(x, y, [DISTORTION_DEGREE] * 2)

    nodes = np.stack(np.meshgrid(geometry.x_nodes, geometry.y_nodes), axis=-1).reshape(-1, 2)
    flat = plane(geometry.ra.ravel(), geometry.dec.ravel())
    affine = _fit(flat, nodes)
    coarse = flat @ affine
    bend = _fit(basis(coarse), nodes - coarse)

    def to_pixels(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
        coarse = plane(ra, dec) @ affine
        return np.round(coarse + basis(coarse) @ bend, 6)

    return to_pixels


def _fit(basis: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Fit values (n, k) with a basis (n, m): least squares, coefficients (m, k).

    By normal equations: the bases here are well conditioned, and a singular value decomposition
    takes half a second where processes share the cores.
    """
    normal = np.einsum("ij,ik->jk", basis, basis)
    return np.linalg.solve(normal, np.einsum("ij,ik->jk", basis, values))
