"""Command line: ``python -m snakewebb.simulate PRESET FOLDER [--seed N] [--npix N] [--rate]``."""

import argparse
import logging

from snakewebb.simulate import coronagraphy, observation, stage2
from snakewebb.simulate.presets import CORONAGRAPHIC, PRESETS, preset


def main() -> None:
    """Write the files of a preset and print the association's path."""
    parser = argparse.ArgumentParser(prog="snakewebb.simulate", description=__doc__)
    parser.add_argument("preset", choices=sorted({**PRESETS, **CORONAGRAPHIC}))
    parser.add_argument("folder")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--npix", type=int, help="side of a central subarray, pixels")
    parser.add_argument(
        "--rate", action="store_true", help="write _rate, and what stage 2 needs to make _cal"
    )
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    simulator = coronagraphy if options.preset in CORONAGRAPHIC else observation
    if options.rate:
        simulator = stage2
    chosen = preset(options.preset, seed=options.seed, npix=options.npix)
    print(simulator.write(chosen, options.folder))


if __name__ == "__main__":
    main()
