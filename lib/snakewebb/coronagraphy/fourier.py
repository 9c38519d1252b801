"""Shifts and turns by the Fourier transform, of data, variances and flags."""

from __future__ import annotations

import numpy as np
from numpy import fft
from numpy.typing import ArrayLike

from snakewebb.io.dq import DO_NOT_USE

MARGIN = 16
"""Pixels by which an image goes on, fading, before it is shifted; no shift may be greater."""


def fourier_shift(cube: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Shift images by fractions of a pixel.

    The Fourier transform is periodic and rings at steps, so the image first goes on beyond its
    edges, mirrored and fading to the level of its rim.

    Parameters
    ----------
    cube : (n, ny, nx)
        Finite.
    shifts : (n, 2)
        Pixels (x, y) to move the contents by, at most ``MARGIN``.

    Returns
    -------
    (n, ny, nx) float64
    """
    shifted = np.empty(cube.shape)
    for k, (image, shift) in enumerate(zip(cube, shifts, strict=True)):
        padded = extended(image)
        spectrum = fft.rfft2(padded) * phase_ramp(padded.shape, shift)
        shifted[k] = inner(fft.irfft2(spectrum, padded.shape), image.shape)
    return shifted


def turn(cube: np.ndarray, center: ArrayLike) -> np.ndarray:
    """Turn images (n, ny, nx) by 180 degrees about a place (x, y), 0-based pixels.

    Zero where what would come there lies outside the frame.
    """
    shape = cube.shape[1:]
    distance = 2 * np.asarray(center, float) - np.array(shape[::-1]) + 1
    whole = np.round(distance).astype(int)
    shifted = fourier_shift(cube[:, ::-1, ::-1], np.tile(distance - whole, (len(cube), 1)))
    turned = np.zeros(cube.shape)
    (columns, from_columns), (rows, from_rows) = map(_overlap, shape[::-1], whole)
    turned[:, rows, columns] = shifted[:, from_rows, from_columns]
    return turned


def _overlap(size: int, step: int) -> tuple[slice, slice]:
    """Return where an axis lands, and what of it, when it is moved by whole pixels."""
    return slice(max(step, 0), size + min(step, 0)), slice(max(-step, 0), size - max(step, 0))


def shift_variance(cube: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Return the variance of images after `fourier_shift`, for independent pixels before it.

    The shift's kernel is a product of one in x and one in y; the variance is convolved with its
    square, so it can't become negative.
    """
    shifted = np.empty(cube.shape)
    for k, (image, shift) in enumerate(zip(cube, shifts, strict=True)):
        padded = extended(image)
        kernels = [
            fft.irfft(np.exp(-2j * np.pi * fft.rfftfreq(n) * step), n) ** 2
            for n, step in zip(padded.shape[::-1], shift, strict=True)
        ]
        response = fft.fft(kernels[1])[:, None] * fft.rfft(kernels[0])
        spread = fft.irfft2(fft.rfft2(padded) * response, padded.shape)
        shifted[k] = np.maximum(inner(spread, image.shape), 0.0)
    return shifted


def shift_flags(dq: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Return DQ flags moved along with the pixels.

    A pixel gets the flags of all those it overlaps by more than 1 % in x and y, and DO_NOT_USE
    where it overlaps what lies outside the frame.
    """
    moved = np.empty_like(dq)
    for k, (image, shift) in enumerate(zip(dq, shifts, strict=True)):
        flags = np.pad(image, MARGIN + 1, constant_values=DO_NOT_USE)
        for axis, step in ((1, shift[0]), (0, shift[1])):
            whole, part = divmod(step, 1.0)
            steps = [int(whole)] if part < 0.99 else []
            steps += [int(whole) + 1] if part > 0.01 else []
            rolled = [np.roll(flags, s, axis) for s in steps]
            flags = rolled[0] | rolled[-1]
        moved[k] = flags[MARGIN + 1 : -MARGIN - 1, MARGIN + 1 : -MARGIN - 1]
    return moved


def extended(image: np.ndarray) -> np.ndarray:
    """Return an image with a fading rim, of odd sides that have fast Fourier transforms.

    Odd, since an even side's highest frequency cannot be shifted.
    """
    pads = []
    for n in image.shape:
        size = (n + 2 * MARGIN) | 1
        while not _is_fast(size):
            size += 2
        before = (size - n) // 2
        pads.append((before, size - n - before))
    level = np.median(np.concatenate((image[0], image[-1], image[1:-1, 0], image[1:-1, -1])))
    padded = np.pad(image - level, pads, mode="reflect")
    for axis, (before, after) in enumerate(pads):
        fade = np.ones(padded.shape[axis])
        fade[:before] = 0.5 - 0.5 * np.cos(np.pi * (np.arange(before) + 0.5) / before)
        fade[-after:] = 0.5 + 0.5 * np.cos(np.pi * (np.arange(after) + 0.5) / after)
        padded *= fade[:, None] if axis == 0 else fade
    return padded + level


def _is_fast(size: int) -> bool:
    """Return whether Fourier transforms of an odd length are fast: it has factors 3 and 5 only."""
    for factor in (3, 5):
        while size % factor == 0:
            size //= factor
    return size == 1


def inner(padded: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return the part of a padded image that is the image."""
    return padded[
        tuple(
            slice((size - n) // 2, (size - n) // 2 + n)
            for size, n in zip(padded.shape, shape, strict=True)
        )
    ]


def phase_ramp(shape: tuple[int, int], shift: np.ndarray) -> np.ndarray:
    """Return what a half-plane spectrum is multiplied by to shift its image by (x, y)."""
    phase_y = np.exp(-2j * np.pi * fft.fftfreq(shape[0]) * shift[1])
    phase_x = np.exp(-2j * np.pi * fft.rfftfreq(shape[1]) * shift[0])
    return phase_y[:, None] * phase_x


def padded_with_zeros(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return an image placed as `extended` does, with zeros round it."""
    padded = np.zeros(shape)
    inner(padded, image.shape)[:] = image
    return padded
