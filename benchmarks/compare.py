"""Compare two folders of products, ours and jwst's, of the same association.

    PYTHONPATH=lib python benchmarks/compare.py OURS THEIRS [--json FILE]

How each figure is defined stands in the functions below. Planes and catalogues agree only as far as
alignment and sky do: README.md tells how to make both pipelines start from the same.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from footprints import exposures_seeing
from scipy.ndimage import binary_dilation, binary_erosion, binary_fill_holes
from scipy.spatial import KDTree

from snakewebb.io.dq import DO_NOT_USE, OUTLIER
from snakewebb.wcs.gwcs_library import read_wcs

EDGE = 3
PLANES = ("ERR", "WHT", "VAR_POISSON", "VAR_RNOISE", "VAR_FLAT")
FLUXES = ("aper30_flux", "aper50_flux", "aper70_flux", "aper_total_flux", "isophotal_flux")


def exposures(ours: Path, theirs: Path) -> dict[str, float]:
    """Compare the ``_crf`` files.

    Flags: those by both over those by either, everywhere and where at least three exposures see
    the sky. (Where only two do, jwst compares with their mean, we with the smaller.) Other bad
    pixels, sky levels but for a constant, and whether SCI is the same.
    """
    flags, usable, transforms, levels = [], [], [], []
    bad, difference = 0, 0.0
    for path in sorted(ours.glob("*_crf.fits")):
        with fits.open(path) as a, fits.open(theirs / path.name) as b:
            dq = [hdus["DQ"].data for hdus in (a, b)]
            levels.append([hdus[0].header.get("BKGLEVEL") or 0.0 for hdus in (a, b)])
            difference = max(difference, np.nanmax(abs(a["SCI"].data - b["SCI"].data)))
        flags.append(np.stack([(plane & OUTLIER) != 0 for plane in dq]))
        others = [
            (plane & DO_NOT_USE != 0) & ~flag for plane, flag in zip(dq, flags[-1], strict=True)
        ]
        usable.append(~others[1])
        bad += (others[0] & ~flags[-1][1] != others[1] & ~flags[-1][0]).sum()
        transforms.append(read_wcs(path))
    figures = {}
    counts = exposures_seeing(transforms, usable)
    for fewest, suffix in ((1, ""), (3, "_by_three")):
        mine, other = np.concatenate(
            [flag[:, count >= fewest] for flag, count in zip(flags, counts, strict=True)], axis=1
        )
        figures["flags_ours" + suffix] = int(mine.sum())
        figures["flags_theirs" + suffix] = int(other.sum())
        figures["flags_common_percent" + suffix] = float(
            100 * (mine & other).sum() / (mine | other).sum()
        )
    levels = np.array(levels)
    return figures | {
        "other_bad_pixels_differ": int(bad),
        "sky_difference_rms": float((levels[:, 0] - levels[:, 1]).std()),
        "crf_sci_difference_max": float(difference),
    }


def mosaics(ours: Path, theirs: Path) -> dict[str, float]:
    """Compare two ``_i2d`` plane by plane.

    Shares are those of the pixels where both have data: with SCI within 1 % of ERR, with another
    plane within 0.1 % of its value, with equal CON. Names with ``inner``, and CON, are of pixels
    farther than 3 pixels from the outline of any exposure.
    """
    with fits.open(ours) as a, fits.open(theirs) as b:
        figures = {
            "reference_pixel_difference": reference_difference(a["SCI"].header, b["SCI"].header)
        }
        if a["SCI"].data.shape != b["SCI"].data.shape:
            return {
                **figures,
                "shape_ours": a["SCI"].data.shape,
                "shape_theirs": b["SCI"].data.shape,
            }
        sci, err = a["SCI"].data - b["SCI"].data, b["ERR"].data
        one, two = (np.isfinite(hdus["SCI"].data) for hdus in (a, b))
        figures["data_only_ours"] = int((one & ~two).sum())
        figures["data_only_theirs"] = int((two & ~one).sum())
        contexts = [np.reshape(h["CON"].data, (-1, *err.shape)).astype(np.uint32) for h in (a, b)]
        inner = away_from_edges(contexts[1])
        for where, suffix in ((one & two, ""), (one & two & inner, "_inner")):
            deviation = abs(sci / err)[where]
            figures["sci_within_percent" + suffix] = float(100 * (deviation <= 0.01).mean())
            figures["sci_over_err_99.9" + suffix] = float(np.percentile(deviation, 99.9))
            figures["sci_over_err_max" + suffix] = float(deviation.max())
        figures["sci_median_difference"] = float(np.median(sci[one & two]))
        for name in PLANES:
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio = (a[name].data / b[name].data)[one & two & inner]
            ratio = ratio[np.isfinite(ratio)]
            name = name.lower()
            figures[f"{name}_within_percent_inner"] = float(100 * (abs(ratio - 1) < 1e-3).mean())
            figures[f"{name}_median_ratio_inner"] = float(np.median(ratio))
        different = np.any(contexts[0] != contexts[1], axis=0)
        figures["con_equal_percent_inner"] = float(100 * (~different[inner]).mean())
        figures["con_differs_inner"] = int((different & inner).sum())
        figures["con_differs_at_edges"] = int((different & ~inner).sum())
    return figures


def away_from_edges(context: np.ndarray) -> np.ndarray:
    """Return which pixels are farther than 3 pixels from the outline of any exposure."""
    inner = np.ones(context.shape[1:], bool)
    for plane in context:
        for bit in range(32):
            covered = binary_fill_holes((plane >> np.uint32(bit)) & 1)
            if covered.any():
                grown = binary_dilation(covered, iterations=EDGE)
                inner &= ~grown | binary_erosion(covered, iterations=EDGE)
    return inner


def reference_difference(a: fits.Header, b: fits.Header) -> float:
    """Return how far apart (pixels of a) two mosaics' grids are, at the corners of b."""
    one, two = WCS(a, fix=False), WCS(b, fix=False)
    nx, ny = b["NAXIS1"], b["NAXIS2"]
    x, y = np.array([0, nx, 0, nx, nx / 2]), np.array([0, 0, ny, ny, ny / 2])
    u, v = one.all_world2pix(*two.all_pix2world(x, y, 0), 0)
    return float(np.hypot(u - x, v - y).max())


