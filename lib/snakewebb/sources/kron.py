"""Total fluxes of sources of any shape, in ellipses that grow with them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from snakewebb.io.noise_correlation import UNCORRELATED
from snakewebb.kernels import kron as kernels
from snakewebb.references.psf import PointSpread
from snakewebb.sources.segmentation_map import Segmentation, windows
from snakewebb.sources.shapes import FWHM_TO_SIGMA
from snakewebb.sources.significance import Significance

DEFAULT = (3.5, 1.4, 0.0)
"""Size of the ellipse in first moments, its least size in standard deviations, and the least radius
of a circle of its area in pixels, if the user says nothing. With 2.5, the usual size, a tenth of
the light of galaxies is lost, whose moments end where they drown in the noise."""
REACH = 6.0
"""How far the moment is taken, in standard deviations."""
STAR = 1.5
"""Radius of the circle for sources that are no wider than stars, FWHM: where noise decides how
large an ellipse is it does as a rule where there is light in it."""
FARTHEST = 60.0
"""Semimajor axis of the largest ellipse, in FWHM of a star."""


def kron_fluxes(
    significance: Significance,
    segmentation: Segmentation,
    columns: Mapping[str, np.ndarray],
    psf: PointSpread,
    parameters: tuple[float, ...] | None = None,
) -> dict[str, np.ndarray]:
    """Measure sources in ellipses of some of their first moments of radius.

    Parameters
    ----------
    significance : Significance
        Of the image, whose background is taken off.
    segmentation : Segmentation
        Its labels: pixels of other sources are replaced by those on the other side.
    columns : mapping
        ``label``, ``xcentroid``, ``ycentroid``, ``semimajor_sigma``, ``semiminor_sigma``,
        ``orientation``; ``point``, whether a source is no wider than a star.
    psf : PointSpread
        What of a star's light is outside a circle of the ellipse's area is added.
    parameters : tuple of float, optional
        As ``DEFAULT``.

    Returns
    -------
    dict
        ``kron_flux``, ``kron_flux_err``, ``kron_radius`` (semimajor axis of the ellipse, pixels).
    """
    scale, smallest, circle = (*(parameters or DEFAULT), 0.0)[:3]
    shape, noise = significance.shape, significance.correlation or UNCORRELATED
    major = np.minimum(columns["semimajor_sigma"], FARTHEST / REACH * psf.fwhm)
    minor = np.minimum(columns["semiminor_sigma"], major)
    least = np.maximum(smallest, circle / np.sqrt(major * minor))
    # one standard deviation of a star
    point, star = columns["point"], psf.fwhm * FWHM_TO_SIGMA
    major, minor = (np.where(point, star, axis) for axis in (major, minor))
    leasts = np.where(point, STAR / FWHM_TO_SIGMA, least)
    scales = np.where(point, 0.0, scale)
    x, y = columns["xcentroid"], columns["ycentroid"]
    reach = np.ceil(np.nan_to_num(REACH * major)).astype(int) + 3
    centre = np.nan_to_num(np.column_stack([y, y, x, x])).astype(int)
    boxes = centre + reach[:, None] * np.array([-1, 1, -1, 1])
    out = np.full((len(x), 3), np.nan)
    angle = np.radians(columns["orientation"])
    ellipses = np.column_stack([columns["label"], x, y, major, minor, angle]).astype(float)
    for window in windows(boxes, shape):
        data, err, weight = significance.planes(
            window.top, window.bottom, slice(window.left, window.right)
        )
        labels = segmentation.window(window)
        here = ellipses[window.members] - [0, window.left, window.top, 0, 0, 0]
        measured = np.empty((len(here), 3))
        sizes = scales[window.members], leasts[window.members]
        place = noise.kernels, noise.step, window.top, window.left
        kernels.kron(data, err, weight, labels, here, REACH, *sizes, *place, measured)
        out[window.members] = measured
    flux, flux_err, radius = out.T
    share = psf.encircled(np.nan_to_num(radius * np.sqrt(major * minor), nan=1e3))
    return {
        "kron_flux": flux / share,
        "kron_flux_err": flux_err / share,
        "kron_radius": radius * major,
    }
