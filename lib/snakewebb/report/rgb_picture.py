"""The colour picture of a field: three of its filters by wavelength."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from snakewebb.errors import InputError
from snakewebb.references.filters import narrowest
from snakewebb.references.psf import filter_of
from snakewebb.report.figures import PAGE_ASPECT, PAGE_WIDTH, STYLE, heading, save
from snakewebb.report.pictures import HEIGHT, dots
from snakewebb.report.scaling import block_average
from snakewebb.sources.mosaic import MosaicFile

EDGE, TOP = 0.15, 0.85  # inches
BRIGHT = 10.0
"""Deviations of the sky above which pixels tell how bright a filter is."""
SOFT = 3.0
"""The stretch is linear up to so many deviations of the sky."""
WHITE = 99.9
"""Percentile of brightness that is the brightest shown."""
NO_DATA = 0.82


def plot_rgb(mosaics: Sequence[str | Path], picture: str | Path, *, field: str) -> None:
    """Draw three mosaics as one picture in colours.

    Parameters
    ----------
    mosaics : sequence of paths
        ``_i2d`` of one grid. Of more than three those of the shortest, the middle and the longest
        wavelength are shown; of two the middle is their mean.
    picture : path
        The PNG to write.
    field : str
        Its name.

    Raises
    ------
    InputError
        A mosaic cannot be read.
    """
    known = [MosaicFile(path) for path in mosaics]
    bands = [filter_of(each.instrument) for each in known]
    waves = [np.inf if band is None else band.wavelength for band in bands]
    order = np.argsort(waves, kind="stable")
    chosen = sorted({0, len(order) // 2, len(order) - 1})
    shown = [int(order[k]) for k in chosen]
    images = [block_average(mosaics[k], dots(known[k].shape)) for k in shown]
    if len({image.shape for image in images}) > 1:
        raise InputError("the mosaics of the field are of different sizes: run again")
    names = [narrowest(known[k].instrument) or Path(mosaics[k]).name for k in shown]
    image = colours(images)
    text = ", ".join(f"{n} {c}" for n, c in zip(names, _words(len(names)), strict=True))
    side = 3600 * known[0].grid.cdelt
    ny, nx = known[0].shape
    size = f"{nx} × {ny} pixels of {side:.3g}″, {nx * side / 60:.2g}′ × {ny * side / 60:.2g}′"
    with matplotlib.rc_context(STYLE):
        save(_figure(image, field, text, size), picture)


def _words(number: int) -> tuple[str, ...]:
    return {1: ("grey",), 2: ("blue", "red")}.get(number, ("blue", "green", "red"))


def _balanced(images: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return images less their skies, in units that make what is bright grey as a whole."""
    levels, noises = [], []
    for image in images:
        values = image[np.isfinite(image)]
        sky = float(np.median(values)) if values.size else 0.0
        levels.append(image - sky)
        noises.append(1.4826 * float(np.median(np.abs(values - sky))) if values.size else 0.0)
    known = np.all([np.isfinite(level) for level in levels], axis=0)
    with np.errstate(invalid="ignore"):
        bright = known & np.any(
            [level > BRIGHT * noise for level, noise in zip(levels, noises, strict=True)], axis=0
        )
    balanced = []
    for level, noise in zip(levels, noises, strict=True):
        light = float(level[bright].mean()) if bright.any() else 0.0
        balanced.append(level / (light if light > 0 else noise or 1.0))
    return balanced


def colours(images: Sequence[np.ndarray]) -> np.ndarray:
    """Return the picture of one to three images, after Lupton et al. 2004 (PASP 116, 133).

    Parameters
    ----------
    images : sequence of (ny, nx)
        Blue, green and red; blue and red, of which green is the mean; or one. In any unit, with
        their sky; NaN where there is no data.

    Returns
    -------
    (ny, nx, 3) float32
        Red, green and blue, 0 to 1.
    """
    balanced = _balanced(images)
    if len(balanced) < 3:
        balanced = [balanced[0], (balanced[0] + balanced[-1]) / 2, balanced[-1]]
    planes = np.stack(balanced[::-1], axis=-1)
    known = np.isfinite(planes)
    number = known.sum(axis=-1)
    mean = np.where(known, planes, 0).sum(axis=-1) / np.maximum(number, 1)
    planes = np.where(known, planes, mean[..., None])
    values = mean[number > 0]
    if not values.size:
        return np.full(planes.shape, NO_DATA, np.float32)
    sigma = 1.4826 * float(np.median(np.abs(values - np.median(values))))
    white = float(np.percentile(values, WHITE))
    soft = SOFT * sigma or white or 1.0
    low = -sigma
    light = np.maximum(mean - low, 0)
    scale = np.arcsinh(light / soft) / np.arcsinh(max(white - low, soft) / soft)
    shown = np.maximum(planes - low, 0) * (scale / np.maximum(light, 1e-12))[..., None]
    # the brightest keeps its colour
    shown /= np.maximum(shown.max(axis=-1, keepdims=True), 1)
    return np.where(number[..., None] > 0, shown, NO_DATA).astype(np.float32)


def _figure(image: np.ndarray, title: str, *lines: str) -> Figure:
    """Return a figure of a picture with a heading."""
    ny, nx = image.shape[:2]
    inches = min((PAGE_WIDTH - 2 * EDGE) / nx, HEIGHT / ny)
    width, height = nx * inches, ny * inches
    high = EDGE + height + TOP
    wide = max(width + 2 * EDGE, PAGE_ASPECT * high)
    figure = Figure(figsize=(wide, high))
    axes = figure.add_axes(((wide - width) / 2 / wide, EDGE / high, width / wide, height / high))
    axes.imshow(image, origin="lower", aspect="auto")
    axes.set_axis_off()
    heading(figure, title, *lines)
    return figure
