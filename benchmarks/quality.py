"""Hold the numbers of a product's quality to the truth of a simulated observation.

    PYTHONPATH=lib python benchmarks/quality.py PRODUCT SIMULATION [--json FILE]

PRODUCT is the folder of a product of snakewebb (its ``work/`` included), SIMULATION what
``python -m snakewebb.simulate`` wrote. Truth comes from what was put in, never from the pixels that
the numbers are measured on:

- positions: where the errors of pointing that the alignment left put each star in each exposure,
  and noise as the errors of pixels make it, drawn 40 times;
- fluxes: noise alone;
- noise and depth: exposures of sky and noise alone, drizzled as the product was, and apertures all
  over that mosaic;
- PSF: the simulator's, convolved with drop and output pixel;
- sky steps: what is left of the sky levels put in after those matched; flags: counted.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from astropy.io import fits

from snakewebb.astrometry.alignment import AlignmentResult
from snakewebb.io.dq import OUTLIER
from snakewebb.io.noise_correlation import UNCORRELATED
from snakewebb.jobs.i2d import write_mosaic
from snakewebb.kernels.photometry import circle_errors
from snakewebb.quality.quality_file import read_repeats, read_rows
from snakewebb.references.photometry import aperture_parameters
from snakewebb.simulate.references import exposure_psf, smoothed
from snakewebb.sources.mosaic import MosaicFile
from snakewebb.wcs.geometry import Correction
from snakewebb.wcs.sphere import from_plane, to_plane

DRAWS = 40
MAS = 1000.0
RANGES = {5: (3.0, 7.0), 20: (16.0, 24.0), 60: (52.0, 68.0)}
BRIGHT = 50.0


def seen_through(believed_to_true: dict, correction: Correction | None, ra, dec):
    """Return where a star is seen, by pointing as it is believed and then corrected."""
    (a, b), (c, d) = believed_to_true["matrix"]
    place = believed_to_true["ra0"], believed_to_true["dec0"]
    xi, eta = np.array(to_plane(ra, dec, *place)) - np.array(believed_to_true["shift"])[:, None]
    x, y = np.linalg.solve([[a, b], [c, d]], np.array([xi, eta]))
    ra, dec = from_plane(x, y, *place)
    return correction.apply(ra, dec) if correction else (ra, dec)


def spread(values):
    """Return a robust standard deviation about 0."""
    return 1.4826 * np.median(np.abs(values))


def centred(star, values, weight):
    """Return values less the weighted mean of those of the same star, scaled for one of n."""
    total = np.bincount(star, weight)
    change = values - np.bincount(star, weight * values)[star] / total[star]
    return change / np.sqrt(1 - weight / total[star])


def true_positions(simulation, layout, repeats, names, rng):
    """Return the true numbers of positions, the mean over draws of noise."""
    star, exposure = repeats["star"], repeats["exposure"]
    error = np.abs(repeats["offset"] / repeats["pull"])
    ra, dec = repeats["ra"], repeats["dec"]
    place = float(ra.mean()), float(dec.mean())
    there = np.array(to_plane(ra, dec, *place))
    moved = np.empty((len(star), 2))
    for k, name in enumerate(names):
        truth = json.loads((simulation / "truth" / f"{name}.json").read_text())["pointing"]
        own = exposure == k
        seen = seen_through(
            truth, layout.placements[name].correction, ra[star[own]], dec[star[own]]
        )
        moved[own] = MAS * (np.array(to_plane(*seen, *place)) - there[:, star[own]]).T
    good = np.isfinite(error).all(axis=1)
    star, exposure, error, moved = star[good], exposure[good], error[good], moved[good]
    found = {}
    for _ in range(DRAWS):
        seen = moved + error * rng.standard_normal(error.shape)
        off = np.column_stack([centred(star, seen[:, k], 1 / error[:, k] ** 2) for k in (0, 1)])
        found.setdefault("position_pull", []).append(spread(off / error))
        for nominal, value in separations(star, exposure, seen, there).items():
            found.setdefault(f"separation_rms_{nominal}", []).append(value)
    off = np.column_stack([centred(star, moved[:, k], 1 / error[:, k] ** 2) for k in (0, 1)])
    medians = [np.median(off[exposure == k], axis=0) for k in range(len(names))]
    truth = {name: float(np.mean(values)) for name, values in found.items()}
    return truth | {"exposure_offset": float(np.sqrt(np.mean(np.square(medians))))}


def separations(star, exposure, seen, there):
    """Return the scatter of separations, as LSST has it: of all pairs, one after the other."""
    table = np.full((there.shape[1], exposure.max() + 1, 2), np.nan)
    table[star, exposure] = seen
    found = {}
    for nominal, (low, high) in RANGES.items():
        values, freedom = [], []
        for i in range(len(table)):
            apart = there[:, i + 1 :].T - there[:, i]
            distance = np.hypot(*apart.T)
            near = np.flatnonzero((distance > low) & (distance < high))
            along = apart[near] / distance[near, None]
            length = np.einsum("ped,pd->pe", table[near + i + 1] - table[i], along)
            count = np.isfinite(length).sum(axis=1)
            for row, n in zip(length[count > 1], count[count > 1], strict=True):
                values.append(np.nanstd(row, ddof=1))
                freedom.append(n - 1)
        if values:
            by_n = (1 - 2 / (9 * np.array(freedom))) ** 1.5
            found[nominal] = float(np.median(np.array(values) / by_n))
    return found


def true_fluxes(repeats, rng):
    """Return the true numbers of fluxes, if nothing but noise makes them differ."""
    star, snr = repeats["star"], repeats["snr"]
    known = np.isfinite(repeats["flux_pull"]) & np.isfinite(snr)
    star, snr = star[known], snr[known]
    found = {"flux_repeatability": [], "flux_pull": []}
    for _ in range(DRAWS):
        off = centred(star, rng.standard_normal(len(star)) / snr, snr**2)
        found["flux_repeatability"].append(1.0857 * spread(off[snr > BRIGHT]))
        found["flux_pull"].append(spread(off * snr))
    return {name: float(np.mean(values)) for name, values in found.items()}


def true_noise(folder, name, crfs, facts, alignment, apcorr, rng):
    """Return noise over error, and depth, in apertures on a mosaic of sky and noise alone."""
    mosaic = MosaicFile(folder / f"{name}_i2d.fits")
    with tempfile.TemporaryDirectory(dir=folder / "work") as scratch:
        blank = []
        for path in crfs:
            copy = Path(scratch, path.name)
            with fits.open(path) as hdus:
                poisson = np.nanmedian(hdus["VAR_POISSON"].data)
                variance = hdus["VAR_RNOISE"].data + poisson + np.nanmedian(hdus["VAR_FLAT"].data)
                bad = np.isnan(hdus["SCI"].data)
                noise = rng.standard_normal(variance.shape) * np.sqrt(variance)
                hdus["SCI"].data = np.where(bad, np.nan, noise).astype(np.float32)
                for header in (hdus[0].header, hdus["SCI"].header):
                    header.pop("BKGLEVEL", None)
                    header.pop("BKGSUB", None)
                hdus.writeto(copy)
            blank.append(copy)
        target = Path(scratch, f"{name}_i2d.fits")
        ratio = mosaic.grid.pixel_scale_ratio
        write_mosaic(blank, facts, alignment, target, step={"grid": {"pixel_scale_ratio": ratio}})
        empty = MosaicFile(target)
        data, _, bad = empty.rows(0, empty.shape[0])
        err = mosaic.rows(0, mosaic.shape[0])[1]
        noise = mosaic.correlation or UNCORRELATED
    apertures, _ = aperture_parameters(apcorr, mosaic.instrument, (30, 50, 70), ratio)
    radius, correction = apertures["aperture_radii"][-1], apertures["aperture_corrections"][-1]
    inner, outer = (apertures[f"bkg_aperture_{edge}_radius"] for edge in ("inner", "outer"))
    reach = int(np.ceil(outer)) + 1
    v, u = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    fine = (np.arange(9) - 4) / 9
    inside = sum(np.hypot(u + i, v + j) < radius for i in fine for j in fine) / 81
    ring = (np.hypot(u, v) >= inner) & (np.hypot(u, v) < outer)
    typical = np.nanmedian(err)
    light, places = [], []
    for y in range(reach, data.shape[0] - reach, 12):
        for x in range(reach, data.shape[1] - reach, 12):
            cut = np.s_[y - reach : y + reach + 1, x - reach : x + reach + 1]
            # where all exposures are, which half of the mosaic's errors tell
            if bad[cut].any() or not err[cut].max() < 1e9 or err[y, x] > 1.15 * typical:
                continue
            light.append((inside * (data[cut] - np.median(data[cut][ring]))).sum())
            places.append((x, y))
    # An aperture's own error; that of its sky is small.
    predicted = np.empty(len(places))
    x, y = np.array(places, float).T.copy()
    circle_errors(err, x, y, radius, noise.kernels, noise.step, 0, 0, predicted)
    predicted *= np.sqrt(1 + inside.sum() * np.pi / 2 / ring.sum())
    scatter = np.std(light)
    depth = 8.9 - 2.5 * np.log10(5 * correction * scatter)
    return {"noise_ratio": float(scatter / np.mean(predicted)), "depth": float(depth)}


def true_width(crf):
    """Return the FWHM of the mosaic's PSF, arcsec, where its profile is half its height."""
    header = fits.getheader(crf) + fits.getheader(crf, "SCI")
    psf = smoothed(exposure_psf(header), 2)
    n = len(psf.image)
    fine = np.fft.fftshift(np.fft.irfft2(psf.spectrum(psf.size), s=(n, n)))
    v, u = np.indices(fine.shape) - n // 2
    r = np.hypot(u, v).ravel()
    order = np.argsort(r)[: 40 * psf.oversample**2]
    profile = fine.ravel()[order] / fine.max()
    coefficients = np.polyfit(r[order] ** 2, np.log(np.maximum(profile, 1e-3)), 4)
    radius = np.linspace(0, r[order].max(), 4000)
    half = radius[np.argmax(np.polyval(coefficients, radius**2) < np.log(0.5))]
    scale = round(float(np.sqrt(header["PIXAR_A2"])), 4)
    return 2 * half / psf.oversample * scale


