"""Errors of sums of a mosaic's pixels, whose noise drizzling has correlated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from snakewebb.errors import InputError
from snakewebb.io.fits_structure import find
from snakewebb.io.noise_correlation import NoiseCorrelation, read_noise_correlation
from snakewebb.io.planes import read_pixels
from snakewebb.kernels.covariance import quadratic_form


@dataclass(frozen=True)
class Covariance:
    """The covariance of the noise of a mosaic's pixels.

    Attributes
    ----------
    err : (ny, nx) float32
        ERR, in the unit of SCI.
    correlation : NoiseCorrelation
    """

    err: np.ndarray
    correlation: NoiseCorrelation

    def error_of_sum(self, weights: np.ndarray) -> float:
        """Return the standard error of the weighted sum of pixels, √(wᵀ C w).

        Parameters
        ----------
        weights : (ny, nx)
            0 outside the aperture; on its edge the part of the pixel that is within. Of any other
            linear measurement what a pixel counts in it, as (x - x₀) / flux for a centroid.

        Returns
        -------
        float
            In the unit of SCI; NaN if the noise of a pixel with weight is not known.
        """
        rows, columns = np.nonzero(weights)
        if not rows.size:
            return 0.0
        top, left = rows.min(), columns.min()
        box = slice(top, rows.max() + 1), slice(left, columns.max() + 1)
        kernels, step = self.correlation.kernels, self.correlation.step
        values = np.where(weights[box] != 0, weights[box] * self.err[box], 0.0)
        values = np.ascontiguousarray(values, float)
        kernels = np.ascontiguousarray(kernels, np.float32)
        return float(np.sqrt(quadratic_form(values, kernels, step, int(top), int(left))))


def read_covariance(path: str | Path) -> Covariance:
    """Read the covariance of the noise of a mosaic.

    Raises
    ------
    InputError
        The mosaic has none (``report_noise`` of the step ``resample``), or cannot be read.
    """
    unit, correlation = find(path, "ERR"), read_noise_correlation(path)
    if unit is None or correlation is None:
        raise InputError(
            f"{path}: has no ERR and NOISE_CORR: make it with report_noise and the square kernel"
        )
    return Covariance(read_pixels(path, unit), correlation)
