"""How many exposures see a pixel's sky."""

import numpy as np
from gwcs import WCS
from scipy.interpolate import RectBivariateSpline


def exposures_seeing(transforms: list[WCS], usable: list[np.ndarray]) -> list[np.ndarray]:
    """Return for each exposure how many exposures have a usable pixel where its pixels look.

    Parameters
    ----------
    transforms : list of WCS
    usable : list of (ny, nx) bool arrays
        Pixels that are not bad, of each exposure.

    Returns
    -------
    list of (ny, nx) int arrays
        An exposure counts itself.
    """
    counts = []
    for wcs, own in zip(transforms, usable, strict=True):
        ny, nx = own.shape
        y, x = np.arange(ny), np.arange(nx)
        y_nodes, x_nodes = np.linspace(0, ny - 1, 33), np.linspace(0, nx - 1, 33)
        sky = wcs(*np.meshgrid(x_nodes, y_nodes), with_bounding_box=False)
        count = own.astype(int)
        for other, mask in zip(transforms, usable, strict=True):
            if other is not wcs:
                columns, rows = (
                    np.rint(RectBivariateSpline(y_nodes, x_nodes, nodes)(y, x)).astype(int)
                    for nodes in other.invert(*sky, with_bounding_box=False)
                )
                inside = (columns >= 0) & (columns < nx) & (rows >= 0) & (rows < ny)
                count[inside] += mask[rows[inside], columns[inside]]
        counts.append(count)
    return counts
