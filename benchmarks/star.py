"""Measure the search for the star behind a coronagraph on light whose star is known.

    PYTHONPATH=lib:tests python benchmarks/star.py [--first 500] [--seeds 50] [--faults FOLDER]

Optics are those of tests/optics.py, a telescope of its own for each seed, and the project's
simulator; FOLDER holds images whose header has GUESS_X, GUESS_Y, STAR_X, STAR_Y.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from astropy.io import fits

import optics
from snakewebb.coronagraphy.repair import repair_pixels
from snakewebb.coronagraphy.star_search import Sight, find_star
from snakewebb.simulate import coronagraphy
from snakewebb.simulate.presets import preset

WRONG = 0.3
"""Pixels beyond which a star that is found is wrong."""
OFFSETS = (0.0, 0.5), (1.0, 2.0), (4.0, 6.0)

Case = tuple[Sight, np.ndarray]


def own(seeds: range, offset: tuple[float, float]) -> Iterator[Case]:
    """Yield sights of other telescopes, and where their stars are."""
    for seed in seeds:
        (sight,) = optics.observe(seed, offset)
        yield Sight(sight.image, tuple(sight.mask)), sight.star


def simulated(seeds: range) -> Iterator[Case]:
    """Yield the first exposure of observations by the project's simulator."""
    for seed in seeds:
        observation = replace(preset("nircam-coron", npix=128), integrations=1, seed=seed)
        telescope = coronagraphy.make_telescope(observation)
        exposure = next(coronagraphy.draw_exposures(observation, telescope.modes))
        model, _ = coronagraphy.simulate(observation, telescope, exposure)
        data, _, bad = repair_pixels(model.data, model.dq)
        x, y = (exposure.frame.wcsinfo[f"crpix{axis}"] - 1 for axis in (1, 2))
        yield Sight(data[0], (x, y), ~bad[0]), exposure.star[0]


def faults(folder: Path) -> Iterator[Case]:
    """Yield images of a folder."""
    for path in sorted(folder.glob("coron_star_*.fits")):
        header = fits.getheader(path)
        data, _, bad = repair_pixels(fits.getdata(path)[None].astype(float), None)
        place, star = ([header[f"{what}_{axis}"] for axis in "XY"] for what in ("GUESS", "STAR"))
        yield Sight(data[0], tuple(place), ~bad[0]), np.array(star)


def measure(name: str, cases: Iterator[Case]) -> None:
    """Print a row of the table."""
    off, errors, number, seconds = [], [], 0, 0.0
    for sight, place in cases:
        number += 1
        start = time.process_time()
        star = find_star(*sight)
        seconds += time.process_time() - start
        if not star.reason:
            off.append(star.center - place)
            errors.append(star.error)
    row = [name, f"{len(off)}/{number}"]
    if off:
        distance = np.hypot(*np.transpose(off))
        pull = 1.4826 * np.median(np.abs(np.divide(off, errors)))
        row += [f"{np.median(distance):.3f}", f"{distance.max():.3f}", f"{pull:.2f}"]
        row.append(str(np.count_nonzero(distance > WRONG)))
    else:
        row += ["", "", "", "0"]
    print("|", " | ".join([*row, f"{seconds / max(number, 1):.2f}"]), "|", flush=True)


def main() -> None:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--first", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--faults", type=Path)
    options = parser.parse_args()
    seeds = range(options.first, options.first + options.seeds)
    print("| light | found | median, px | largest, px | pull | wrong | CPU-s an image |")
    print("|---|---|---|---|---|---|---|")
    for low, high in OFFSETS:
        measure(f"other optics, star {low:g}-{high:g} px off", own(seeds, (low, high)))
    if options.faults:
        measure("images once refused", faults(options.faults))
    measure("the project's simulator", simulated(seeds))


if __name__ == "__main__":
    main()
