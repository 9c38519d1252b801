"""Colours of stars in the catalogue of a field, against what they are.

    PYTHONPATH=lib python benchmarks/fields.py FOLDER [--npix N] [--seed N] [--filters F115W …]
        [--exposures N] [--files] [--starfinder NAME] [--weight_type NAME]

Simulates stars of known colours through filters of NIRCam and MIRI, runs the workflow with all of
them in one field, and prints for each colour: the number of stars, the median of the difference,
and the scatter over what the catalogue says of it (half the width of the central 68 %), of stars
with errors of about the same size. The telescope has a wavefront as in flight
(`snakewebb.simulate.wavefront`). ``--files`` gives each filter its APCORR file; without,
corrections are those of the model. Besides: the largest memory of a process, and
whether the WCS of all mosaics is the same.
"""

import argparse
import json
import resource
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import yaml
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import QTable

from snakewebb.simulate import detector, observation, scene
from snakewebb.simulate.model import Observation
from snakewebb.simulate.presets import MIRI_DITHERS, NIRCAM_FIELD, SMALL_DITHERS
from snakewebb.simulate.references import aperture_table
from snakewebb.wcs.sphere import from_plane

REPO = Path(__file__).resolve().parent.parent
PIVOT = 2.8
"""Micrometres, where a star's colour does not count."""
FAINTEST, RANGE = 5e-9, 2.5
"""Jy there, and dex."""
STEP = 3.5
"""Arcsec from star to star."""
ERRORS = (0.04, 0.2), (0.015, 0.04), (0.0, 0.015)
"""Magnitudes: of stars that are compared together."""
WCS = (
    "NAXIS1 NAXIS2 CRPIX1 CRPIX2 CRVAL1 CRVAL2 CTYPE1 CTYPE2 CDELT1 CDELT2 PC1_1 PC1_2 PC2_1 PC2_2"
)


def setup_of(name: str) -> tuple[str, str, int, float]:
    """Return instrument, detector, pixels a pixel of NIRCam's long channel, flux over NIRCam's."""
    if name in detector.FILTERS["MIRI"]:
        return "MIRI", "MIRIMAGE", 1, 30.0
    short = detector.FILTERS["NIRCAM"][name].wavelength < 2.4
    return "NIRCAM", "NRCA1" if short else "NRCALONG", 2 if short else 1, 1.0


def simulate(folder: Path, filters: list[str], npix: int, exposures: int, seed: int) -> dict:
    """Write exposures, truth and reference files; return associations and products."""
    rng = np.random.default_rng([seed, 15])
    side = npix * 0.063 * 1.2
    cells = int(side / STEP)
    row, column = np.indices((cells, cells)).reshape(2, -1)
    xi, eta = ((a - (cells - 1) / 2 + rng.uniform(-0.2, 0.2, a.size)) * STEP for a in (row, column))
    field = replace(NIRCAM_FIELD, seed=seed, pointing_error=10.0, roll_error=0.5)
    ra, dec = from_plane(xi, eta, field.ra, field.dec)
    flux = FAINTEST * 10 ** rng.uniform(0, RANGE, xi.size)
    slope = rng.uniform(-1.0, 1.5, xi.size)
    made = {}
    for number, name in enumerate(filters, 1):
        instrument, camera, finer, brighter = setup_of(name)
        band = detector.FILTERS[instrument][name]
        light = brighter * flux * (band.wavelength / PIVOT) ** slope
        dithers = MIRI_DITHERS if instrument == "MIRI" else SMALL_DITHERS
        shifts = 0.31 * np.arange(-(-exposures // 4))
        one = replace(
            field,
            detectors=(camera,),
            filter=name,
            number=number,
            npix=finer * npix,
            dithers=tuple((x + s, y - s / 2) for s in shifts for x, y in dithers)[:exposures],
            sources=scene.catalog(ra, dec, light),
            wavefront=seed,
        )
        association = observation.write(one, folder / name)
        write_apcorr(one, next((folder / name).glob("*_cal.fits")), folder / name / "apcorr.fits")
        made[name] = {
            "association": str(association),
            "product": one.product,
            "truth": light.tolist(),
        }
    places = {"ra": ra.tolist(), "dec": dec.tolist()}
    (folder / "truth.json").write_text(json.dumps({"places": places, "filters": made}))
    return made


def write_apcorr(simulated: Observation, exposure: Path, path: Path) -> None:
    """Write the APCORR file of an observation's telescope."""
    header = fits.getheader(exposure, 0) + fits.getheader(exposure, "SCI")
    table = aperture_table(observation.filter_psf(simulated, header["PIXAR_SR"]), header)
    hdus = [fits.PrimaryHDU(), fits.BinTableHDU(table.as_array(), name="APCORR")]
    fits.HDUList(hdus).writeto(path)


def run(folder: Path, made: dict, options: argparse.Namespace) -> None:
    """Run the workflow."""
    products = [one["product"] for one in made.values()]
    field = {"products": products, "pixel_scale": 0.03}
    field["detection"] = [p for p in products if "nircam" in p]
    config = {
        "associations": [one["association"] for one in made.values()],
        "fields": {"field": field},
        "steps": {
            "quality": {"skip": True},
            "resample": {"weight_type": options.weight_type},
            "source_catalog": {"starfinder": options.starfinder},
        },
    }
    if options.files:
        config["products"] = {
            one["product"]: {"reference_files": {"apcorr": f"{name}/apcorr.fits"}}
            for name, one in made.items()
        }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPO / "Snakefile")]
    command += ["--configfile", "config.yaml", "--cores", "2", "--quiet", "all"]
    subprocess.run(command, cwd=folder, check=True)
    used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"largest process: {used:.0f} MB")


