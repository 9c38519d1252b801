"""What can be laid over a mosaic: its sources, coverage, depth, and residuals of the alignment.

Each layer is what the page's script draws: a mapping that JSON can hold. Places are pixels of the
mosaic, 0-based.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex

from snakewebb.io.fits_structure import find
from snakewebb.io.planes import open_fits
from snakewebb.quality.quality_file import read_repeats
from snakewebb.report.catalog_rows import by_brightness
from snakewebb.report.quality_figures import (
    PALETTE,
    arrow_groups,
    cell_medians,
    exposure_labels,
    told_sightings,
)
from snakewebb.report.tiles import png
from snakewebb.wcs.grid import Grid, header_grid

MOST_SOURCES = 20_000
"""Circles that a browser draws at once; the brightest."""
FEW_SOURCES = 1000
"""The same in a report."""
RADIUS = 7
"""Of circles, dots of the screen."""
COARSE = 600
"""Pixels on a side of the picture of coverage, about."""
COLORS = "viridis"
KINDS = {"point-like": "#56B4E9", "extended": "#E69F00"}  # of Okabe and Ito, on black

Layer = dict[str, Any]


def source_layers(sources: np.ndarray) -> list[Layer]:
    """Return a layer of point-like and one of extended sources.

    Parameters
    ----------
    sources : structured array
        The catalogue as FITS table.
    """
    order = by_brightness(sources)[:MOST_SOURCES]
    layers = []
    for kind, color in KINDS.items():
        of_kind = sources["is_extended"] == (kind == "extended")
        own = order[of_kind[order]]
        less = f" of {of_kind.sum()}" if len(own) < of_kind.sum() else ""
        rows = [
            [round(float(s["xcentroid"]), 2), round(float(s["ycentroid"]), 2), _words(s)]
            for s in sources[own]
        ]
        name = f"{len(rows)}{less} {kind} sources"
        layers.append(
            {"kind": "circles", "name": name, "color": color, "radius": RADIUS, "rows": rows}
        )
    return layers


def brightest(layer: Layer) -> Layer:
    """Return a layer with not more sources than a report has room for."""
    if layer["kind"] != "circles" or len(layer["rows"]) <= FEW_SOURCES:
        return layer
    name = f"the brightest {FEW_SOURCES} of {layer['name']}"
    return {**layer, "rows": layer["rows"][:FEW_SOURCES], "name": name}


def coverage(path: str | Path) -> tuple[np.ndarray, int]:
    """Return how many exposures are behind pixels of a mosaic: one of each block.

    Parameters
    ----------
    path : path
        The mosaic.

    Returns
    -------
    number : (ny, nx) int64
    side : int
        Of a block, pixels.
    """
    unit = find(path, "CON")
    ny, nx = unit.shape[-2:]
    side = max(1, round(max(ny, nx) / COARSE))
    shape = (-1, *unit.shape[-2:])
    planes = np.memmap(path, unit.dtype, "r", unit.start, unit.shape).reshape(shape)
    some = planes[:, side // 2 :: side, side // 2 :: side].astype(np.int32)
    return np.bitwise_count(some.view(np.uint32)).sum(axis=0, dtype=np.int64), side


def coverage_layer(number: np.ndarray, side: int) -> Layer:
    """Return a layer of `coverage`."""
    values = np.where(number > 0, number, np.nan).astype(float)
    most = int(number.max(initial=1))
    return picture_layer(values, (1.0, most), (-0.5, -0.5, side), f"coverage: 1 … {most} exposures")


def depth_layer(path: str | Path, grid: Grid) -> Layer | None:
    """Return a layer of the map of depth, on the mosaic's grid; None if nothing is known."""
    with open_fits(path) as hdus:
        image, header = np.array(hdus["SCI"].data, float), hdus["SCI"].header
    own = header_grid(header, grid.pixel_scale_ratio, path)
    if not np.isfinite(image).any():
        return None
    side = own.cdelt / grid.cdelt
    left, low = (
        place - (pixel + 0.5) * side
        for place, pixel in zip(grid.sky_to_pixel(*own.crval), own.crpix, strict=True)
    )
    ends = float(np.nanpercentile(image, 1)), float(np.nanmax(image))
    name = f"5σ depth: {ends[0]:.2f} … {ends[1]:.2f} AB mag"
    return picture_layer(image, ends, (float(left), float(low), side), name)


