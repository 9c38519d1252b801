"""Total magnitudes of bright isolated stars, with an APCORR file and without any.

    PYTHONPATH=lib python benchmarks/totals.py [--wavefront SEED] [FIELD ...]

Each field has four dithers of stars on a lattice, seen by a telescope with a wavefront as in
flight (`snakewebb.simulate.wavefront`), drizzled and catalogued as the workflow does, without
errors of pointing. The file is made of the very PSF of the simulation, as those of CRDS are of
stars. Printed are the median of ``aper_total_abmag`` less the truth, the scatter, and the share of
stars that ``is_extended`` takes for galaxies.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import QTable

from snakewebb.io.names import exposure_name
from snakewebb.jobs.align import align_product
from snakewebb.jobs.crf import finish_exposure
from snakewebb.jobs.find_sources import describe_exposure
from snakewebb.jobs.i2d import write_mosaic
from snakewebb.jobs.source_catalog import make_catalog
from snakewebb.simulate import observation, scene
from snakewebb.simulate.presets import MIRI_FIELD, NIRCAM_FIELD
from snakewebb.simulate.references import APCORR_MODELS, aperture_table
from snakewebb.wcs.sphere import from_plane

SHORT = replace(NIRCAM_FIELD, detectors=("NRCA1",), npix=640)
LONG = replace(NIRCAM_FIELD, npix=640)
NIRISS = replace(NIRCAM_FIELD, detectors=("NIS",), npix=640, program=1236)
FIELDS = {
    "nircam-f115w": replace(SHORT, filter="F115W"),
    "nircam-f200w": replace(SHORT, filter="F200W"),
    "nircam-f356w": replace(LONG, filter="F356W"),
    "nircam-f444w": replace(LONG, filter="F444W"),
    "niriss-f200w": replace(NIRISS, filter="F200W"),
    "niriss-f356w": replace(NIRISS, filter="F356W"),
    "miri-f770w": replace(MIRI_FIELD, filter="F770W", npix=640),
    "miri-f1500w": replace(MIRI_FIELD, filter="F1500W", npix=640),
}
ACROSS = 6
"""Stars on a side of the lattice."""
SPACING = 90.0
"""Pixels from star to star: a sky annulus reaches to 41 pixels at most."""
FLUX = {"NIRCAM": 2e-5, "NIRISS": 2e-5, "MIRI": 3e-3}
"""Jy: some 1000 sigma."""
MATCH = 2.0
"""Pixels."""


def simulate(field, wavefront, folder):
    """Write exposures of a lattice of stars; return them, and the stars."""
    ((frame, *_), *_) = observation.believed_frames(field)
    nx, ny = frame.size
    area = scene.pixel_area(frame.sky, (ny, nx))[ny // 2, nx // 2]
    step = np.degrees(np.sqrt(area)) * 3600 * SPACING
    rng = np.random.default_rng(field.seed)
    row, column = np.indices((ACROSS, ACROSS)).reshape(2, -1) - (ACROSS - 1) / 2
    xi, eta = (step * a + rng.uniform(-0.1, 0.1, len(a)) for a in (row, column))
    stars = scene.catalog(
        *from_plane(xi, eta, field.ra, field.dec), np.full(len(xi), FLUX[field.instrument])
    )
    still = {"pointing_error": 0.0, "roll_error": 0.0, "sky_scatter": 0.0, "cosmic_ray_rate": 0.0}
    field = replace(field, sources=stars, wavefront=wavefront, bad_fraction=0.0, **still)
    observation.write(field, folder)
    return sorted(folder.glob("*_cal.fits")), stars, observation.filter_psf(field, area)


def drizzle(paths, folder, drizzling):
    """Make the mosaic of exposures."""
    facts = [folder / f"{exposure_name(path)}_facts.json" for path in paths]
    crfs = [folder / f"{exposure_name(path)}_o001_crf.fits" for path in paths]
    for path, known in zip(paths, facts, strict=True):
        describe_exposure(path, known)
    every, alignment = folder / "facts.zip", folder / "alignment.json"
    align_product(facts, alignment, every, step={"tweakreg": {"skip": True}, **drizzling})
    for path, known, crf in zip(paths, facts, crfs, strict=True):
        finish_exposure(path, crf, facts=known, alignment=alignment, step={"sip": None})
    write_mosaic(crfs, every, alignment, folder / "i2d.fits", step=drizzling)
    return folder / "i2d.fits"


def measure(mosaic, stars, flux, apcorr):
    """Return median and scatter of total magnitudes less the truth, and the share of galaxies."""
    folder = mosaic.parent
    make_catalog(mosaic, (folder / "cat.ecsv", folder / "segm.fits"), apcorr=apcorr)
    table = QTable.read(folder / "cat.ecsv")
    x, y = observation_pixels(mosaic, stars)
    distance = np.hypot(
        np.asarray(table["xcentroid"]) - x[:, None], np.asarray(table["ycentroid"]) - y[:, None]
    )
    row = np.argmin(distance, axis=1)[distance.min(axis=1) < MATCH]
    off = np.asarray(table["aper_total_abmag"])[row] - (8.9 - 2.5 * np.log10(flux))
    off = off[np.isfinite(off)]  # of a star at an edge nothing is known
    low, high = np.percentile(off, [15.865, 84.135])
    return len(off), np.median(off), (high - low) / 2, np.mean(table["is_extended"][row])


def observation_pixels(mosaic, stars):
    """Return where in a mosaic the stars are."""
    from astropy.wcs import WCS

    wcs = WCS(fits.getheader(mosaic, "SCI"))
    return wcs.all_world2pix(np.asarray(stars["ra"]), np.asarray(stars["dec"]), 0)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("fields", nargs="*", default=list(FIELDS), metavar="FIELD")
    parser.add_argument("--wavefront", type=int, default=1)
    parser.add_argument("--pixel-scale-ratio", type=float, default=1.0)
    options = parser.parse_args()
    ratio = {"grid": {"pixel_scale_ratio": options.pixel_scale_ratio}}
    print("field          stars  without a file: mag, scatter, extended   with one")
    for name in options.fields:
        field = FIELDS[name]
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            paths, stars, psf = simulate(field, options.wavefront, folder)
            mosaic = drizzle(paths, folder, ratio)
            header = fits.getheader(paths[0], 0) + fits.getheader(paths[0], "SCI")
            table = aperture_table(psf, header)
            apcorr = folder / "apcorr.fits"
            APCORR_MODELS[field.instrument](apcorr_table=table.as_array()).save(apcorr)
            flux = FLUX[field.instrument]
            n, *without = measure(mosaic, stars, flux, None)
            _, *with_one = measure(mosaic, stars, flux, apcorr)
            numbers = "   ".join(f"{m:+.4f} {s:.4f} {e:4.2f}" for m, s, e in (without, with_one))
            print(f"{name:14} {n:5}  {numbers}", flush=True)


if __name__ == "__main__":
    main()
