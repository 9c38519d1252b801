"""Plots of a coronagraphic product: contrast, images, alignment of references, eigenvalues.

matplotlib is used without pyplot, whose import takes as long as the rest of it, and astropy's
tables are imported where there is one to read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import AsinhNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.patheffects import withStroke

from snakewebb.coron_status import write_status
from snakewebb.exposure import open_fits, read_notes, read_planes
from snakewebb.figures import PAGE_ASPECT, PAGE_WIDTH, STYLE, drawn, heading, save
from snakewebb.geometry import to_plane

if TYPE_CHECKING:
    from astropy.table import Table

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")  # of Okabe and Ito
MARKERS = "oDs^vPX"
HEIGHT = 6.2  # inches
NO_DATA = "0.82"
FIELD = 8.0
"""Side of the pictures, arcsec, at most."""
ARCSECONDS = (0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10, 15, 20)
ELEMENTS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 100)
"""Ticks of axes, arcsec and λ/D."""
MOST_PAIRS = 4
"""Exposures drawn before and after."""
BARS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)  # arcsec


def plot_product(
    flagged: Mapping[str, str | Path],
    aligned: Mapping[str, str | Path],
    subtracted: Mapping[str, str | Path],
    truncate: Sequence[int],
    out: Any,
) -> None:
    """Draw what became of the exposures of a product; a picture that fails stops no other.

    Parameters
    ----------
    flagged, aligned, subtracted : mapping
        ``_crfints``, ``_psfalign`` and ``_psfsub`` by exposure: of all, and of the target twice.
    truncate : sequence of int
        See `plot_eigenvalues`.
    out : namespace
        Files to write: ``subtraction``, ``shifts``, ``eigenvalues`` and ``status``.
    """
    klip = {name: read_notes(path)["klip"] for name, path in subtracted.items()}
    align = {name: read_notes(path)["align_refs"] for name, path in aligned.items()}
    with drawn(out.status):
        write_status(flagged, align, klip, out.status)
    with drawn(out.shifts):
        plot_shifts(align, out.shifts)
    with drawn(out.eigenvalues):
        spectra = {name: notes.get("eigenvalues", []) for name, notes in klip.items()}
        plot_eigenvalues(spectra, truncate, out.eigenvalues)
    with drawn(out.subtraction):
        pairs = {}
        for name, path in list(subtracted.items())[:MOST_PAIRS]:
            before, after = (read_planes(p, ("SCI",))["SCI"] for p in (flagged[name], path))
            pairs[name] = before, after, klip[name]["star"]["center"]
        with open_fits(path) as hdus:
            unit = hdus["SCI"].header.get("BUNIT", "")
        scale, number = klip[name]["star"]["pixel_scale"], len(subtracted)
        plot_subtraction(pairs, scale, out.subtraction, unit=unit, number=number)


def plot_contrast(curve: str | Path, sources: str | Path, path: str | Path) -> None:
    """Plot the contrast curve: before and after subtraction, for each ``truncate``.

    Parameters
    ----------
    curve, sources : path
        ``_contrast`` and the table of point sources, ECSV; see `snakewebb.contrast`.
    path : path
        The PNG to write.
    """
    table, found = _read(curve), _read(sources)
    outcome = table.meta.get("contrast", {"reason": ""})
    if not len(table):
        with matplotlib.rc_context(STYLE):
            figure = Figure(figsize=(PAGE_WIDTH, 1.0))
            heading(figure, "Contrast", f"{outcome['status']}: {outcome['reason']}")
            save(figure, path)
        return
    relative = table["contrast"].unit is None
    head = table.meta["headline_truncate"]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(PAGE_WIDTH, HEIGHT))
        axes = figure.add_axes((0.085, 0.1, 0.88, 0.7))
        rows = table[table["truncate"] == head]
        axes.plot(rows["separation"], rows["before"], color="0.6", label="before subtraction")
        for number, color in zip(dict.fromkeys(table["truncate"]), _cycle(COLORS), strict=False):
            rows = table[table["truncate"] == number]
            wide = 2.0 if number == head else 1.1
            axes.plot(rows["separation"], rows["raw"], color=color, linestyle=":", linewidth=wide)
            label = f"truncate {number}"
            axes.plot(
                rows["separation"], rows["contrast"], color=color, linewidth=wide, label=label
            )
        axes.plot([], [], color="0.3", linestyle=":", label="losses in the subtraction ignored")
        if len(found):
            axes.errorbar(
                found["separation"],
                found["contrast"],
                found["contrast_err"],
                fmt="*",
                color="black",
                markersize=9,
                label="point sources",
            )
        axes.set_yscale("log")
        axes.set_xscale("log")
        low, high = float(table["separation"].min()), float(table["separation"].max())
        ticks = [tick for tick in ARCSECONDS if low <= tick <= high]
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        axes.set_xlabel("separation (arcsec)")
        axes.set_ylabel(
            f"{table.meta['sigma']:g}σ contrast"
            if relative
            else f"{table.meta['sigma']:g}σ brightness of a companion's central pixel (MJy/sr)"
        )
        factor = float(rows["separation_ld"][0] / rows["separation"][0])
        top = axes.secondary_xaxis("top", functions=(lambda x: x * factor, lambda x: x / factor))
        marks = [m for m in ELEMENTS if low <= m / factor <= high]
        top.set_xticks(marks, [str(mark) for mark in marks])
        top.minorticks_off()
        top.set_xlabel("λ/D")
        _grid(axes)
        axes.legend(frameon=False, fontsize=9)
        lines = [f"throughput of the subtraction at {_spread(table[table['truncate'] == head])}"]
        if not relative:
            lines[0] += "; " + (outcome["reason"] or "the star's flux is not given")
        if "approximate" in table.meta.get("psf", ""):
            lines.append("APPROXIMATE: no PSF is given, fluxes may be off by 30 %")
        heading(figure, "Contrast", *lines)
        save(figure, path)


def _read(path: str | Path) -> Table:
    from astropy.table import Table

    return Table.read(path, format="ascii.ecsv")


def _spread(rows: Table) -> str:
    texts = []
    for separation in (0.5, 1.0, 2.0):
        if rows["separation"][0] <= separation <= rows["separation"][-1]:
            value = np.interp(separation, rows["separation"], rows["throughput"])
            texts.append(f"{separation:g}″: {100 * value:.0f} %")
    return ", ".join(texts)


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
        (name, _median(before), _median(after), center)
        for name, (before, after, center) in list(exposures.items())[:MOST_PAIRS]
    ]
    _, bright, faint, _ = next((s for s in shown if np.isfinite(s[2]).any()), shown[0])
    bright = bright[np.isfinite(bright)]
    norm = _norm(faint, float(np.percentile(bright, 99.9)) if bright.size else None)
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
                axes = figure.add_axes(box)
                ny, nx = image.shape
                extent = np.array((-0.5 - center[0], nx - 0.5 - center[0])) * pixel_scale
                rise = np.array((-0.5 - center[1], ny - 0.5 - center[1])) * pixel_scale
                picture = _show(axes, image, norm, (*extent, *rise))
                axes.set_xlim(max(-half, extent[0]), min(half, extent[1]))
                axes.set_ylim(max(-half, rise[0]), min(half, rise[1]))
                title = f"{_short(name)}: before" if side == 0 else "after"
                axes.set_title(title, loc="left", fontsize=9)
                if row == rows - 1:
                    axes.set_xlabel("x (arcsec)")
                if column + side == 0:
                    axes.set_ylabel("y (arcsec)")
        bar = figure.add_axes(((left + width + 0.25) / PAGE_WIDTH, 0.12, 0.013, 0.68))
        _bar(figure, picture, bar, norm, unit)
        more = f"{len(shown)} of {number} exposures" if len(shown) < number else ""
        heading(figure, "The star's light subtracted (klip)", more)
        save(figure, path)


def plot_companions(
    i2d: str | Path,
    star: tuple[float, float],
    path: str | Path,
    *,
    sources: str | Path | None = None,
    snr: str | Path | None = None,
) -> None:
    """Draw the combined image, North up, East to the left, its point sources circled.

    Parameters
    ----------
    i2d : path
        The combined image.
    star : (RA, Dec)
        Degrees.
    path : path
        The PNG to write.
    sources : path, optional
        The table of point sources, ECSV.
    snr : path, optional
        The SNR map, to be drawn beside the image.
    """
    found = _read(sources) if sources else []
    panels = [(i2d, "SCI", "combined image")] + ([(snr, "SNR", "SNR")] if snr else [])
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(PAGE_WIDTH, HEIGHT - 0.6))
        for k, (name, plane, title) in enumerate(panels):
            with open_fits(name) as hdus:
                image, header = np.array(hdus[plane].data, float), hdus[plane].header
            image, half = north_up(image, header, star)
            norm = _norm(image) if plane == "SCI" else Normalize(-5, 15)
            left, width = 0.06 + 0.49 * k, 0.37 if snr else 0.42
            axes = figure.add_axes((left, 0.08, width, 0.76))
            shown = _show(axes, image, norm, (half, -half, -half, half))
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
            _bar(figure, shown, bar, norm, unit)
        texts = [
            "{}: {separation:.2f}″, PA {pa:.0f}°, SNR {snr:.0f}".format(number, **source)
            for number, source in enumerate(found[:4], 1)
        ]
        more = f" and {len(found) - 4} more" if len(found) > 4 else ""
        note = "; ".join(texts) + more
        if sources and not texts:
            note = "no point source"
        heading(figure, Path(i2d).name.removesuffix(".fits"), note)
        save(figure, path)


def north_up(
    image: np.ndarray, header: Mapping[str, Any], star: tuple[float, float]
) -> tuple[np.ndarray, float]:
    """Return an image turned about the star: rows to the North, columns to the West.

    Parameters
    ----------
    image : (ny, nx) array
    header : mapping
        Of the image: the WCS of a mosaic.
    star : (RA, Dec)
        Degrees.

    Returns
    -------
    image : (n, n) float64
        The nearest pixels; NaN where there are none.
    half : float
        Half of its side, arcsec.
    """
    turn = [[header.get(f"PC{i}_{j}", float(i == j)) for j in (1, 2)] for i in (1, 2)]
    matrix = 3600 * np.array(((header["CDELT1"],), (header["CDELT2"],))) * turn
    scale = float(np.sqrt(abs(np.linalg.det(matrix))))
    offset = np.linalg.solve(matrix, to_plane(*star, header["CRVAL1"], header["CRVAL2"]))
    x0, y0 = offset + np.array((header["CRPIX1"], header["CRPIX2"])) - 1
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


def plot_shifts(alignments: Mapping[str, Mapping[str, Sequence]], path: str | Path) -> None:
    """Plot by how much each reference was shifted onto each exposure's star.

    Parameters
    ----------
    alignments : mapping
        By exposure of the target what `snakewebb.coron_products.write_psfalign` notes:
        ``exposures``, ``shifts`` and ``shift_errors`` ((x, y), pixels), one a reference.
    path : path
        The PNG to write.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(PAGE_WIDTH, HEIGHT - 0.8))
        count = len(alignments)
        limits = [_limits(a["shifts"]) for a in alignments.values()]
        span = 0.6 * max(float((high - low).max()) for low, high in limits) if limits else 1.0
        span = max(span, 0.006)
        for k, (name, notes) in enumerate(alignments.items()):
            width = 0.84 / count
            axes = figure.add_axes((0.075 + k * width, 0.11, width - 0.03, 0.7))
            shifts, errors = (_pairs(notes[key]) for key in ("shifts", "shift_errors"))
            exposures = list(notes["exposures"])
            for number, exposure in enumerate(dict.fromkeys(exposures)):
                chosen = np.array([e == exposure for e in exposures])
                axes.errorbar(
                    *shifts[chosen].T,
                    yerr=errors[chosen, 1],
                    xerr=errors[chosen, 0],
                    fmt=MARKERS[number // len(COLORS) % len(MARKERS)],
                    color=COLORS[number % len(COLORS)],
                    markersize=5,
                    linewidth=0.8,
                    label=_short(exposure) if k == 0 else None,
                )
            middle = np.mean(limits[k], axis=0)
            axes.set_xlim(middle[0] - span, middle[0] + span)
            axes.set_ylim(middle[1] - span, middle[1] + span)
            axes.set_aspect("equal")
            axes.set_title(_short(name), loc="left", fontsize=9)
            axes.set_xlabel("shift in x (pixels)")
            if k == 0:
                axes.set_ylabel("shift in y (pixels)")
            _grid(axes)
        line = "no references of other stars"
        if alignments:
            if any(len(notes["exposures"]) for notes in alignments.values()):
                style = {"frameon": False, "fontsize": 7, "handletextpad": 0.2}
                figure.legend(loc="upper right", ncols=3, **style)
            total = [np.hypot(*_pairs(a["shift_errors"]).T) for a in alignments.values()]
            known = [error for error in np.concatenate(total) if np.isfinite(error)]
            line = f"median error {1000 * np.median(known):.2g} mpx" if known else "not shifted"
        heading(figure, "Shifts of the references (align_refs)", line)
        save(figure, path)


def plot_eigenvalues(
    spectra: Mapping[str, Sequence[np.ndarray]], truncate: Sequence[int], path: str | Path
) -> None:
    """Plot the references' eigenvalues, and where each ``truncate`` cuts.

    Parameters
    ----------
    spectra : mapping
        By exposure of the target, `snakewebb.klip.Subtracted.eigenvalues`: one a zone.
    truncate : sequence of int
        The first is the headline.
    path : path
        The PNG to write.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(PAGE_WIDTH, HEIGHT - 1.2))
        axes = figure.add_axes((0.085, 0.11, 0.88, 0.7))
        most = 1
        for (name, zones), color in zip(spectra.items(), _cycle(COLORS), strict=False):
            for k, values in enumerate(zones):
                values = np.asarray(values, float)
                if not values.size or not values[0] > 0:
                    continue
                most = max(most, len(values))
                axes.plot(
                    np.arange(1, len(values) + 1),
                    values / values[0],
                    "o-",
                    color=color,
                    markersize=3.5,
                    linewidth=0.9,
                    alpha=1.0 if len(zones) == 1 else 0.4,
                    label=_short(name) if k == 0 else None,
                )
        for k, number in enumerate(truncate):
            if number <= most:
                style = "-" if k == 0 else ":"
                axes.axvline(number + 0.5, color="0.4", linestyle=style, linewidth=1)
                axes.text(
                    number + 0.6, 1.0, f"truncate {number}", fontsize=8, rotation=90, va="top"
                )
        axes.set_yscale("log")
        axes.set_xlim(0.5, most + 1)
        axes.set_xlabel("mode")
        axes.set_ylabel("eigenvalue over the first one")
        _grid(axes)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=8)
        heading(
            figure,
            "Eigenvalues of the references (klip)",
            f"{most} modes; truncate {', '.join(map(str, truncate))}"
            + ("" if min(truncate, default=0) <= most else ": all are used"),
        )
        save(figure, path)


def _pairs(values: Sequence) -> np.ndarray:
    """Return (x, y) of each reference, (n, 2)."""
    return np.asarray(values, float).reshape(-1, 2)


def _limits(values: Sequence) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest and the highest x and y that are known; 0 if none is."""
    known = _pairs(values)
    known = known[np.isfinite(known).all(axis=1)]
    known = known if len(known) else np.zeros((1, 2))
    return known.min(axis=0), known.max(axis=0)


def _median(cube: np.ndarray) -> np.ndarray:
    """Return the median over integrations; NaN where all are."""
    if cube.ndim == 2:
        return cube
    known = np.isfinite(cube).any(axis=0)
    image = np.full(known.shape, np.nan)
    image[known] = np.nanmedian(cube[:, known], axis=0)
    return image


def _short(name: str) -> str:
    """Return program, visit and number of an exposure, which tell it from the others."""
    return "_".join(Path(name).name.split("_")[:3])


def _cycle(values: Sequence[str]) -> list[str]:
    return list(values) * 50


def _grid(axes: Axes) -> None:
    axes.grid(color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _norm(image: np.ndarray, high: float | None = None) -> AsinhNorm:
    """Return a stretch that is linear within twice the noise of an image."""
    values = image[np.isfinite(image)].astype(np.float64)
    values = values if values.size else np.zeros(1)
    sky = float(np.median(values))
    sigma = 1.4826 * float(np.median(np.abs(values - sky))) or 1.0
    peak = float(np.percentile(values, 99.97)) if high is None else high
    return AsinhNorm(2 * sigma, vmin=sky - 6 * sigma, vmax=max(peak, sky + 6 * sigma))


def _show(axes: Axes, image: np.ndarray, norm: Normalize, extent: Sequence[float]):
    axes.set_facecolor(NO_DATA)
    return axes.imshow(image, cmap="inferno", norm=norm, origin="lower", extent=extent)


def _bar(figure: Figure, shown, axes: Axes, norm: Normalize, unit: str) -> None:
    figure.colorbar(shown, cax=axes, extend="both", extendfrac=0.03)
    axes.set_title(unit, loc="left", fontsize=9, pad=8)
    if isinstance(norm, AsinhNorm):
        decades = 10.0 ** np.arange(np.ceil(np.log10(2 * norm.linear_width)), 9)
        ticks = [v for v in (*-decades, 0.0, *decades) if norm.vmin <= v <= norm.vmax]
        axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()


def _scale_bar(axes: Axes, half: float) -> None:
    """Draw a bar of a round length and arrows to North and East into the picture's corners."""
    length = max((bar for bar in BARS if bar <= 0.5 * half), default=BARS[0])
    x, y = 0.9 * half, -0.9 * half
    outline = {"path_effects": [withStroke(linewidth=3, foreground="black")]}
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
