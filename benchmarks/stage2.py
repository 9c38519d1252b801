"""Compare the exposures of stage 2 in two folders, of one pipeline and of another or the truth.

    python benchmarks/stage2.py FOLDER OTHER

Prints a line for each exposure, and then each keyword of PRIMARY and SCI that differs.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
from astropy.io import fits
from stdatamodels.jwst import datamodels

UNLIKE = {"DATE", "FILENAME", "HISTORY", "COMMENT", ""}
"""Keywords that differ between any two files."""
CLOSE = 1e-9
"""Relative difference of numbers that are equal: those of S_REGION have nine decimals."""
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


def compare_keywords(path: Path, other: Path) -> list[tuple[str, object, object]]:
    """Return keywords of PRIMARY and SCI that differ, and their values in either file."""
    found = []
    with fits.open(path) as first, fits.open(other) as second:
        for hdu in ("PRIMARY", "SCI"):
            ours, theirs = first[hdu].header, second[hdu].header
            for key in sorted({*ours, *theirs} - UNLIKE):
                pair = ours.get(key), theirs.get(key)
                if not alike(*pair):
                    found.append((f"{hdu} {key}", *pair))
    return found


def alike(value: object, other: object) -> bool:
    """Return whether two values of keywords, or of the words in them, are the same."""
    if isinstance(value, str) and isinstance(other, str):
        words, others = value.split(), other.split()
        return len(words) == len(others) and all(map(alike_words, words, others))
    return alike_words(value, other)


def alike_words(value: object, other: object) -> bool:
    """Return whether two values are equal, or nearly so if they are numbers."""
    if isinstance(value, bool) or isinstance(other, bool):
        return value is other
    try:
        return bool(np.isclose(float(value), float(other), rtol=CLOSE, atol=CLOSE))
    except (TypeError, ValueError):
        return value == other


def main() -> None:
    """Print a line for each exposure that is in both folders, and what their headers differ in."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("other", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # files of other versions of asdf
    keywords: dict[str, list] = {}
    print(f"{'exposure':44}", *(f"{name:>11}" for name in PLANES), "   DQ  NaN  WCS (mas)")
    for path in sorted(options.folder.glob("*_cal*.fits")):
        other = options.other / path.name
        if other.exists():
            found = compare_planes(path, other)
            mean, rest = compare_wcs(path, other)
            print(
                f"{path.name.removesuffix('.fits'):44}",
                *(f"{found[name]:11.1e}" for name in PLANES),
                f"{found['DQ']:5} {found['nan']:4}  {mean[0]:+.4f} {mean[1]:+.4f} ± {rest:.4f}",
            )
            for key, *values in compare_keywords(path, other):
                keywords.setdefault(key, []).append(values)
    for key, pairs in keywords.items():
        value, known = ("none" if value is None else value for value in pairs[0])
        print(f"{key:18} in {len(pairs)}: {value!s:.60} | {known!s:.60}")


if __name__ == "__main__":
    main()
