"""Score a folder of products (ours or jwst's) against the truth of a simulated observation.

    PYTHONPATH=lib python benchmarks/accuracy.py PRODUCTS SIMULATION [--json FILE]

SIMULATION is what ``python -m snakewebb.simulate`` wrote: the exposures and ``truth/``.
How each figure is defined stands in the functions below and in README.md.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table
from footprints import exposures_seeing
from gwcs import WCS
from photutils.aperture import (
    ApertureStats,
    CircularAnnulus,
    CircularAperture,
    aperture_photometry,
)
from scipy.ndimage import binary_dilation, uniform_filter
from scipy.spatial import KDTree

from snakewebb.io.dq import DO_NOT_USE, OUTLIER
from snakewebb.simulate import scene
from snakewebb.simulate.psf import Psf
from snakewebb.simulate.references import aperture_table, exposure_psf, smoothed
from snakewebb.wcs.geometry import Correction
from snakewebb.wcs.gwcs_library import read_wcs
from snakewebb.wcs.sphere import to_plane

MAS = 1000.0
FIGURES = {
    "alignment_rms_mas": "relative alignment rms, mas",
    "alignment_common_mas": "offset common to all, mas",
    "sky_rms": "sky residual rms, MJy/sr",
    "recall_5_10": "cosmic rays: recall at SNR 5-10",
    "recall_10_30": "  at SNR 10-30",
    "recall_30": "  above 30",
    "recall_5_10_inflated": "  that inflate their errors: at 5-10",
    "recall_10_30_inflated": "  at 10-30",
    "precision": "  precision",
    "core_pixels_lost_percent": "star-core pixels lost, %",
    "bright_core_pixels_lost": "  of stars above SNR 50, pixels",
    "magnitude_median": "total magnitude, median error",
    "magnitude_scatter": "  scatter",
    "magnitude_stars": "  stars",
    "flux_ratio": "mosaic flux / truth",
    "noise_over_err": "noise / ERR in 8x8 blocks",
}


@dataclass(frozen=True)
class Exposure:
    """A simulated exposure with its truth and its product.

    Attributes
    ----------
    believed, corrected : WCS
        As simulated; as the ``_crf`` has it.
    pointing : Correction
        From believed to true sky positions.
    sky, level : float
        True and measured, MJy/sr.
    shape : (ny, nx)
    struck : (ny, nx) float32
        Height of cosmic rays over what ERR would be without them.
    inflated : (ny, nx) bool
        Struck pixels whose errors have grown with the hit.
    image, err : (ny, nx) float32
        Of the exposure, its sky in it.
    usable, outlier : (ny, nx) bool
        Good pixels before outlier detection; flagged by it.
    header : fits.Header
    """

    believed: WCS
    corrected: WCS
    pointing: Correction
    sky: float
    level: float
    shape: tuple[int, int]
    struck: np.ndarray
    inflated: np.ndarray
    image: np.ndarray
    err: np.ndarray
    usable: np.ndarray
    outlier: np.ndarray
    header: fits.Header


def read_exposure(cal: Path, products: Path) -> Exposure:
    """Read an exposure, its truth and its ``_crf``."""
    name = cal.name.removesuffix("_cal.fits")
    (crf,) = products.glob(f"{name}_*crf.fits")
    truth = json.loads((cal.parent / "truth" / f"{name}.json").read_text())
    rays = np.load(cal.parent / "truth" / f"{name}_cosmic_rays.npz")
    with fits.open(cal) as hdus:
        header = hdus[0].header + hdus["SCI"].header
        usable = (hdus["DQ"].data & DO_NOT_USE) == 0
        image, err = (hdus[name].data for name in ("SCI", "ERR"))
    with fits.open(crf) as hdus:
        outlier = (hdus["DQ"].data & OUTLIER) != 0
        level = hdus[0].header.get("BKGLEVEL", 0.0)
    struck = np.zeros(usable.shape, np.float32)
    struck[rays["y"], rays["x"]] = rays["significance"]
    inflated = np.zeros(usable.shape, bool)
    inflated[rays["y"], rays["x"]] = rays["inflation"] > 1
    return Exposure(
        read_wcs(cal),
        read_wcs(crf),
        Correction.from_dict(truth["pointing"]),
        truth["sky"],
        level or 0.0,
        usable.shape,
        struck,
        inflated,
        image,
        err,
        usable,
        outlier,
        header,
    )


def alignment(exposures: list[Exposure]) -> tuple[dict[str, float], Correction]:
    """Compare corrected with true sky positions.

    An exposure's error, the vector from true to corrected position, is measured on 33 x 33 pixels
    and fitted as an affine function of the true position. On a lattice of sky positions over the
    field, the errors' mean over exposures is what all have in common: no relative alignment can
    find it. The rms of the errors that remain, along either axis, is over positions and exposures.

    Returns
    -------
    dict
        The figures.
    Correction
        From sky positions in the mosaic to true ones.
    """
    plane = exposures[0].pointing.ra0, exposures[0].pointing.dec0
    fits_, places = [], []
    for exposure in exposures:
        ny, nx = exposure.shape
        x, y = (
            a.ravel() for a in np.meshgrid(np.linspace(4, nx - 5, 33), np.linspace(4, ny - 5, 33))
        )
        sky = exposure.believed(x, y, with_bounding_box=False)
        true = np.stack(to_plane(*exposure.pointing.apply(*sky), *plane), axis=-1)
        corrected = np.stack(
            to_plane(*exposure.corrected(x, y, with_bounding_box=False), *plane), axis=-1
        )
        design = np.column_stack((true, np.ones(len(true))))
        fits_.append(np.linalg.lstsq(design, corrected - true)[0])
        places.append(true)
    design = np.column_stack((np.concatenate(places), np.ones(sum(map(len, places)))))
    common = np.mean(fits_, axis=0)
    errors = np.stack([design @ (fit - common) for fit in fits_]) * MAS
    figures = {
        "alignment_rms_mas": float(np.sqrt((errors**2).mean())),
        "alignment_common_mas": float(np.sqrt(((design @ common * MAS) ** 2).sum(axis=-1).mean())),
    }
    inverse = np.linalg.inv(np.eye(2) + common[:2].T)
    to_truth = Correction(*plane, tuple(map(tuple, inverse)), tuple(-inverse @ common[2]))
    return figures, to_truth


def sky(exposures: list[Exposure]) -> dict[str, float]:
    """Return the rms of measured minus true sky level, after their mean is taken off."""
    error = np.array([exposure.level - exposure.sky for exposure in exposures])
    return {"sky_rms": float(error.std())}


def cosmic_rays(exposures: list[Exposure]) -> dict[str, float]:
    """Return recall by height over ERR, and precision: the share of flags on struck pixels.

    ERR is what it would be without the hit. Of pixels that all exposures see; the names with
    ``_anywhere`` are of all usable pixels, those with ``_inflated`` of hits that inflate their own
    errors, with ``_plain`` of those that do not.
    """
    figures = {}
    usable = [exposure.usable for exposure in exposures]
    counts = exposures_seeing([exposure.corrected for exposure in exposures], usable)
    by_all = [u & (count == len(exposures)) for u, count in zip(usable, counts, strict=True)]
    for masks, suffix in ((by_all, ""), (usable, "_anywhere")):
        struck = np.concatenate([e.struck[m] for e, m in zip(exposures, masks, strict=True)])
        outlier = np.concatenate([e.outlier[m] for e, m in zip(exposures, masks, strict=True)])
        inflated = np.concatenate([e.inflated[m] for e, m in zip(exposures, masks, strict=True)])
        for low, high in ((5, 10), (10, 30), (30, np.inf)):
            name = f"recall_{low}_{high}" if np.isfinite(high) else f"recall_{low}"
            chosen = (struck >= low) & (struck < high)
            figures[name + suffix] = float(outlier[chosen].mean())
            if (chosen & inflated).any():
                figures[f"{name}_inflated{suffix}"] = float(outlier[chosen & inflated].mean())
                figures[f"{name}_plain{suffix}"] = float(outlier[chosen & ~inflated].mean())
        figures["precision" + suffix] = float((struck[outlier] > 0).mean())
    return figures


def star_cores(exposures: list[Exposure], stars: Table) -> dict[str, float]:
    """Return which share of pixels within 1.5 pixels of stars is flagged though not struck.

    And how many such pixels of stars whose 3 x 3 central pixels together exceed 50 errors, and
    which share of hits above 10 errors on any star's pixels is found.
    """
    lost = total = bright_lost = hits = found = 0
    for e in exposures:
        _, x, y, _ = scene.locate(
            e.believed, e.shape, stars["ra"].data, stars["dec"].data, e.pointing, -3
        )
        core, bright = np.zeros((2, *e.shape), bool)
        light = np.where(e.usable & (e.struck == 0), e.image - e.sky, 0)
        variance = np.where(e.usable & (e.struck == 0), e.err**2, 0)
        light, variance = (
            9 * uniform_filter(plane.astype(float), 3) for plane in (light, variance)
        )
        middle = np.rint(y).astype(int), np.rint(x).astype(int)
        # where nothing counts, the filter's running sums may leave less than nothing
        strong = light[middle] > 50 * np.sqrt(np.maximum(variance[middle], 0))
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                xi, yi = np.rint(x).astype(int) + dx, np.rint(y).astype(int) + dy
                near = np.hypot(xi - x, yi - y) < 1.5
                core[yi[near], xi[near]] = True
                bright[yi[near & strong], xi[near & strong]] = True
        hit = core & e.usable & (e.struck >= 10)
        hits, found = hits + hit.sum(), found + (hit & e.outlier).sum()
        core &= e.usable & (e.struck == 0)
        lost, total = lost + (core & e.outlier).sum(), total + core.sum()
        bright_lost += (bright & core & e.outlier).sum()
    return {
        "core_pixels_lost_percent": float(100 * lost / total),
        "core_pixels": int(total),
        "bright_core_pixels_lost": int(bright_lost),
        "recall_on_cores": float(found / hits) if hits else np.nan,
    }


@dataclass(frozen=True)
class Mosaic:
    """An ``_i2d`` with what it should show.

    Attributes
    ----------
    wcs : WCS
    image, err : (ny, nx)
        MJy/sr.
    covered : (ny, nx) bool
        All exposures contribute.
    area : (ny, nx)
        Of a pixel, steradians.
    model : (ny, nx)
        True sources as drizzling shows them, on average over subpixel positions, MJy/sr.
    """

    wcs: WCS
    image: np.ndarray
    err: np.ndarray
    covered: np.ndarray
    area: np.ndarray
    model: np.ndarray


def read_mosaic(path: Path, n: int, sources: Table, to_truth: Correction, psf: Psf) -> Mosaic:
    """Read a mosaic of n exposures and paint the truth on its grid."""
    wcs = read_wcs(path)
    with fits.open(path) as hdus:
        image, err = (hdus[name].data.astype(np.float32) for name in ("SCI", "ERR"))
        context = np.reshape(hdus["CON"].data, (-1, *image.shape)).astype(np.uint32)
    inputs = sum(np.bitwise_count(plane) for plane in context)
    area = scene.pixel_area(wcs, image.shape)
    model = scene.paint(sources, wcs, area, psf, to_truth)
    return Mosaic(wcs, image, err, (inputs == n) & np.isfinite(image), area, model)


def blank(mosaic: Mosaic) -> np.ndarray:
    """Return where sources add less than a tenth of the noise, far enough from any."""
    return mosaic.covered & ~binary_dilation(mosaic.model > 0.1 * mosaic.err, iterations=2)


def noise(mosaic: Mosaic, size: int = 8) -> dict[str, float]:
    """Compare the scatter of block means of blank sky with ERR.

    ERR is that of an uncorrelated pixel of the input's size, so that block means scatter by
    ERR / size but for what leaks over the blocks' edges.
    """
    ny, nx = (n // size * size for n in mosaic.image.shape)

    def blocks(image: np.ndarray) -> np.ndarray:
        return image[:ny, :nx].reshape(ny // size, size, nx // size, size).mean(axis=(1, 3))

    whole = blocks(blank(mosaic).astype(float)) == 1
    means = blocks(np.where(np.isfinite(mosaic.image), mosaic.image, 0))[whole]
    means = means - blocks(mosaic.model)[whole]
    expected = np.sqrt(blocks(np.nan_to_num(mosaic.err) ** 2)[whole]) / size
    deviation = (means - np.median(means)) / expected
    return {
        "noise_over_err": float(np.diff(np.percentile(deviation, [15.865, 84.135]))[0] / 2),
        "noise_over_err_std": float(deviation.std()),
        "noise_blocks": int(whole.sum()),
    }


def flux_ratio(mosaic: Mosaic) -> dict[str, float]:
    """Return the flux in the mosaic over the true flux, where sources are brighter than ERR.

    The sky is the median of blank pixels.
    """
    level = np.median(mosaic.image[blank(mosaic)])
    near = binary_dilation(mosaic.model > mosaic.err, iterations=3) & mosaic.covered
    flux = (mosaic.image[near] - level).sum(dtype=float)
    return {"flux_ratio": float(flux / mosaic.model[near].sum(dtype=float))}


def pixels_of(sources: Table, mosaic: Mosaic, to_truth: Correction) -> np.ndarray:
    """Return 0-based pixel coordinates (2, n) of all sources, in or out of the mosaic."""
    ny, nx = mosaic.image.shape
    far = 10.0 * max(ny, nx)
    index, x, y, _ = scene.locate(
        mosaic.wcs, (ny, nx), sources["ra"].data, sources["dec"].data, to_truth, far
    )
    position = np.full((2, len(sources)), np.nan)
    position[:, index] = x, y
    return position


def aperture_total(image: np.ndarray, x: np.ndarray, y: np.ndarray, apertures: Table) -> np.ndarray:
    """Return total fluxes from the largest aperture of an APCORR table, in the image's unit.

    The local sky is the median of the annulus.
    """
    largest = apertures[np.argmax(apertures["radius"])]
    position = np.column_stack((x, y))
    circle = CircularAperture(position, largest["radius"])
    ring = CircularAnnulus(position, largest["skyin"], largest["skyout"])
    level = ApertureStats(image, ring, sum_method="center").median
    sums = aperture_photometry(image, circle)["aperture_sum"] - level * circle.area
    return np.asarray(sums * largest["apcorr"])


def isolated_stars(
    sources: Table, mosaic: Mosaic, to_truth: Correction, apertures: Table
) -> np.ndarray:
    """Return a mask of the stars that tell how exact photometry is.

    All exposures see them; noise and (in the noiseless picture) neighbours change their aperture
    flux by less than 0.5 %.
    """
    x, y = pixels_of(sources, mosaic, to_truth)
    flux = sources["flux"].data
    reach = int(np.ceil(max(apertures["skyout"]))) + 1
    ny, nx = mosaic.image.shape
    inside = (x > reach) & (x < nx - 1 - reach) & (y > reach) & (y < ny - 1 - reach)
    chosen = np.flatnonzero(inside & (sources["type"] == "star"))
    xi, yi = np.rint(x[chosen]).astype(int), np.rint(y[chosen]).astype(int)
    to_jansky = 1e6 * mosaic.area[yi, xi]
    noise = mosaic.err[yi, xi] * np.sqrt(np.pi) * max(apertures["radius"]) * to_jansky
    painted = aperture_total(mosaic.model, x[chosen], y[chosen], apertures) * to_jansky
    seen = [
        mosaic.covered[r - reach : r + reach + 1, c - reach : c + reach + 1].all()
        for r, c in zip(yi, xi, strict=True)
    ]
    good = seen & (noise < 0.005 * flux[chosen]) & (abs(painted / flux[chosen] - 1) < 0.005)
    mask = np.zeros(len(sources), bool)
    mask[chosen[good]] = True
    return mask


def magnitudes(
    catalog: Table, stars: Table, mosaic: Mosaic, to_truth: Correction
) -> dict[str, float]:
    """Compare catalogued total magnitudes of isolated stars with the truth.

    Median error, and half the width of the central 68 % of errors.
    """
    x, y = pixels_of(stars, mosaic, to_truth)
    tree = KDTree(np.column_stack((catalog["xcentroid"], catalog["ycentroid"])))
    distance, row = tree.query(np.column_stack((x, y)), distance_upper_bound=1.0)
    found = np.isfinite(distance)
    error = np.asarray(catalog["aper_total_abmag"][row[found]] - stars["abmag"][found])
    return {
        "magnitude_median": float(np.median(error)),
        "magnitude_scatter": float(np.diff(np.percentile(error, [15.865, 84.135]))[0] / 2),
        "magnitude_stars": int(found.sum()),
        "magnitude_stars_missing": int((~found).sum()),
    }


def score(products: Path, simulation: Path) -> dict[str, float]:
    """Return all figures of a folder of products."""
    exposures = [read_exposure(cal, products) for cal in sorted(simulation.glob("*_cal.fits"))]
    (truth,) = (simulation / "truth").glob("*_sources.ecsv")
    sources = Table.read(truth)
    header = exposures[0].header
    psf = exposure_psf(header)
    apertures = aperture_table(psf, header)
    figures, to_truth = alignment(exposures)
    figures |= sky(exposures)
    figures |= cosmic_rays(exposures)
    (i2d,) = products.glob(truth.name.replace("_sources.ecsv", "_i2d.fits"))
    mosaic = read_mosaic(i2d, len(exposures), sources, to_truth, smoothed(psf, 2))
    figures |= star_cores(exposures, sources[sources["type"] == "star"])
    catalog = Table.read(str(i2d).replace("_i2d.fits", "_cat.ecsv"))
    stars = sources[isolated_stars(sources, mosaic, to_truth, apertures)]
    figures |= magnitudes(catalog, stars, mosaic, to_truth)
    figures |= flux_ratio(mosaic)
    figures |= noise(mosaic)
    return figures


def main() -> None:
    """Print the figures that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("products", type=Path, help="folder with _crf, _i2d and _cat files")
    parser.add_argument("simulation", type=Path, help="folder with _cal files and truth")
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    figures = score(options.products, options.simulation)
    for name, title in FIGURES.items():
        if name in figures:
            print(f"{title:34s} {figures[name]:12.6g}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
