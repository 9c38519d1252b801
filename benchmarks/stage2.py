"""Compare the exposures of stage 2 in two folders, of one pipeline and of another or the truth.

python benchmarks/stage2.py FOLDER OTHER
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
from astropy.io import fits
from stdatamodels.jwst import datamodels

PLANES = ("SCI", "ERR", "VAR_POISSON", "VAR_RNOISE", "VAR_FLAT", "AREA")


def compare_planes(path: Path, other: Path) -> dict[str, float]:
    """Return the largest relative differences, and how many pixels differ in DQ and in NaN."""
    with fits.open(path) as first, fits.open(other) as second:
        found: dict[str, float] = {"nan": 0}
        for name in PLANES:
            a, b = (hdus[name].data.astype(float) for hdus in (first, second))
            found["nan"] += np.count_nonzero(np.isnan(a) != np.isnan(b))
            scale = np.where(b == 0, 1, np.abs(b))
            found[name] = float(np.nanmax(np.abs(a - b) / scale))
        found["DQ"] = np.count_nonzero(first["DQ"].data != second["DQ"].data)
    return found


def compare_wcs(path: Path, other: Path) -> tuple[np.ndarray, float]:
    """Return the mean difference (East, North) on the sky and the largest from it, mas."""
    with datamodels.open(path) as first, datamodels.open(other) as second:
        ny, nx = first.data.shape[-2:]
        x, y = np.meshgrid(np.linspace(0, nx - 1, 17), np.linspace(0, ny - 1, 17))
        (ra, dec), (ra0, dec0) = (
            model.meta.wcs(x, y, with_bounding_box=False) for model in (first, second)
        )
    east = ((ra - ra0 + 180) % 360 - 180) * np.cos(np.radians(dec0))
    offsets = np.stack((east, dec - dec0)) * 3.6e6
    mean = offsets.mean(axis=(1, 2))
    return mean, float(np.hypot(*(offsets - mean[:, None, None])).max())


def main() -> None:
    """Print a line for each exposure that is in both folders."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("other", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # files of other versions of asdf
    print(f"{'exposure':44}", *(f"{name:>11}" for name in PLANES), "   DQ  NaN  WCS (mas)")
    for path in sorted(options.folder.glob("*_cal*.fits")):
        other = options.other / path.name
        if other.exists():
            found = compare_planes(path, other)
            mean, rest = compare_wcs(path, other)
            print(
                f"{path.name.removesuffix('.fits'):44}",
                *(f"{found[name]:11.1e}" for name in PLANES),
                f"{found['DQ']:5} {found['nan']:4}  {mean[0]:+.3f} {mean[1]:+.3f} ± {rest:.4f}",
            )


if __name__ == "__main__":
    main()