def score(folder, simulation, apcorr=None):
    """Return measured number, its standard error and truth by name."""
    (table,) = folder.glob("*_quality.ecsv")
    name = table.name.removesuffix("_quality.ecsv")
    measured = {row["metric"]: (row["value"], row["error"]) for row in read_rows(table)}
    crfs = sorted(folder.glob("*_crf.fits"))
    alignment, facts = (
        folder / "work" / f"{name}_{end}" for end in ("alignment.json", "facts.zip")
    )
    repeats = read_repeats(folder / "work" / f"{name}_repeats.npz")
    names = [str(row["exposure"]) for row in read_rows(folder / f"{name}_quality_exposures.ecsv")]
    layout = AlignmentResult.read(alignment).layout
    rng = np.random.default_rng(1)
    truth = true_positions(simulation, layout, repeats, names, rng)
    truth |= true_fluxes(repeats, rng)
    truth |= true_noise(folder, name, crfs, facts, alignment, apcorr, rng)
    truth["psf_fwhm"] = true_width(crfs[0])
    truth["psf_ellipticity"] = 0.0
    left = []
    for path, exposure in zip(crfs, names, strict=True):
        level = fits.getheader(path, "SCI").get("BKGLEVEL", fits.getheader(path).get("BKGLEVEL", 0))
        put_in = json.loads((simulation / "truth" / f"{exposure}.json").read_text())["sky"]
        left.append(put_in - (level or 0))
    left = np.array(left) - np.mean(left)
    truth["sky_step"] = float(np.sqrt(np.mean(left**2) * len(left) / (len(left) - 1)))
    flagged = [np.mean(fits.getdata(p, "DQ").astype(np.uint32) & OUTLIER != 0) for p in crfs]
    truth["flagged"] = float(max(flagged))
    return {key: (*map(float, measured[key]), truth[key]) for key in measured if key in truth}


def main():
    """Print measured number, its error, truth, ratio, and difference over the error."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("product", type=Path)
    parser.add_argument("simulation", type=Path)
    parser.add_argument("--apcorr", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = score(options.product, options.simulation, options.apcorr)
    for name, (value, error, truth) in found.items():
        ratio = value / truth if truth else np.nan
        off = (value - truth) / error
        print(f"{name:20} {value:12.5g} {error:9.2g} {truth:12.5g} {ratio:8.3f} {off:7.2f}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
