"""Score catalogues against the truth of the fields that `catalogue_fields.py` writes.

    PYTHONPATH=lib python benchmarks/catalogue.py SIMULATION MOSAIC [--starfinder NAME]

SIMULATION is the folder with ``truth/`` and perhaps ``references/``, MOSAIC the ``_i2d`` of its
exposures, where the workflow has put it: these are looked at, too.
How each figure is defined stands in the functions below.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from astropy.table import Table
from scipy.spatial import KDTree

from snakewebb.jobs.source_catalog import views
from snakewebb.sources.catalog import CatalogOptions, psf_of, source_catalog
from snakewebb.sources.matched_filter import BROAD, SNR_THRESHOLD
from snakewebb.sources.mosaic import MosaicFile
from snakewebb.sources.significance import SCALES

SNRS = (
    (3, 4),
    (4, 4.75),
    (4.75, 5.25),
    (5.25, 6.5),
    (6.5, 7.5),
    (7.5, 9),
    (9, 11),
    (11, 20),
    (20, 1e9),
)
SEEN = 2.5
"""Sources of less signal to noise count as sky."""


def truth_in(table: Table, mosaic: MosaicFile, found: Table) -> tuple[np.ndarray, np.ndarray]:
    """Return pixel positions of true sources, with the offset that alignment left."""
    x, y = mosaic.grid.sky_to_pixel(table["ra"].data, table["dec"].data)
    tree = KDTree(np.column_stack((x, y))[np.argsort(-table["snr"].data)[:500]])
    place = np.column_stack((found["xcentroid"], found["ycentroid"]))
    near = tree.query_ball_point(place, 15.0)
    pairs = [place[i] - tree.data[j] for i, others in enumerate(near) for j in others]
    if len(pairs) > 3:
        offsets = KDTree(pairs)
        crowd = offsets.query_ball_point(offsets.data, 0.7)
        best = offsets.data[max(crowd, key=len)]
        x, y = np.array([x, y]) + np.median(best, axis=0)[:, None]
    return x, y


def match(x, y, radius, found, first):
    """Give each row to a true source.

    A row belongs to the nearest source, in units of each source's radius; a source has the row that
    is nearest to it; the other rows of a source are duplicates.

    Returns
    -------
    source : (rows,) int
        -1 for a row that belongs to none.
    row : (sources,) int
        -1 for a source without one.
    """
    place = np.column_stack((found["xcentroid"], found["ycentroid"]))
    tree = KDTree(np.column_stack((x, y)))
    source, best = np.full(len(found), -1), np.full(len(found), np.inf)
    for k, p in enumerate(place):
        near = [i for i in tree.query_ball_point(p, radius.max()) if first[i]]
        if near:
            share = np.hypot(x[near] - p[0], y[near] - p[1]) / radius[near]
            if share.min() <= 1:
                source[k], best[k] = near[int(np.argmin(share))], share.min()
    row = np.full(len(x), -1)
    for k in np.argsort(-best):
        if source[k] >= 0:
            row[source[k]] = k
    return source, row


def score(table: Table, mosaic: MosaicFile, found: Table) -> dict[str, float]:
    """Return all figures of a catalogue.

    - completeness of isolated stars that all exposures see, by optimal signal to noise: isolated
      means that others within 8 FWHM, and any other, add less than a tenth to their filtered peak
      (their spikes all around), and less than the noise;
    - spurious: share of rows that belong to no source of a signal to noise above 2.5: none within
      1.2 FWHM, or 1.2 FWHM and the half-light radius;
    - duplicates: share of rows that belong to a source which has a nearer row;
    - pairs of equal stars 1.5 FWHM apart, both with a row, by the signal to noise of each;
    - total magnitude of bright isolated stars (noise below 0.005), galaxies' kron_flux over truth.
    """
    psf = psf_of(mosaic, 2.0)
    fwhm = table.meta["fwhm"] / mosaic.grid.pixel_scale_ratio
    x, y = truth_in(table, mosaic, found)
    snr, flux = table["snr"].data, table["flux"].data
    radius = 1.2 * fwhm + table["radius"].data / (mosaic.grid.cdelt * 3600)
    # Of pairs each has its own, a third of the separation at most
    pair = table["pair"].data > 0
    radius[pair] = np.minimum(radius[pair], 0.6 * table["pair"].data[pair] * fwhm)
    source, row = match(x, y, radius, found, snr > SEEN)
    figures = {"rows": len(found), "spurious": int((source < 0).sum())}
    taken = np.zeros(len(found), bool)
    taken[row[row >= 0]] = True
    figures["duplicates"] = int(((source >= 0) & ~taken).sum())
    figures["spurious_percent"] = 100 * figures["spurious"] / max(len(found), 1)
    figures["noise_peaks"] = noise_peaks(mosaic)
    figures["duplicates_percent"] = 100 * figures["duplicates"] / max(len(found), 1)

    ny, nx = mosaic.shape
    weight = mosaic.weights(0, ny)
    full = np.nanpercentile(weight[weight > 0], 50) * 0.85
    xi, yi = (
        np.rint(np.clip(np.nan_to_num(a), 0, n - 1)).astype(int) for a, n in ((x, nx), (y, ny))
    )
    reach = int(4 * fwhm)
    inside = (x > reach) & (x < nx - reach) & (y > reach) & (y < ny - reach)
    covered = inside & (weight[yi, xi] > full)
    envelope = psf.envelope(psf.filter_fwhm)
    tree = KDTree(np.column_stack((x, y)))
    farther = np.arange(len(envelope), 300)
    envelope = np.append(envelope, envelope[-1] * (farther / (len(envelope) - 1)) ** -2.5)
    others = np.zeros(len(x))
    extent = table["radius"].data / (mosaic.grid.cdelt * 3600)
    for i in range(len(x)):
        near = np.array(
            [j for j in tree.query_ball_point((x[i], y[i]), len(envelope) - 1) if j != i], int
        )
        distance = np.hypot(x[near] - x[i], y[near] - y[i]) - 3 * extent[near]
        light = flux[near] * np.interp(distance, np.arange(len(envelope)), envelope)
        # what many add is smooth: background
        others[i] = light[distance < 8 * fwhm].sum() + light.max(initial=0.0)
    star = table["type"] == "star"
    isolated = covered & star & (others < 0.1 * flux) & (others < flux / np.maximum(snr, 1))
    for low, high in SNRS:
        chosen = isolated & (snr >= low) & (snr < high)
        if chosen.sum():
            figures[f"complete_{low:g}_{high:g}"] = float((row[chosen] >= 0).mean())
            figures[f"number_{low:g}_{high:g}"] = int(chosen.sum())
    for low, high in ((5, 10), (10, 20), (20, 40), (40, 80), (80, 1e9)):
        first = np.flatnonzero(
            covered & (table["pair"] > 1.49) & (table["pair"] < 1.51) & (snr >= low) & (snr < high)
        )
        both = [i for i in first if (np.hypot(x - x[i], y - y[i]) < 1.7 * fwhm).sum() == 2]
        if both:
            partner = [
                j
                for i in both
                for j in np.flatnonzero(np.hypot(x - x[i], y - y[i]) < 1.7 * fwhm)
                if j != i
            ]
            split = (row[both] >= 0) & (row[partner] >= 0)
            figures[f"pairs_{low:g}_{high:g}"] = float(split.mean())
            figures[f"pairs_number_{low:g}_{high:g}"] = len(both) // 2
    bright = np.flatnonzero(isolated & (snr > 250) & (others < 0.002 * flux) & (row >= 0))
    if len(bright) > 5 and "aper_total_abmag" in found.colnames:
        rows = found[row[bright]]
        clean = (
            ~np.asarray(rows["saturated"])
            if "saturated" in found.colnames
            else np.isfinite(rows["aper_total_abmag"])
        )
        error = np.asarray(rows["aper_total_abmag"])[clean] - table["abmag"][bright][clean]
        error = error[np.isfinite(error)]
        figures["magnitude_median"] = float(np.median(error))
        figures["magnitude_scatter"] = float(np.diff(np.percentile(error, [15.865, 84.135]))[0] / 2)
        figures["magnitude_number"] = len(error)
    if "kron_flux" in found.colnames:
        seen = isolated & (row >= 0)
        for low, high in ((6, 10), (10, 20), (20, 50), (50, 1e9)):
            chosen = seen & (snr >= low) & (snr < high)
            if chosen.sum() > 5:
                rows = found[row[chosen]]
                share = np.asarray(rows["kron_flux"]) / flux[chosen]
                pull = (
                    (share - np.nanmedian(share)) * flux[chosen] / np.asarray(rows["kron_flux_err"])
                )
                figures[f"stars_kron_flux_{low:g}_{high:g}"] = float(np.nanmedian(share))
                figures[f"stars_kron_pull_{low:g}_{high:g}"] = float(np.nanstd(pull))
    alone = covered & (table["type"] == "galaxy") & (others < 0.02 * flux) & (snr > 40) & (row >= 0)
    for name in ("kron_flux", "isophotal_flux", "aper_total_flux"):
        if alone.sum() > 5 and name in found.colnames:
            share = np.asarray(found[name][row[alone]]) / flux[alone]
            figures[f"galaxies_{name}"] = float(np.nanmedian(share))
            figures[f"galaxies_{name}_scatter"] = float(
                np.diff(np.nanpercentile(share, [15.865, 84.135]))[0] / 2
            )
            figures["galaxies_number"] = int(alone.sum())
            figures[f"galaxies_{name}_error"] = float(
                1.25 * np.nanstd(share) / np.sqrt(alone.sum())
            )
    return figures


def noise_peaks(mosaic: MosaicFile) -> float:
    """Return how many peaks of noise alone are above the default thresholds of `matched_filter`.

    The expected number of high maxima of a Gaussian random field with the spectrum that its filters
    leave of the noise (Adler 1981, The Geometry of Random Fields).
    """
    psf = psf_of(mosaic, 2.0)
    fy, fx = psf.frequencies
    twice = np.where((fx == 0) | (fx == 0.5 * psf.oversample), 1, 2)
    inside = (np.abs(fy) <= 0.5) & (np.abs(fx) <= 0.5)
    area = sum((mosaic.weights(k, k + 1) > 0).sum() for k in range(mosaic.shape[0]))
    number = 0.0
    for name, height in (("star", SNR_THRESHOLD), ("broad", SNR_THRESHOLD + BROAD)):
        power = inside * twice * psf.gaussian(SCALES[name] * psf.filter_fwhm) ** 2 * psf.noise
        slope = np.sum(power * (2 * np.pi * fx) ** 2) / np.sum(power)
        number += area * slope * height * np.exp(-(height**2) / 2) / (2 * np.pi) ** 1.5
    return float(number)


def main() -> None:
    """Print the figures that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("simulation", type=Path)
    parser.add_argument("mosaic", type=Path)
    parser.add_argument("--starfinder", default="matched_filter")
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    (truth,) = (options.simulation / "truth").glob("*_sources.ecsv")
    mosaic, folder = MosaicFile(options.mosaic), options.mosaic.parent
    (facts,), (alignment,) = (folder.glob(f"work/*_{n}") for n in ("facts.zip", "alignment.json"))
    mosaic.views = views(mosaic.grid, facts, alignment, *sorted(folder.glob("*_crf.fits")))
    apcorr = options.simulation / "references/apcorr.fits"
    start = time.perf_counter()
    found = source_catalog(
        mosaic,
        CatalogOptions(starfinder=options.starfinder),
        apcorr=apcorr if apcorr.exists() else None,
    )
    seconds = time.perf_counter() - start
    figures = score(Table.read(truth), mosaic, found.table) | {"seconds": seconds}
    for name, value in figures.items():
        print(f"{name:28s} {value:12.5g}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
