"""Pictures of a mosaic: block averages in an asinh stretch, with a sky grid."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from astropy.visualization.wcsaxes import WCSAxes
from astropy.wcs import WCS
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import FuncNorm
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle
from matplotlib.transforms import Affine2D
from PIL import Image

from snakewebb.errors import InputError
from snakewebb.io.planes import open_fits
from snakewebb.report.catalog_rows import read_catalog
from snakewebb.report.figures import EXTENDED, PAGE_ASPECT, PAGE_WIDTH, STYLE, heading, save
from snakewebb.report.outcomes import ecsv_meta
from snakewebb.report.scaling import block_average, shades

HEIGHT, LEFT, RIGHT, BOTTOM, TOP = 5.65, 1.25, 1.05, 0.8, 0.85  # inches
NO_DATA = "0.82"
BAR_LENGTHS = {
    number * size: f"{number:g}{sign}"
    for size, sign, less in (
        (1, "″", (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)),
        (60, "′", ()),
        (3600, "°", ()),
    )
    for number in (*less, 1, 2, 5, 10, 20, 30)
}  # arcsec
KINDS = {"point-like": "#0072B2", "extended": "#D55E00"}  # of Okabe and Ito, for all eyes


class Stretch(FuncNorm):
    """A stretch with given ends; matplotlib would look for some in each image, behind masks."""

    def __init__(self, forward: Callable, inverse: Callable, low: float, high: float):
        super().__init__((forward, inverse), low, high)
        self._forward, self._ends = forward, forward(np.array((low, high)))

    def autoscale_None(self, A: Any) -> None:  # noqa: N802
        """Look for nothing."""

    def __call__(self, value: Any, clip: bool | None = None) -> Any:
        """Return what lies from low to high as 0 … 1."""
        if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
            return super().__call__(value, clip)
        low, high = self._ends.astype(value.dtype)
        scaled = self._forward(np.ma.getdata(value))
        scaled -= low
        scaled /= high - low
        return np.ma.array(scaled, mask=np.ma.getmask(value)) if np.ma.isMA(value) else scaled


def plot_mosaic(i2d: str | Path, picture: str | Path) -> None:
    """Draw a mosaic.

    Parameters
    ----------
    i2d : path
        The mosaic.
    picture : path
        The PNG to write.

    Raises
    ------
    InputError
        The mosaic cannot be read.
    """
    with matplotlib.rc_context(STYLE):
        save(_draw(i2d, "inferno")[0], picture)


def plot_sources(i2d: str | Path, catalog: Sequence[str | Path], picture: str | Path) -> None:
    """Draw a mosaic with its sources circled.

    Parameters
    ----------
    i2d : path
        The mosaic.
    catalog : sequence of paths
        Its catalogue as ECSV, of which only the head is read, and as FITS table with ``xcentroid``,
        ``ycentroid`` and ``is_extended``.
    picture : path
        The PNG to write.

    Raises
    ------
    InputError
        The mosaic cannot be read.
    """
    head, table = catalog
    sources = read_catalog(table)
    x, y, extended = (sources[name] for name in ("xcentroid", "ycentroid", "is_extended"))
    with matplotlib.rc_context(STYLE):
        status = ecsv_meta(head)["source_catalog"]
        note = status["reason"] or f"apertures: {status['apcorr']}"
        figure, axes, factor = _draw(i2d, "gray_r", note)
        # Together the circles take a fifth of the image at most.
        area = math.prod(axes.bbox.size / figure.dpi * 72)
        size = np.clip(0.2 * area / max(len(x), 1), 3.5**2, 13**2)
        pixels = Affine2D().translate(0.5, 0.5).scale(1 / factor).translate(-0.5, -0.5)
        for (kind, color), chosen in zip(KINDS.items(), (~extended, extended), strict=True):
            axes.scatter(
                x[chosen],
                y[chosen],
                s=size,
                facecolors="none",
                edgecolors=color,
                linewidths=0.9,
                label=f"{chosen.sum()} {kind}",
                transform=pixels + axes.transData,
            )
        figure.legend(loc="upper right", frameon=False)
        save(figure, picture)


def canvas(figure: Figure) -> Axes:
    """Return a figure as axes in inches, for `panel`: axes of their own would take longer."""
    width, height = figure.get_size_inches()
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    return axes


def panel(axes: Axes, image: np.ndarray, box: tuple[float, float, float, float], **how) -> None:
    """Draw an image in a frame.

    Parameters
    ----------
    axes : Axes
        Of `canvas`.
    image : (ny, nx) array
    box : (left, bottom, width, height)
        Inches.
    **how
        See `Axes.imshow`.
    """
    left, low, width, height = box
    frame: dict[str, Any] = {"xy": (left, low), "width": width, "height": height}
    axes.add_artist(Rectangle(facecolor=NO_DATA, zorder=-1, **frame))
    axes.add_artist(Rectangle(fill=False, linewidth=0.8, zorder=2.5, **frame))
    extent = (left, left + width, low, low + height)
    axes.imshow(image, extent=extent, origin="lower", aspect="auto", **how)


def stretch(image: np.ndarray, number: int = 8) -> tuple[Stretch, np.ndarray]:
    """Return an asinh stretch around the sky, and where to put the ticks of a colour bar.

    Linear within two standard deviations of the sky, logarithmic far above.

    Parameters
    ----------
    image : array
        NaN where there is no data.
    number : int
        Of ticks.
    """
    values = image[np.isfinite(image)]
    if not values.size:
        values = np.zeros(1)
    sky = float(np.median(values))
    sigma = 1.4826 * float(np.median(np.abs(values - sky)))
    low, high = (float(v) for v in np.percentile(values, (0.1, 99.97)))
    low = max(low, sky - 3 * sigma)
    if not low < high:
        low, high = sky - max(1, abs(sky)), sky + max(1, abs(sky))
    soft = 2 * sigma or high - low

    def forward(value: np.ndarray) -> np.ndarray:
        return np.arcsinh((value - sky) / soft)

    def inverse(value: np.ndarray) -> np.ndarray:
        return sky + soft * np.sinh(value)

    ends = forward(np.array((low, high)))
    margin = 0.04 * np.ptp(ends)
    places = np.linspace(ends[0] + margin, ends[1] - margin, number)
    ticks = [roundest(*inverse(place + margin * np.array((-1, 1)))) for place in places]
    return Stretch(forward, inverse, low, high), np.array(ticks)


def roundest(low: float, high: float) -> float:
    """Return the number from low to high with the fewest digits, 5 and 2 before other digits."""
    if low <= 0 <= high:
        return 0.0
    exponent = math.ceil(math.log10(max(abs(low), abs(high))))
    while True:
        for digit in (10, 5, 2, 1):
            step = digit * 10.0 ** (exponent - 1)
            number = math.ceil(low / step) * step
            if number <= high:
                return round(number, max(1 - exponent, 0))
        exponent -= 1


def dots(shape: tuple[int, int]) -> int:
    """Return how many pixels of a mosaic are on a side of a dot of its picture, about."""
    ny, nx = shape
    dpi = STYLE["figure.dpi"]
    return max(1, int(nx // (PAGE_WIDTH * dpi)), int(ny // (HEIGHT * dpi)))


def _draw(path: str | Path, colors: str, note: str = "") -> tuple[Figure, WCSAxes, int]:
    """Draw a mosaic; return its axes, too, and the number of its pixels on a side of theirs."""
    with open_fits(path) as hdus:
        if "SCI" not in hdus or len(hdus["SCI"].shape) != 2:
            raise InputError(f"{path}: has no 2-D SCI extension: give an _i2d file")
        primary, header = hdus[0].header, hdus["SCI"].header
        factor = dots(hdus["SCI"].shape)
    image = block_average(path, factor)
    ny, nx = image.shape
    wcs = WCS(header, fix=False)[::factor, ::factor]

    scale = 3600 * math.sqrt(abs(np.linalg.det(wcs.pixel_scale_matrix)))
    inches = min((PAGE_WIDTH - LEFT - RIGHT) / nx, HEIGHT / ny)
    width, height = (_whole(n * inches) for n in (nx, ny))
    high = BOTTOM + height + TOP
    page = np.array((max(LEFT + width + RIGHT, PAGE_ASPECT * high), high))
    left = _whole((page[0] - width + LEFT - RIGHT) / 2)
    figure = Figure(figsize=(page[0], page[1]))

    norm, ticks = stretch(image, int(np.clip(height / 0.3, 3, 8)))
    _paint(figure, (left, BOTTOM, width, height), shades(image, norm), colors)
    axes = WCSAxes(figure, _box(page, left, BOTTOM, width, height), wcs=wcs)
    figure.add_axes(axes)
    axes.set(facecolor="none", xlim=(-0.5, nx - 0.5), ylim=(-0.5, ny - 0.5))
    axes.autoscale(False)
    _sky_grid(axes, wcs)
    _scale_bar(figure, left, width, nx * scale)
    _compass(figure, left + width + 0.45, wcs)

    bar = figure.add_axes(tuple(_box(page, left + width + 0.12, BOTTOM, 0.16, height)))
    figure.colorbar(ScalarMappable(norm, colors), cax=bar, extend="both", extendfrac=EXTENDED)
    bar.set_yticks(ticks, [f"{tick:.10g}" for tick in ticks])
    bar.minorticks_off()
    bar.set_title(header.get("BUNIT", ""), loc="left", fontsize=10, pad=8, y=1 + EXTENDED)

    band = " ".join(str(primary[key]) for key in ("INSTRUME", "PUPIL", "FILTER") if key in primary)
    size = f"{header['NAXIS1']} × {header['NAXIS2']} pixels of {scale / factor:.3g}″"
    heading(figure, Path(path).name.removesuffix(".fits"), f"{band}, {size}", note)
    return figure, axes, factor


def _whole(inches: float) -> float:
    """Return a length in whole dots, one at least."""
    return max(1, round(inches * STYLE["figure.dpi"])) / STYLE["figure.dpi"]


def _paint(
    figure: Figure, box: tuple[float, float, float, float], image: np.ndarray, colors: str
) -> None:
    """Paint an image of `shades` dot by dot; `Axes.imshow` would stretch and resample numbers.

    Parameters
    ----------
    figure : Figure
    box : (left, bottom, width, height)
        Inches, whole dots.
    image : (ny, nx) uint8
    colors : str
        A map of colours of matplotlib.
    """
    left, low, width, height = (round(figure.dpi * length) for length in box)
    table = np.round(255 * colormaps[colors](np.linspace(0, 1, 255))[:, :3]).astype(np.uint8)
    table = np.vstack((np.full(3, round(255 * float(NO_DATA)), np.uint8), table))
    method = Image.Resampling.HAMMING if image.shape[1] > width else Image.Resampling.BOX
    dots = Image.fromarray(table[image]).resize((width, height), method)
    figure.figimage(np.asarray(dots), left, low, origin="lower", zorder=-1)


def _box(page: np.ndarray, *inches: float) -> np.ndarray:
    return np.array(inches) / (*page, *page)


def _sky_grid(axes: WCSAxes, wcs: WCS) -> None:
    """Draw lines of equal RA and Dec, each labelled where they end more squarely."""
    (across, up), _ = np.abs(wcs.pixel_scale_matrix)
    axes.coords.grid(color="0.6", alpha=0.6, linewidth=0.6)
    sides = "bl" if across > up else "lb"
    # Letters that are high by themselves: mathematical text takes a quarter of a second.
    axes.coords[0].set_separator(("ʰ", "ᵐ", "ˢ"))
    for coordinate, name, side in zip(axes.coords, ("RA", "Dec"), sides, strict=True):
        coordinate.set_ticks_position(side)
        coordinate.set_ticklabel_position(side)
        coordinate.set_axislabel_position(side)
        coordinate.set_axislabel(name)
        coordinate.set_ticks(number=9)
        coordinate.set_ticklabel(exclude_overlapping=True)


def _scale_bar(figure: Figure, left: float, width: float, arcsec: float) -> None:
    """Draw a bar of a round length below an image, of a quarter of its width at most."""
    length = max((n for n in BAR_LENGTHS if n <= 0.25 * arcsec), default=min(BAR_LENGTHS))
    end = left + width * length / arcsec
    inches = figure.dpi_scale_trans
    bar = FancyArrowPatch(
        (left, 0.2),
        (end, 0.2),
        arrowstyle="|-|,widthA=2,widthB=2",
        shrinkA=0,
        shrinkB=0,
        lw=1.5,
        transform=inches,
    )
    figure.add_artist(bar)
    figure.text(end + 0.08, 0.2, BAR_LENGTHS[length], va="center", transform=inches)


def _compass(figure: Figure, x: float, wcs: WCS) -> None:
    """Draw arrows to the North and East."""
    inches = figure.dpi_scale_trans
    arrows = np.linalg.inv(wcs.pixel_scale_matrix).T
    arrows *= 0.25 / np.linalg.norm(arrows, axis=1, keepdims=True)
    foot = np.array((x, 0.36)) - arrows.mean(axis=0)
    for name, arrow in zip("EN", arrows, strict=True):
        style: dict[str, Any] = {
            "arrowstyle": "->",
            "mutation_scale": 7,
            "shrinkA": 0,
            "shrinkB": 0,
        }
        figure.add_artist(FancyArrowPatch(foot, foot + arrow, transform=inches, **style))
        x, y = foot + 1.4 * arrow
        figure.text(x, y, name, ha="center", va="center", fontsize=8, transform=inches)