def compare(folder: Path, made: dict) -> None:
    """Print how colours compare."""
    places = json.loads((folder / "truth.json").read_text())["places"]
    own = folder / "results" / "fields" / "field"
    table = QTable.read(own / "field_cat.ecsv", format="ascii.ecsv")
    truth = SkyCoord(places["ra"], places["dec"], unit="deg")
    near, distance, _ = table["sky_centroid"].match_to_catalog_sky(truth)
    good = distance.arcsec < 0.15
    for flag in ("saturated", "edge", "near_bright_star", "low_coverage"):
        if flag in table.colnames:
            good &= ~np.asarray(table[flag])
    for blue, red in pairwise(made):
        fluxes = [np.array(made[name]["truth"])[near] for name in (blue, red)]
        off = np.asarray(table[f"{blue}-{red}"]) + 2.5 * np.log10(fluxes[0] / fluxes[1])
        error = np.asarray(table[f"{blue}-{red}_err"])
        for least, most in ERRORS:
            chosen = good & np.isfinite(off) & (error >= least) & (error < most)
            if chosen.sum() < 5:
                continue
            typical = np.median(error[chosen])
            bias = np.median(off[chosen])
            low, high = np.percentile((off - bias)[chosen] / error[chosen], (16, 84))
            print(
                f"{blue}-{red}, error {typical:.4f}: {chosen.sum()} stars, off by {bias:+.4f} ± "
                f"{1.25 * typical / np.sqrt(chosen.sum()):.4f} mag, scatter over error "
                f"{(high - low) / 2:.2f}"
            )
    mosaics = [
        folder / f"results/{one['product']}/{one['product']}_i2d.fits" for one in made.values()
    ]
    headers = [fits.getheader(path, "SCI") for path in mosaics]
    alike = all(len({header[key] for header in headers}) == 1 for key in WCS.split())
    print(
        f"WCS of the {len(headers)} mosaics the same: {alike}; {headers[0]['NAXIS1']} pixels wide"
    )


def main() -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--npix", type=int, default=512)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--filters", nargs="+", default=["F115W", "F200W", "F277W", "F444W"])
    parser.add_argument("--exposures", type=int, default=4)
    parser.add_argument("--files", action="store_true")
    parser.add_argument("--starfinder", default="matched_filter")
    parser.add_argument("--weight_type", default="ivm")
    options = parser.parse_args()
    folder = options.folder.resolve()
    if (folder / "truth.json").exists():
        made = json.loads((folder / "truth.json").read_text())["filters"]
    else:
        made = simulate(folder, options.filters, options.npix, options.exposures, options.seed)
    run(folder, made, options)
    compare(folder, made)


if __name__ == "__main__":
    main()