def catalogs(ours: Path, theirs: Path) -> dict[str, float]:
    """Compare two catalogues.

    Common are sources that are each other's nearest within half a pixel, in percent of the longer
    list; of these, the share whose fluxes are within 1 %, and the median ratio.
    """
    a, b = (Table.read(path) for path in (ours, theirs))
    here, there = (np.column_stack((t["xcentroid"], t["ycentroid"])) for t in (a, b))
    distance, j = KDTree(there).query(here)
    _, i = KDTree(here).query(there)
    mutual = (i[j] == np.arange(len(a))) & (distance < 0.5)
    a, b = a[mutual], b[j[mutual]]
    figures = {
        "sources_ours": len(here),
        "sources_theirs": len(there),
        "sources_common_percent": 100 * len(a) / max(len(here), len(there)),
        "position_difference_median": float(np.median(distance[mutual])),
    }
    for name in FLUXES:
        ratio = np.ma.filled(a[name].value / b[name].value, np.nan)
        ratio = ratio[np.isfinite(ratio)]
        figures[f"{name}_within_percent"] = float(100 * (abs(ratio - 1) < 0.01).mean())
        figures[f"{name}_median_ratio"] = float(np.median(ratio))
    figures["is_extended_equal_percent"] = float(
        100 * (a["is_extended"] == b["is_extended"]).mean()
    )
    return figures


def main() -> None:
    """Print the figures that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("ours", type=Path)
    parser.add_argument("theirs", type=Path)
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    figures = exposures(options.ours, options.theirs)
    (mosaic,) = (
        path for path in options.theirs.glob("*_i2d.fits") if (options.ours / path.name).exists()
    )
    figures |= mosaics(options.ours / mosaic.name, mosaic)
    catalog = mosaic.name.replace("_i2d.fits", "_cat.ecsv")
    figures |= catalogs(options.ours / catalog, options.theirs / catalog)
    for name, value in figures.items():
        print(f"{name:34s} {value:12.6g}" if np.isscalar(value) else f"{name:34s} {value}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
