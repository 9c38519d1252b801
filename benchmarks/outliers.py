"""Which cosmic rays are found, and which pixels of stars are lost, of a simulated observation.

    PYTHONPATH=lib:tests python benchmarks/outliers.py PRESET FOLDER [options]

Half of the hits inflate their own errors to 1 to 3 of them, and 0.5 % of the pixels are noisy in
all exposures. Figures are those of accuracy.py, means over seeds; "plain" hits are those that
inflate nothing. More than four exposures are dithered at random by up to 2 arcsec.
"""

import argparse
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
from accuracy import cosmic_rays, read_exposure, star_cores
from astropy.table import Table

from chain import image3
from snakewebb.simulate.model import Observation
from snakewebb.simulate.observation import write
from snakewebb.simulate.presets import preset

SCORED = 8
"""Exposures that are scored; all are compared."""
FIGURES = (
    "recall_5_10", "recall_5_10_inflated", "recall_5_10_plain", "recall_10_30", "precision",
    "core_pixels_lost_percent", "bright_core_pixels_lost", "recall_on_cores",
)  # fmt: skip


def observation(options: argparse.Namespace, seed: int) -> Observation:
    """Return what is simulated."""
    found = preset(options.preset, seed=seed, npix=options.npix)
    dithers = found.dithers[: options.exposures]
    if options.exposures > len(dithers):
        rng = np.random.default_rng(seed)
        dithers = tuple(map(tuple, rng.uniform(-2, 2, (options.exposures, 2))))
    return replace(
        found,
        dithers=dithers,
        cosmic_ray_rate=options.rays,
        inflating_rays=0.5,
        noisy_fraction=0.005,
        stars=found.stars if options.stars is None else options.stars,
        pointing_error=options.pointing_error,
        roll_error=0.0 if options.unaligned else found.roll_error,
    )


def score(options: argparse.Namespace, seed: int) -> dict[str, float]:
    """Simulate, flag, and compare flags with the truth."""
    folder = options.folder / f"{options.preset}-{seed}"
    simulation, products = folder / "sim", folder / "out"
    if not simulation.exists():
        write(observation(options, seed), simulation)
    paths = sorted(simulation.glob("*_cal.fits"))
    shutil.rmtree(products, ignore_errors=True)
    # With more objects than there are every exposure stays where it was.
    image3(products, paths, tweakreg={"minobj": 10**6} if options.unaligned else None)
    exposures = [read_exposure(path, products) for path in paths[:SCORED]]
    (truth,) = (simulation / "truth").glob("*_sources.ecsv")
    sources = Table.read(truth)
    figures = cosmic_rays(exposures) | star_cores(exposures, sources[sources["type"] == "star"])
    if not options.keep:
        shutil.rmtree(folder)
    return figures


def main() -> None:
    """Print figures, a line each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("preset")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--exposures", type=int, default=4)
    parser.add_argument("--npix", type=int, help="of a subarray, by default the whole detector")
    parser.add_argument("--stars", type=int, help="on a detector")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--rays", type=float, default=300.0, help="in a million pixels")
    parser.add_argument("--pointing-error", type=float, default=80.0, help="mas")
    parser.add_argument("--unaligned", action="store_true", help="leave that error as it is")
    parser.add_argument("--keep", action="store_true", help="leave the files")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = [score(options, seed) for seed in options.seeds]
    mean = {name: float(np.mean([each[name] for each in found])) for name in FIGURES}
    for name, value in mean.items():
        print(f"{name:30} {value:10.4f}   " + " ".join(f"{each[name]:.4f}" for each in found))
    if options.json:
        options.json.write_text(json.dumps(mean, indent=1) + "\n")


if __name__ == "__main__":
    main()
