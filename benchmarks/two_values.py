"""What is flagged of two exposures with each other's ghosts, as subtraction of nods leaves them.

    PYTHONPATH=lib:tests python benchmarks/two_values.py FOLDER

Two exposures of a simulated field, 3 by 2 arcsec apart, each less the other on the detector. Ghost
pixels are deeper than 10 times their error, good ones are not deeper than once.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from astropy.io import fits

from chain import image3
from snakewebb.io.dq import OUTLIER
from snakewebb.mosaicking import median
from snakewebb.simulate.observation import write
from snakewebb.simulate.presets import preset

FIELD = replace(
    preset("nircam-f356w", npix=256),
    dithers=((0.0, 0.0), (3.0, 2.0)),
    pointing_error=0.0,
    cosmic_ray_rate=0.0,
    stars=40,
    galaxies=0,
)
DEEP = 10


def ghosted(folder: Path) -> tuple[list[Path], list[np.ndarray]]:
    """Write the exposures; return them and how deep ghosts are, in errors."""
    paths = sorted(write(FIELD, folder).parent.glob("*_cal.fits"))
    images = [fits.getdata(path, "SCI") for path in paths]
    depth = []
    for path, other in zip(paths, reversed(images), strict=True):
        with fits.open(path, mode="update") as hdus:
            light = np.nan_to_num(other - np.nanmedian(other))
            hdus["SCI"].data -= light
            hdus["ERR"].data *= np.sqrt(2)  # the noise of both
            depth.append(light / hdus["ERR"].data)
    return paths, depth


def mean_of_two(low: np.ndarray, high: np.ndarray, start: int, out: np.ndarray) -> None:
    """Take the mean of two values, as jwst does; see `snakewebb.kernels.median.choose_of_two`."""
    rows = slice(start, start + len(out))
    out[:] = (low[rows] + high[rows]) / 2


def score(folder: Path, paths: list[Path], depth: list[np.ndarray]) -> str:
    """Flag outliers and say how many."""
    image3(folder, paths)
    flags = [fits.getdata(path, "DQ") & OUTLIER != 0 for path in sorted(folder.glob("*_crf.fits"))]
    flagged, depths = np.concatenate(flags), np.concatenate(depth)
    ghost = depths > DEEP
    found, lost = (np.count_nonzero(flagged & kind) for kind in (ghost, depths < 1))
    return f"{found} of {ghost.sum()} ghost pixels flagged, {lost} good ones lost"


if __name__ == "__main__":
    root = Path(sys.argv[1])
    exposures = ghosted(root)
    print("the one that its surroundings support:", score(root / "ours", *exposures))
    median.choose_of_two = mean_of_two
    print("their mean, as in jwst:", score(root / "mean", *exposures))
