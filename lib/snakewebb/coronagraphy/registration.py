"""How images lie to each other: least-squares fits of shifts."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy import fft

from snakewebb.coronagraphy.fourier import MARGIN, extended, inner, padded_with_zeros, phase_ramp
from snakewebb.errors import InputError

REACH = MARGIN // 2
"""Pixels in x and y within which the best whole-pixel shift is looked for."""
EDGE = 2
"""Pixels along the frame's edges that no fit looks at."""
SECTORS = 8
"""Wedges of the image between which residuals count as independent."""
PRECISION = 1e-5
"""Pixels by which the last iteration may change a shift."""
MOST_ITERATIONS = 50


@dataclass(frozen=True)
class Offset:
    """How an image lies to another one: shift, its error (x, y; pixels), brightness, residual."""

    shift: np.ndarray
    error: np.ndarray
    beta: float
    residual: float


class Template:
    """An image that others are compared with, at any shift.

    Parameters
    ----------
    image : (ny, nx) array
        Finite.
    weights : (ny, nx) array
        What a pixel's residual is multiplied by; 0 to leave it out.
    """

    def __init__(self, image: np.ndarray, weights: np.ndarray) -> None:
        weights = weights.astype(np.float64)
        weights[:EDGE] = weights[-EDGE:] = weights[:, :EDGE] = weights[:, -EDGE:] = 0.0
        rows, columns = np.nonzero(weights)
        if not rows.size:
            raise InputError("align_refs: the mask leaves no pixel: give another psfmask")
        self.window = tuple(
            slice(max(int(index.min()) - MARGIN, 0), int(index.max()) + 1 + MARGIN)
            for index in (rows, columns)
        )
        self.weights = weights[self.window]
        self.shape = self.weights.shape
        padded = extended(np.asarray(image[self.window], np.float64))
        self.padded_shape = padded.shape
        self.spectrum = fft.rfft2(padded)
        gradient_x = -2j * np.pi * fft.rfftfreq(padded.shape[1])
        gradient_y = -2j * np.pi * fft.fftfreq(padded.shape[0])[:, None]
        self.spectra = np.stack(
            (self.spectrum, self.spectrum * gradient_x, self.spectrum * gradient_y)
        )
        y, x = np.indices(self.shape)
        total = self.weights.sum()
        angle = np.arctan2(
            y - (self.weights * y).sum() / total, x - (self.weights * x).sum() / total
        )
        sector = np.floor(angle / np.pi * SECTORS).astype(int).ravel() % SECTORS
        self.by_sector = np.argsort(sector, kind="stable")
        self.bounds = np.searchsorted(sector[self.by_sector], np.arange(SECTORS + 1))
        square = fft.rfft2(padded_with_zeros(self.weights**2, padded.shape))
        centred = extended(np.asarray(image[self.window], np.float64) - np.median(padded))
        power = square * np.conj(fft.rfft2(centred**2))
        self.coarse = fft.rfft2(centred), fft.irfft2(power, padded.shape)

    def offset(self, image: np.ndarray, good: np.ndarray | None = None) -> Offset:
        """Fit ``beta · template(shifted) + constant`` to an image by weighted least squares.

        Gauss-Newton iterations from the best whole-pixel shift, with the exact derivatives. The
        errors are from the jackknife over sectors (Efron & Stein 1981, Ann. Stat. 9, 586), since
        residual speckles are not independent from pixel to pixel.

        Parameters
        ----------
        image : (ny, nx) array
            Finite.
        good : (ny, nx) bool, optional
            False to leave a pixel out.

        Raises
        ------
        InputError
            No fit is found.
        """
        image = np.asarray(image[self.window], np.float64)
        weights = self.weights if good is None else self.weights * good[self.window]
        values = (image * weights).ravel()
        shift = self._whole_pixels(image, weights)
        for _ in range(MOST_ITERATIONS):
            phase = phase_ramp(self.padded_shape, shift)
            # One by one they stay in the processor's cache.
            planes = [
                inner(fft.irfft2(spectrum * phase, self.padded_shape), self.shape) * weights
                for spectrum in self.spectra
            ]
            design = np.stack((*planes, weights)).reshape(4, -1)
            normal = design @ design.T
            beta, gx, gy, constant = np.linalg.solve(normal, design @ values)
            step = np.array([gx, gy]) / beta
            shift = shift + step
            if np.abs(shift).max() > MARGIN or not beta > 0:
                break
            if np.abs(step).max() < PRECISION:
                light = values - constant * design[3]
                residual = light - beta * design[0]
                error = np.sqrt(np.diag(self._jackknife(design, residual))[1:3]) / beta
                relative = np.sqrt((residual**2).sum() / (light**2).sum())
                return Offset(shift, error, float(beta), float(relative))
        raise InputError("align_refs: the star's light cannot be aligned: check the exposures")

    def _jackknife(self, design: np.ndarray, residual: np.ndarray) -> np.ndarray:
        """Return the covariance of fitted parameters from fits that leave out a sector each."""
        rows = np.vstack((design, residual))[:, self.by_sector]
        sectors = [rows[:, first:last] for first, last in pairwise(self.bounds)]
        sums = np.stack([sector[:-1] @ sector.T for sector in sectors])
        normal, scores = sums[..., :-1], sums[..., -1]
        changes = np.linalg.solve(normal.sum(axis=0) - normal, -scores[..., None])[..., 0]
        return (SECTORS - 1) / SECTORS * changes.T @ changes

    def _whole_pixels(self, image: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return the whole-pixel shift with the highest weighted correlation."""
        light = weights**2 * (image - np.average(image, weights=weights**2))
        spectrum, norm = self.coarse
        product = fft.irfft2(
            fft.rfft2(padded_with_zeros(light, self.padded_shape)) * np.conj(spectrum),
            self.padded_shape,
        )
        near = np.arange(-REACH, REACH + 1)
        box = np.ix_(near, near)
        if not norm[box].max() > 0:
            raise InputError("align_refs: there is no light to align: check the exposures")
        height = product[box] / np.sqrt(np.maximum(norm[box], norm[box].max() * 1e-9))
        row, column = np.unravel_index(np.argmax(height), height.shape)
        return np.array([near[column], near[row]], float)