def residual_layer(
    path: str | Path, exposures: Sequence[Mapping[str, Any]], grid: Grid
) -> Layer | None:
    """Return a layer of residuals of stars after the alignment; None where no star repeats.

    Parameters
    ----------
    path : path
        What `snakewebb.quality.quality_file.read_repeats` reads.
    exposures : sequence of mappings
        Rows of the table of exposures.
    grid : Grid
        That of the mosaic.
    """
    repeats = read_repeats(path)
    seen, _ = told_sightings(repeats)
    if not seen.any():
        return None
    star, exposure, offset = (repeats[name][seen] for name in ("star", "exposure", "offset"))
    x, y = (axis[star] for axis in grid.sky_to_pixel(repeats["ra"], repeats["dec"]))
    labels = exposure_labels([str(row["exposure"]) for row in exposures])
    groups, names = arrow_groups(labels)
    span = max(np.ptp(x), np.ptp(y), 1.0)
    x, y, offset, group, _ = cell_medians(x, y, offset, groups[exposure], span)
    size = float(np.percentile(np.hypot(*offset.T), 90)) or 1.0
    length = 0.05 * max(grid.shape) / size
    # East and North along the mosaic's axes; a unit vector of the sky is one of pixels.
    (a, b), (c, d) = grid.pc
    east, north = offset.T
    dx, dy = (d * east - b * north) * length, (a * north - c * east) * length
    turn = a * d - b * c
    number = {name: k % len(PALETTE) for k, name in enumerate(dict.fromkeys(labels))}
    rows = [
        [*(round(float(v), 1) for v in (px, py, px + u / turn, py + v / turn)), number[names[k]]]
        for px, py, u, v, k in zip(x, y, dx, dy, group, strict=True)
    ]
    key = float(f"{size:.1g}")
    return {
        "kind": "arrows",
        "name": "residuals of the alignment",
        "colors": PALETTE,
        "rows": rows,
        "key": [round(key * length, 1), f"{key:g} mas"],
    }


def _words(source: np.void) -> str:
    """Say what a source is, in a few lines of HTML."""
    lines = [f"<b>{source['label']}</b> {'extended' if source['is_extended'] else 'point-like'}"]
    lines.append(f"{source['ra_centroid']:.6f} {source['dec_centroid']:+.6f}")
    mag, error = source["aper_total_abmag"], source["aper_total_abmag_err"]
    if np.isfinite(mag):
        lines.append(f"{mag:.3f} ± {error:.3f} AB mag")
    lines.append(f"{source['n_exposures']} exposures")
    return "<br>".join(lines)


def picture_layer(
    values: np.ndarray, ends: tuple[float, float], place: tuple[float, float, float], name: str
) -> Layer:
    """Return a layer of colours; `place` is its lower left corner, and the side of its pixels."""
    low, high = ends
    known = np.isfinite(values)
    scaled = (np.where(known, values, low) - low) / ((high - low) or 1.0)
    colors = np.asarray(colormaps[COLORS](np.clip(scaled, 0, 1), bytes=True))
    colors[~known] = 0
    left, bottom, side = place
    ny, nx = values.shape
    return {
        "kind": "picture",
        "name": name,
        "box": [left, bottom, left + nx * side, bottom + ny * side],
        "image": png(colors[::-1].copy()),
        "bar": ", ".join(to_hex(colormaps[COLORS](k / 8)) for k in range(9)),
    }
