"""Images of what was subtracted, and of the companions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import AsinhNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.patheffects import withStroke

from snakewebb.coronagraphy.star_position import read_stars
from snakewebb.io.planes import open_fits
from snakewebb.report.alignment_figures import MOST_PAIRS
from snakewebb.report.axes import HEIGHT, read_table, short
from snakewebb.report.figures import EXTENDED, PAGE_ASPECT, PAGE_WIDTH, STYLE, heading, save
from snakewebb.wcs.sphere import to_plane

NO_DATA = "0.82"
FIELD = 8.0
"""Side of the pictures, arcsec, at most."""
BARS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)  # arcsec


def plot_subtraction(
    exposures: Mapping[str, tuple[np.ndarray, np.ndarray, tuple[float, float]]],
    pixel_scale: float,
    path: str | Path,
    *,
    unit: str = "MJy/sr",
    number: int | None = None,
) -> None:
    """Draw exposures before and after the subtraction of the star's light, all on one scale.

    Parameters
    ----------
    exposures : mapping
        By name: the images before and after, (ny, nx) or (n, ny, nx), of which the median over
        integrations is shown, and the star's (x, y), 0-based pixels. At most four are drawn.
    pixel_scale : float
        Arcsec.
    path : path
        The PNG to write.
    unit : str, optional
    number : int, optional
        Of exposures, if these are not all.
    """
    number = number or len(exposures)
    shown = [
        (name, median_image(before), median_image(after), center)
        for name, (before, after, center) in list(exposures.items())[:MOST_PAIRS]
    ]
    _, bright, faint, _ = next((s for s in shown if np.isfinite(s[2]).any()), shown[0])
    bright = bright[np.isfinite(bright)]
    norm = noise_stretch(faint, float(np.percentile(bright, 99.9)) if bright.size else None)
    rows = min(len(shown), 2)
    columns = 2 * -(-len(shown) // rows)
    tall = PAGE_WIDTH / PAGE_ASPECT if rows > 1 else HEIGHT
    half = FIELD / 2
    # Inches: panels are square, with room for titles above and labels below.
    width = min((PAGE_WIDTH - 1.8) / columns - 0.35, (tall - 1.1) / rows - 0.5)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(PAGE_WIDTH, tall))
        for k, (name, before, after, center) in enumerate(shown):
            row, column = k % rows, 2 * (k // rows)
            for side, image in enumerate((before, after)):
                left = 0.75 + (width + 0.35) * (column + side)
                low = 0.55 + (width + 0.5) * (rows - 1 - row)
                box = np.array((left, low, width, width)) / (PAGE_WIDTH, tall, PAGE_WIDTH, tall)
                axes = figure.add_axes(tuple(box))
                ny, nx = image.shape
                extent = np.array((-0.5 - center[0], nx - 0.5 - center[0])) * pixel_scale
                rise = np.array((-0.5 - center[1], ny - 0.5 - center[1])) * pixel_scale
                picture = show(axes, image, norm, (*extent, *rise))
                axes.set_xlim(max(-half, extent[0]), min(half, extent[1]))
                axes.set_ylim(max(-half, rise[0]), min(half, rise[1]))
                title = f"{short(name)}: before" if side == 0 else "after"
                axes.set_title(title, loc="left", fontsize=9)
                # Ticks take longer than the image; those of the outer panels hold for all.
                if row == rows - 1:
                    axes.set_xlabel("x (arcsec)")
                else:
                    axes.set_xticks([])
                if column + side == 0:
                    axes.set_ylabel("y (arcsec)")
                else:
                    axes.set_yticks([])
        bar = figure.add_axes(((left + width + 0.25) / PAGE_WIDTH, 0.12, 0.013, 0.68))
        color_bar(figure, picture, bar, norm, unit)
        more = f"{len(shown)} of {number} exposures" if len(shown) < number else ""
        heading(figure, "The star's light subtracted (klip)", more)
        save(figure, path)


def plot_companions(
    path: str | Path,
    *,
    mosaic: str | Path,
    stars: str | Path,
    detections: str | Path | None = None,
    snr: str | Path | None = None,
) -> None:
    """Draw the combined image, North up, East to the left, its point sources circled.

    Parameters
    ----------
    path : path
        The PNG to write.
    mosaic : path
        The combined image, ``_i2d``.
    stars : path
        What `snakewebb.jobs.find_stars.stars_of_product` wrote.
    detections : path, optional
        The table of point sources, ECSV.
    snr : path, optional
        The SNR map, to be drawn beside the image.
    """
    star = next(iter(read_stars(stars).values())).sky
    found = read_table(detections) if detections else []
    panels = [(mosaic, "SCI", "combined image")] + ([(snr, "SNR", "SNR")] if snr else [])
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(PAGE_WIDTH, HEIGHT - 0.6))
        for k, (name, plane, title) in enumerate(panels):
            with open_fits(name) as hdus:
                image, header = np.array(hdus[plane].data, float), hdus[plane].header
            image, half = north_up(image, header, star)
            norm = noise_stretch(image) if plane == "SCI" else Normalize(-5, 15)
            left, width = 0.06 + 0.49 * k, 0.37 if snr else 0.42
            axes = figure.add_axes((left, 0.08, width, 0.76))
            shown = show(axes, image, norm, (half, -half, -half, half))
            axes.plot(0, 0, "+", color="white", markersize=9)
            for number, source in enumerate(found, 1):
                angle = np.radians(source["pa"])
                x, y = source["separation"] * np.array((np.sin(angle), np.cos(angle)))
                if max(abs(x), abs(y)) > half:
                    continue
                axes.add_patch(Circle((x, y), 0.03 * half * 2, fill=False, color="white"))
                axes.text(x - 0.07 * half, y + 0.07 * half, str(number), color="white")
            _scale_bar(axes, half)
            axes.set_xlabel("East (arcsec)")
            if k == 0:
                axes.set_ylabel("North (arcsec)")
            axes.set_title(title, loc="left", fontsize=10)
            bar = figure.add_axes((left + width + 0.01, 0.12, 0.013, 0.68))
            unit = header.get("BUNIT", "") if plane == "SCI" else ""
            color_bar(figure, shown, bar, norm, unit)
        texts = [
            "{}: {separation:.2f}″, PA {pa:.0f}°, SNR {snr:.0f}".format(number, **source)
            for number, source in enumerate(found[:4], 1)
        ]
        more = f" and {len(found) - 4} more" if len(found) > 4 else ""
        note = "; ".join(texts) + more
        if detections and not texts:
            note = "no point source"
        heading(figure, Path(mosaic).name.removesuffix(".fits"), note)
        save(figure, path)


def north_up(
    image: np.ndarray,
    header: Mapping[str, Any],
    star: tuple[float, float],
    center: tuple[float, float] | None = None,
) -> tuple[np.ndarray, float]:
    """Return an image turned about the star: rows to the North, columns to the West.

    Parameters
    ----------
    image : (ny, nx) array
    header : mapping
        Of the image: its WCS, without distortion.
    star : (RA, Dec)
        Degrees.
    center : (x, y), optional
        The star's 0-based pixel, if that is not where the header has it.

    Returns
    -------
    image : (n, n) float64
        The nearest pixels; NaN where there are none.
    half : float
        Half of its side, arcsec.
    """
    matrix = 3600 * _matrix(header)
    scale = float(np.sqrt(abs(np.linalg.det(matrix))))
    if center is None:
        offset = np.linalg.solve(matrix, to_plane(*star, header["CRVAL1"], header["CRVAL2"]))
        center = tuple(offset + np.array((header["CRPIX1"], header["CRPIX2"])) - 1)
    x0, y0 = center
    ny, nx = image.shape
    half = min(FIELD / 2, scale * max(x0, y0, nx - x0, ny - y0))
    n = 2 * int(half / scale) + 1
    steps = (np.arange(n) - n // 2) * scale
    north, west = np.meshgrid(steps, steps, indexing="ij")
    x, y = np.linalg.solve(matrix, np.stack((-west.ravel(), north.ravel())))
    column, row = (np.rint(axis).astype(int).reshape(n, n) for axis in (x + x0, y + y0))
    inside = (column >= 0) & (column < nx) & (row >= 0) & (row < ny)
    turned = np.full((n, n), np.nan)
    turned[inside] = image[row[inside], column[inside]]
    return turned, (n / 2) * scale


def _matrix(header: Mapping[str, Any]) -> np.ndarray:
    """Return degrees to the East and North for each pixel along x and y, (2, 2)."""
    pairs = [[f"{i}_{j}" for j in (1, 2)] for i in (1, 2)]
    if "CD1_1" in header:
        return np.array([[header.get(f"CD{pair}", 0.0) for pair in row] for row in pairs])
    turn = [
        [header.get(f"PC{pair}", float(pair in ("1_1", "2_2"))) for pair in row] for row in pairs
    ]
    return np.array(((header["CDELT1"],), (header["CDELT2"],))) * turn


def median_image(cube: np.ndarray) -> np.ndarray:
    """Return the median over integrations; NaN where all are."""
    if cube.ndim == 2:
        return cube
    number = np.isfinite(cube).sum(axis=0)
    image = np.full(number.shape, np.nan)
    whole, part = number == len(cube), (number > 0) & (number < len(cube))
    image[whole] = np.median(cube[:, whole], axis=0)
    # Which takes many times as long, a pixel.
    image[part] = np.nanmedian(cube[:, part], axis=0)
    return image


def noise_stretch(image: np.ndarray, high: float | None = None) -> AsinhNorm:
    """Return a stretch that is linear within twice the noise of an image."""
    values = image[np.isfinite(image)].astype(np.float64)
    values = values if values.size else np.zeros(1)
    sky = float(np.median(values))
    sigma = 1.4826 * float(np.median(np.abs(values - sky))) or 1.0
    peak = float(np.percentile(values, 99.97)) if high is None else high
    return AsinhNorm(2 * sigma, vmin=sky - 6 * sigma, vmax=max(peak, sky + 6 * sigma))


def show(axes: Axes, image: np.ndarray, norm: Normalize, extent: tuple[float, float, float, float]):
    """Draw an image; grey where there is no data."""
    axes.set_facecolor(NO_DATA)
    return axes.imshow(image, cmap="inferno", norm=norm, origin="lower", extent=extent)


def color_bar(figure: Figure, shown, axes: Axes, norm: Normalize, unit: str) -> None:
    """Draw the bar of an image's colours, with round numbers of an asinh stretch."""
    figure.colorbar(shown, cax=axes, extend="both", extendfrac=EXTENDED)
    axes.set_title(unit, loc="left", fontsize=9, pad=8, y=1 + EXTENDED)
    if isinstance(norm, AsinhNorm):
        decades = 10.0 ** np.arange(np.ceil(np.log10(2 * norm.linear_width)), 9)
        ticks = [v for v in (*-decades, 0.0, *decades) if norm.vmin <= v <= norm.vmax]
        axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()


def _scale_bar(axes: Axes, half: float) -> None:
    """Draw a bar of a round length and arrows to North and East into the picture's corners."""
    length = max((bar for bar in BARS if bar <= 0.5 * half), default=BARS[0])
    x, y = 0.9 * half, -0.9 * half
    outline: dict[str, Any] = {"path_effects": [withStroke(linewidth=3, foreground="black")]}
    axes.plot((x, x - length), (y, y), color="white", linewidth=2, **outline)
    axes.text(
        x - length / 2, y + 0.04 * half, f"{length:g}″", color="white", ha="center", **outline
    )
    foot, arm = (-0.85 * half, -0.9 * half), 0.2 * half
    arrow = {"arrowstyle": "->", "color": "white", **outline}
    for tip, name in (((foot[0], foot[1] + arm), "N"), ((foot[0] + arm, foot[1]), "E")):
        axes.annotate("", tip, foot, arrowprops=arrow)
        axes.text(
            tip[0] + (0.07 * half if name == "E" else 0),
            tip[1] + (0.05 * half if name == "N" else 0),
            name,
            color="white",
            ha="center",
            va="center",
            fontsize=8,
            **outline,
        )
