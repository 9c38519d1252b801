"""Noise over error: of pixels, of apertures on blank sky, of stars and their positions.

    PYTHONPATH=lib python benchmarks/errors.py blank|sky|stars|weights [--realisations N] [--json F]

``blank``: white noise, drizzled again and again, from exposures that lie as dithers do and in odder
ways. ``sky``: the same with the simulator's own noise on its blank sky. ``stars``: stars of the
simulator, catalogued again and again, over the errors that the catalogue gives them; each star is
compared with its own mean, so that what is no noise (phases of pixels, aperture corrections,
neighbours) does not count. Of circles also how much it scatters from place to place (±). Errors of
today (ERR, NOISE_CORR) and, after the bar, of ERR alone. ``weights``: by how many magnitudes stars
scatter because pixels weigh 1 / VAR_RNOISE instead of alike, without noise.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from snakewebb.io.noise_correlation import NoiseCorrelation
from snakewebb.kernels.photometry import circle_errors, circle_sums
from snakewebb.mosaicking.noise_correlation import (
    cell_side,
    correlation_rows,
    finish,
    sample_noise,
)
from snakewebb.mosaicking.resample import Band, DrizzleOptions, Input, drizzle_band
from snakewebb.simulate import apertures, detector, observation, scene
from snakewebb.simulate.presets import preset
from snakewebb.simulate.references import write_references
from snakewebb.sources.catalog import CatalogOptions, source_catalog
from snakewebb.sources.mosaic import Mosaic
from snakewebb.wcs.exposure import Exposure, locate
from snakewebb.wcs.geometry import Geometry
from snakewebb.wcs.grid import Grid, output_grid
from snakewebb.wcs.pixel_map import PixelMap
from snakewebb.wcs.sphere import from_plane

RADII = (1.0, 2.0, 4.0, 8.0, 16.0)
CIRCLES = 600
SIDE = 500
SCALE = 0.06
Planes = dict[str, np.ndarray]
Draw = Callable[[int], list[Planes]]
"""Takes the number of a realisation and returns the planes of its exposures."""
NOISELESS = 1_000_000
"""A realisation whose images are without noise."""

DITHERS = [
    (0.0, (0.0, 0.0)),
    (0.0002, (11.3, -7.7)),
    (-0.0001, (-20.2, 30.1)),
    (0.0, (3.45, 3.6)),
]
TURNED = [(0.0, (0.0, 0.0)), (0.3, (11.3, -7.7)), (1.7, (-20.2, 30.1)), (-0.8, (3.5, 3.5))]
EVEN, UNEVEN = (1.0, 1.0, 1.0, 1.0), (1.0, 1.0, 2.0, 3.0)
BLANK = [
    *((f"4 dithers, ratio {r:g}, pixfrac {p:g}", DITHERS, EVEN, 0.0, r, {"pixfrac": p})
      for r in (0.5, 1.0, 2.0) for p in (0.5, 0.75, 1.0)),
    ("4 dithers, ratio 0.3, pixfrac 0.25: holes", DITHERS, EVEN, 0.0, 0.3, {"pixfrac": 0.25}),
    *((f"turned, noise 1:1:2:3, 3 % bad, ratio {r:g}", TURNED, UNEVEN, 0.03, r, {})
      for r in (0.5, 1.0, 2.0)),
    ("the same, all weights 1, pixfrac 0.75", TURNED, UNEVEN, 0.03, 1.0,
     {"pixfrac": 0.75, "weight_type": None}),
    ("1 exposure", DITHERS[:1], EVEN, 0.0, 1.0, {}),
    ("1 exposure, turned", TURNED[1:2], EVEN, 0.0, 1.0, {}),
    ("1 exposure, ratio 0.5, pixfrac 0.75", DITHERS[:1], EVEN, 0.0, 0.5, {"pixfrac": 0.75}),
]  # fmt: skip


@dataclass(frozen=True)
class Field:
    """Exposures of which realisations are drawn, and the mosaic of them."""

    names: list[str]
    geometries: list[Geometry]
    draw: Draw
    grid: Grid
    how: DrizzleOptions

    @classmethod
    def of(cls, geometries: dict[str, Geometry], draw: Draw, ratio: float, **options) -> Field:
        """Return the field of exposures by name, with options of drizzling."""
        grid = output_grid(geometries, pixel_scale_ratio=ratio, max_megapixels=1000)
        how = DrizzleOptions(**options)
        return cls(list(geometries), list(geometries.values()), draw, grid, how)

    def inputs(self, realisation: int) -> list[Input]:
        """Draw the exposures of a realisation."""
        maps = [PixelMap(geometry, self.grid) for geometry in self.geometries]
        drawn = zip(self.names, self.draw(realisation), maps, strict=True)
        return [Input(name, planes, place, None, 100.0, 100.0) for name, planes, place in drawn]

    def mosaics(self, number: int) -> Iterator[Band]:
        """Draw some mosaics."""
        for realisation in range(number):
            yield drizzle_band(self.inputs(realisation), self.grid, slice(None), self.how)

    def correlation(self) -> NoiseCorrelation | None:
        """Return how the noise of the mosaics is correlated."""
        inputs = self.inputs(0)
        samples = {each.name: sample_noise(each, self.how) for each in inputs}
        rows = range(-(-self.grid.shape[0] // cell_side(self.grid)))
        cells = correlation_rows(inputs, self.grid, self.how, samples, rows)
        return finish(cells, self.grid)


def geometry(angle: float, shift: tuple[float, float]) -> Geometry:
    """Return where an exposure lies that is turned, shifted (pixels) and distorted."""
    nodes = np.linspace(-0.5, SIDE - 0.5, 17)
    a, b = np.meshgrid(nodes - SIDE / 2, nodes - SIDE / 2)
    a, b = a + 1e-5 * a * b, b + 1e-5 * a**2
    c, s = np.cos(angle), np.sin(angle)
    xi, eta = -(c * a - s * b + shift[0]) * SCALE, (s * a + c * b + shift[1]) * SCALE
    wcsinfo = 80.0, -490.0, 0.0, 53.0, -27.0, 0.0, -1
    sky = from_plane(xi, eta, 53.0, -27.0)
    return Geometry((SIDE, SIDE), nodes, nodes, *sky, SCALE / 3600, *wcsinfo)


def white(scales: Sequence[float], bad: float) -> Draw:
    """Return what draws noise whose deviation varies by 10 % from pixel to pixel."""
    fixed = np.random.default_rng(0)
    exposures = []
    for scale in scales:
        rnoise = (scale * np.exp(0.1 * fixed.standard_normal((SIDE, SIDE)))) ** 2
        planes = {"VAR_RNOISE": rnoise, "VAR_POISSON": np.full_like(rnoise, 0.5 * scale**2)}
        planes = {name: plane.astype(np.float32) for name, plane in planes.items()}
        planes["DQ"] = (fixed.random(rnoise.shape) < bad).astype(np.uint32)
        exposures.append(planes)

    def draw(realisation: int) -> list[Planes]:
        rng, drawn = np.random.default_rng(realisation + 1), []
        for planes in exposures:
            sigma = np.sqrt(planes["VAR_RNOISE"] + planes["VAR_POISSON"])
            noise = sigma * rng.standard_normal(sigma.shape, np.float32)
            drawn.append({"SCI": noise, **planes})
        return drawn

    return draw


def blank_sky(field: Field, realisations: int) -> dict[str, float]:
    """Return noise over error of pixels and of sums in circles, in the middle of a mosaic."""
    correlation = field.correlation()
    ny, nx = field.grid.shape
    half = 0.27 * min(ny, nx)
    rng = np.random.default_rng(9)
    x, y = np.array([[nx / 2], [ny / 2]]) + rng.uniform(-half, half, (2, CIRCLES))
    inner = (
        slice(int(ny / 2 - half), int(ny / 2 + half)),
        slice(int(nx / 2 - half), int(nx / 2 + half)),
    )
    pixels, pulls, old = [], [], []
    errors = np.empty((len(RADII), CIRCLES))
    sky = None
    for band in field.mosaics(realisations):
        if sky is None:
            sigma, err = deviations(band)
            place = correlation.kernels, correlation.step, 0, 0
            for radius, row in zip(RADII, errors, strict=True):
                circle_errors(err, x, y, radius, *place, row)
            sky = np.nanmedian(band.sci) * np.isfinite(band.sci)
        seen = band.wht[inner] > 0
        pixels.append(np.mean((band.sci - sky)[inner][seen] ** 2 / sigma[inner][seen] ** 2))
        for radius, error in zip(RADII, errors, strict=True):
            flux, flux_err = np.empty((2, CIRCLES))
            circle_sums(np.nan_to_num(band.sci), err, x, y, radius, flux, flux_err)
            pulls.append(flux / error)
            old.append(flux / flux_err)
    shape = realisations, len(RADII), CIRCLES
    found = {"pixels": float(np.sqrt(np.mean(pixels)))}
    for mark, values in (("", pulls), (" | ERR alone", old)):
        each = np.reshape(values, shape)
        spread = each - each.mean(axis=0)
        rms = np.sqrt(np.nanmean(spread**2, axis=(0, 2)) * realisations / (realisations - 1))
        found |= {f"r = {r:g}{mark}": float(v) for r, v in zip(RADII, rms, strict=True)}
        # Besides that of so many realisations; below 0 if it is less.
        each = np.sqrt((spread**2).sum(axis=0) / (realisations - 1))
        excess = each.var(axis=1) / each.mean(axis=1) ** 2 - 0.5 / (realisations - 1)
        places = np.sign(excess) * np.sqrt(np.abs(excess))
        found |= {f"±{r:g}{mark}": float(v) for r, v in zip(RADII, places, strict=True)}
    return found


def deviations(band: Band) -> tuple[np.ndarray, np.ndarray]:
    """Return the roots of VAR_PIXEL, 0 where it is NaN, and ERR of a mosaic."""
    variances = np.array([band.var_rnoise, band.var_poisson, band.var_flat])
    err = np.sqrt(np.nansum(variances, axis=0)).astype(np.float32)
    return np.nan_to_num(np.sqrt(band.var_pixel)), err


# --- with the simulator --------------------------------------------------------------------------


def simulated(
    name: str, npix: int, spacing: float | None, folder: Path
) -> tuple[dict[str, Exposure], Draw, np.ndarray]:
    """Return exposures of a preset's first detector, what draws them, and where its stars are.

    Stars lie on a lattice, pixels apart; None is a blank sky. Pointing and sky are known; there
    are no cosmic rays. Read noise, and so weights, are the same in all realisations; errors of the
    flat field are of each realisation, the same in all its exposures.
    """
    full = preset(name, seed=3, npix=npix)
    made = replace(
        full,
        detectors=full.detectors[:1],
        pointing_error=0.0,
        roll_error=0.0,
        sky_scatter=0.0,
        cosmic_ray_rate=0.0,
        bad_fraction=0.0,
    )
    frames = [each[0] for each in observation.believed_frames(made)]
    rng = np.random.default_rng(5)
    stars = scene.catalog([], [], [])
    if spacing:
        lattice = np.arange(0.7 * spacing, npix - 0.6 * spacing, spacing)
        x, y = (c.ravel() for c in np.meshgrid(lattice, lattice))
        x, y = np.array([x, y]) + rng.uniform(-2, 2, (2, x.size))
        faintest = observation.FAINTEST[made.instrument]
        flux = faintest * 10 ** rng.uniform(-0.1, 1.6, x.size)
        stars = scene.catalog(*frames[0].wcs(x, y, with_bounding_box=False), flux)
    observation.write(replace(made, sources=stars), folder)
    paths = sorted(folder.glob("*_cal.fits"))
    write_references(paths[0], folder)
    images, flaws = [], []
    for index, frame in enumerate(frames):
        nx, ny = frame.size
        area = scene.pixel_area(frame.sky, (ny, nx))
        psf = observation.filter_psf(made, float(area[ny // 2, nx // 2]))
        truth = observation.draw_truth(made, index, [frame])
        image = scene.paint(stars, frame.sky, area, psf, truth.pointing)
        images.append(np.maximum(image + np.float32(truth.sky), 0))
        size = apertures.imaging_aperture(frame.detector).full_size
        own = made.instrument, frame.detector, size, frame.start, frame.size, 0.0, made.seed
        flaws.append(detector.make_flaws(*own))

    def draw(realisation: int) -> list[Planes]:
        drawn = []
        flat = np.random.default_rng([realisation, 99]).standard_normal(images[0].shape)
        flat = (1 + detector.FLAT_ERROR * flat).astype(np.float32)
        for index, (image, flaw) in enumerate(zip(images, flaws, strict=True)):
            rng = np.random.default_rng([realisation, index])
            scene_and_time = image, made.instrument, made.filter, made.exposure_time
            planes, _ = detector.expose(rng, *scene_and_time, replace(flaw, flat=flat), 0.0)
            if realisation == NOISELESS:
                planes["data"] = image
            drawn.append({"SCI" if n == "data" else n.upper(): p for n, p in planes.items()})
        return drawn

    known = [locate(path)[0] for path in paths]
    where = np.array([stars["ra"], stars["dec"]])
    return {each.name: each for each in known}, draw, where


COLUMNS = ("aper30_flux", "aper50_flux", "aper70_flux", "aper_total_flux", "aper_total_abmag")
COLUMNS += ("isophotal_flux", "xcentroid", "ycentroid", "aper_bkg_flux")


def stars(
    exposures: dict[str, Exposure],
    draw: Draw,
    where: np.ndarray,
    ratio: float,
    realisations: int,
    apcorr: Path,
) -> dict[str, float]:
    """Return scatter over error of what the catalogue tells of stars that it always finds."""
    geometries = {name: each.geometry for name, each in exposures.items()}
    field = Field.of(geometries, draw, ratio)
    correlation, header = field.correlation(), next(iter(exposures.values())).header
    names = ("instrument", "filter", "pupil", "detector", "subarray")
    instrument = {name.replace("instrument", "name"): getattr(header, name, "") for name in names}
    instrument["subarray"] = instrument.get("subarray") or "FULL"
    jansky = 1e6 * field.grid.pixel_area
    x, y = field.grid.sky_to_pixel(*where)
    kinds = {"": correlation, " | ERR": None}
    values = {kind: np.full((2, realisations, len(COLUMNS), x.size), np.nan) for kind in kinds}
    for realisation, band in enumerate(field.mosaics(realisations)):
        for kind, known in kinds.items():
            err = deviations(band)[1] * np.float32(jansky)
            mask = band.wht == 0
            image = Mosaic(
                band.sci * np.float32(jansky), err, mask, field.grid, instrument, "", known
            )
            table = source_catalog(image, CatalogOptions(), apcorr=apcorr).table
            distance = np.hypot(
                np.asarray(table["xcentroid"])[:, None] - x,
                np.asarray(table["ycentroid"])[:, None] - y,
            )
            found, seen = distance.argmin(axis=0), distance.min(axis=0) < 2.0 / ratio
            for column, name in enumerate(COLUMNS):
                for of, suffix in enumerate(("", "_err")):
                    measured = np.asarray(table[name + suffix])[found]
                    values[kind][of, realisation, column, seen] = measured[seen]
    result: dict[str, float] = {}
    for kind, (value, error) in values.items():
        always = np.isfinite(value[:, -2]).all(axis=0)
        spread = value - value.mean(axis=0)
        pulls = np.sqrt((spread**2).sum(axis=0) / (realisations - 1))
        pulls /= np.sqrt((error**2).mean(axis=0))
        total = COLUMNS.index("aper_total_flux")
        snr = (value[:, total] / error[:, total]).mean(axis=0)
        result |= {f"stars{kind}": float(always.sum())}
        result |= {f"median SNR{kind}": float(np.median(snr[always]))}
        for column, name in enumerate(COLUMNS):
            result[name + kind] = float(np.sqrt(np.mean(pulls[column, always] ** 2)))
    return result


def weights(
    exposures: dict[str, Exposure], draw: Draw, where: np.ndarray, ratio: float
) -> dict[str, float]:
    """Return the scatter of stars' magnitudes with ``ivm`` about those with ``exptime``."""
    geometries = {name: each.geometry for name, each in exposures.items()}
    radii, found = (2.0 / ratio, 4.0 / ratio), []
    for kind in ("ivm", "exptime"):
        field = Field.of(geometries, draw, ratio, weight_type=kind)
        x, y = field.grid.sky_to_pixel(*where)
        sci = drizzle_band(field.inputs(NOISELESS), field.grid, slice(None), field.how).sci
        flux, unused = np.empty((2, len(radii), x.size))
        for radius, own in zip(radii, flux, strict=True):
            circle_sums(sci - np.nanmedian(sci), sci, x, y, radius, own, unused[0])
        found.append(flux)
    change = -2.5 * np.log10(found[0] / found[1])
    scatter = np.nanstd(change, axis=1)
    return {f"r = {r:g}": float(s) for r, s in zip(radii, scatter, strict=True)}


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=["blank", "sky", "stars", "weights"])
    parser.add_argument("--realisations", type=int, default=60)
    parser.add_argument("--presets", nargs="*", default=["nircam-f356w", "nircam-short"])
    parser.add_argument("--ratios", nargs="*", type=float, default=[0.5, 1.0, 2.0])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore", RuntimeWarning)
    figures = {}

    def tell(name: str, found: dict[str, float]) -> None:
        figures[name] = found
        own = {key: value for key, value in found.items() if "|" not in key}
        line = "  ".join(f"{key} {value:.3f}" for key, value in own.items())
        old = " ".join(f"{value:.2f}" for key, value in found.items() if "|" in key)
        print(f"{name}: {line} | {old}", flush=True)

    if options.what == "blank":
        for name, poses, scales, bad, ratio, how in BLANK:
            geometries = {str(k): geometry(*pose) for k, pose in enumerate(poses)}
            draw = white(scales[: len(poses)], bad)
            tell(name, blank_sky(Field.of(geometries, draw, ratio, **how), options.realisations))
    for name in options.presets if options.what != "blank" else ():
        with tempfile.TemporaryDirectory() as folder:
            spacing = None if options.what == "sky" else 45.0
            exposures, draw, where = simulated(name, 400, spacing, Path(folder))
            geometries = {key: each.geometry for key, each in exposures.items()}
            for ratio in options.ratios:
                label = f"{name}, ratio {ratio:g}"
                if options.what == "sky":
                    field = Field.of(geometries, draw, ratio)
                    tell(label, blank_sky(field, options.realisations))
                elif options.what == "weights":
                    tell(label, weights(exposures, draw, where, ratio))
                else:
                    files = Path(folder) / "apcorr.fits"
                    observed = exposures, draw, where
                    tell(label, stars(*observed, ratio, options.realisations, files))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
