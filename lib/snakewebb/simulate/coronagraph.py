"""A coronagraph's optics: from the telescope's pupil by way of mask and stop to the detector.

Lengths are metres in pupils, arcsec in masks, nanometres in wavefronts.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy import fft
from scipy.interpolate import RectBivariateSpline
from scipy.ndimage import distance_transform_edt
from scipy.special import j1

from snakewebb.references.pupil import CHARGE_DIFFUSION, DIAMETER, make_pupil, segment_centers

ARCSEC = np.radians(1 / 3600)
COLOURS = 5
"""Wavelengths that stand for a filter."""


class Mask(NamedTuple):
    """A focal-plane mask and the Lyot stop that goes with it.

    Attributes
    ----------
    kind : str
        "round" (NIRCam's sombrero), "4qpm" (four quadrants of opposite phase) or "spot" (opaque).
    radius : float
        Where a round mask passes half of the light, or the edge of a spot, arcsec.
    margin : float
        The stop keeps what is farther than this from all edges of the pupil, metres.
    """

    kind: str
    radius: float
    margin: float

    def amplitude(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the transmitted amplitude at offsets from the mask's centre, arcsec."""
        if self.kind == "4qpm":
            return np.sign(x) * np.sign(y)
        r = np.hypot(x, y)
        if self.kind == "spot":
            return (r > self.radius).astype(float)
        # 1 - (2 J1(t) / t)**2 is sqrt(1/2) at t = 2.1001
        t = 2.1001 * r / self.radius + 1e-9
        return 1 - (2 * j1(t) / t) ** 2


class _Colour(NamedTuple):
    """Fourier matrices to the detector (one for y, one for x), and the mask for Fourier space."""

    waves: list[np.ndarray]
    mask: np.ndarray


@dataclass(frozen=True)
class Coronagraph:
    """A coronagraph in front of a detector.

    Attributes
    ----------
    mask : Mask
    wavelength, bandwidth : float
        Of the filter, metres.
    shape : (ny, nx)
        Pixels of the detector.
    center : (x, y)
        Where the middle of the mask falls on the detector, 0-based pixel coordinates.
    scale : (x, y)
        Arcsec a pixel.

    Notes
    -----
    Masks: Krist et al. 2009 (Proc. SPIE 7440, 74400W) and Rouan et al. 2000 (PASP 112, 1479).
    Matrix Fourier transform: Soummer et al. 2007 (Optics Express 15, 15935).
    """

    mask: Mask
    wavelength: float
    bandwidth: float
    shape: tuple[int, int]
    center: tuple[float, float]
    scale: tuple[float, float]
    _colours: dict[float, _Colour] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @cached_property
    def pupil(self) -> tuple[np.ndarray, np.ndarray]:
        """Sample positions (n,) and transmission (n, n), finely enough for the whole detector."""
        field_of_view = max(self.shape) * max(self.scale) * ARCSEC
        n = int(1.15 * field_of_view * (DIAMETER + 0.2) / self.wavelength)
        return make_pupil(max(128, n + n % 2))

    @cached_property
    def stop(self) -> np.ndarray:
        """The Lyot stop's transmission, pupil included, (n, n)."""
        x, pupil = self.pupil
        step = x[1] - x[0]
        depth = distance_transform_edt(np.pad(pupil, 1) > 0.5)[1:-1, 1:-1] * step
        return pupil * np.clip(0.5 + (depth - self.mask.margin) / step, 0, 1)

    @cached_property
    def oversample(self) -> int:
        """Samples a pixel, enough for the telescope's highest spatial frequency."""
        return int(np.ceil(2 * max(self.scale) * ARCSEC * DIAMETER / self.wavelength))

    def image(
        self,
        position: Collection[float],
        wavefront: np.ndarray | float = 0.0,
        *,
        masked: bool = True,
    ) -> np.ndarray:
        """Return the picture of a star.

        Parameters
        ----------
        position : (x, y)
            Where it would fall, 0-based pixel coordinates.
        wavefront : (n, n) or float
            Optical path differences over the pupil, nm.
        masked : bool
            Whether the focal-plane mask is in the beam.

        Returns
        -------
        (ny, nx) float64
            Pixel values in units of the light that passes the stop when there is no mask.
        """
        step = self.oversample
        fine = np.zeros([n * step for n in self.shape])
        share = (np.arange(COLOURS) + 0.5) / COLOURS - 0.5
        for colour in self.wavelength + self.bandwidth * share:
            light = self._at_stop(position, wavefront, colour, masked)
            rows, columns = self._colour(colour).waves
            light = rows @ light.astype(np.complex64) @ columns.T
            fine += (light.real**2 + light.imag**2) / colour**2
        x, _ = self.pupil
        area = self.scale[0] * self.scale[1] * ARCSEC**2
        fine *= area * (x[1] - x[0]) ** 2 / (COLOURS * (self.stop**2).sum())
        return self._through_pixels(fine)

    def throughput(self, x: float, y: float) -> float:
        """Return the share of a source's light that passes the mask; offsets in arcsec.

        It is 1 where there is no mask, and does not count the stop.
        """
        position = [c + o / s for c, o, s in zip(self.center, (x, y), self.scale, strict=True)]
        light = self._at_stop(position, 0.0, self.wavelength, True)
        return float((np.abs(light) ** 2).sum() / (self.stop**2).sum())

    def throughput_map(self, nodes: int = 10) -> np.ndarray:
        """Return `throughput` for a source at every pixel, (ny, nx) float32.

        It is computed on one quadrant, finely near the mask's centre, and interpolated; far out
        it is taken as constant.
        """
        x, y = (
            np.abs((np.arange(n) - c) * s)
            for n, c, s in zip(self.shape[::-1], self.center, self.scale, strict=True)
        )
        x, y = np.meshgrid(x, y)
        reach = 4 * max(self.mask.radius, self.wavelength / DIAMETER / ARCSEC)
        if self.mask.kind == "4qpm":
            x, y = np.minimum(x, reach), np.minimum(y, reach)
        else:
            inward = np.minimum(1, reach / np.maximum(np.hypot(x, y), 1e-9))
            x, y = x * inward, y * inward
        grid = reach * (np.arange(nodes) / (nodes - 1)) ** 1.5
        values = [[self.throughput(u, v) for u in grid] for v in grid]
        result = RectBivariateSpline(grid, grid, values).ev(y, x)
        return np.clip(result, 0, 1).astype(np.float32)

    def _at_stop(
        self, position: Collection[float], wavefront: np.ndarray | float, colour: float, on: bool
    ) -> np.ndarray:
        """Return the field behind the stop, (n, n) complex."""
        x, pupil = self.pupil
        n = len(x)
        tilt = [
            2 * np.pi / colour * (p - c) * s * ARCSEC
            for p, c, s in zip(position, self.center, self.scale, strict=True)
        ]
        light = np.exp(1j * tilt[1] * x)[:, None] * np.exp(1j * tilt[0] * x)[None, :]
        if np.ndim(wavefront):
            light *= np.exp(2e-9j * np.pi / colour * wavefront)
        if not on:
            return light * self.stop
        light *= pupil
        mask = self._colour(colour).mask
        # the mask is sampled half a step off its centre, where no quadrant's edge is
        half = np.exp(-1j * np.pi * np.arange(n) / len(mask))
        half = half[:, None] * half[None, :]
        light = fft.ifft2(fft.fft2(light * half, mask.shape) * mask)
        return light[:n, :n] * half.conj() * self.stop

    def _colour(self, colour: float) -> _Colour:
        """Return what a wavelength needs, made once."""
        if colour in self._colours:
            return self._colours[colour]
        x, _ = self.pupil
        waves = []
        for n, c, s in zip(self.shape, self.center[::-1], self.scale[::-1], strict=True):
            angle = (np.arange(n * self.oversample) / self.oversample - c) * s * ARCSEC
            waves.append(np.exp(-2j * np.pi / colour * np.outer(angle, x)).astype(np.complex64))
        size = fft.next_fast_len((4 if self.mask.kind == "4qpm" else 2) * len(x))
        step = x[1] - x[0]
        angle = (fft.fftfreq(size, step) + 0.5 / (size * step)) * colour / ARCSEC
        mask = self.mask.amplitude(angle[None, :], angle[:, None])
        return self._colours.setdefault(colour, _Colour(waves, mask))

    def _through_pixels(self, fine: np.ndarray) -> np.ndarray:
        """Blur by pixels and charge diffusion, and take the values at the pixels' centres."""
        step = self.oversample
        ky = fft.fftfreq(fine.shape[0], 1 / step)[:, None]
        kx = fft.rfftfreq(fine.shape[1], 1 / step)[None, :]
        blur = np.exp(-2 * (np.pi * CHARGE_DIFFUSION) ** 2 * (kx**2 + ky**2))
        spectrum = fft.rfft2(fine) * (np.sinc(kx) * np.sinc(ky) * blur)
        return fft.irfft2(spectrum, fine.shape)[::step, ::step]


class Modes:
    """Shapes that the wavefront takes: pistons and tilts of segments, low-order aberrations.

    Attributes
    ----------
    shapes : (m, n, n) float32
        Each of rms 1 over the pupil, without piston and tilt of the whole.
    """

    def __init__(self, x: np.ndarray, pupil: np.ndarray) -> None:
        X, Y = np.meshgrid(x, x)
        centers = segment_centers()
        nearest = np.argmin([np.hypot(X - u, Y - v) for u, v in centers], axis=0)
        shapes = []
        for i, (u, v) in enumerate(centers):
            own = nearest == i
            shapes += [own * 1.0, own * (X - u), own * (Y - v)]
        u, v = X / (DIAMETER / 2), Y / (DIAMETER / 2)
        r2 = u**2 + v**2
        shapes += [r2, u**2 - v**2, u * v, u * (3 * r2 - 2), v * (3 * r2 - 2)]
        shapes += [u**3 - 3 * u * v**2, v**3 - 3 * v * u**2, 6 * r2**2 - 6 * r2]
        self._open = pupil > 0.5
        self._frame = np.stack((np.ones_like(X), X, Y))
        self.shapes = np.array([self._pure(shape) for shape in shapes], np.float32)
        # segments and low orders share the variance evenly
        self.weights = np.repeat((1.0, 54**0.5 / 8**0.5), (54, 8))

    def draw(self, rng: np.random.Generator, rms: float) -> np.ndarray:
        """Return random coefficients (m,) of a wavefront of given rms, nm."""
        coefficients = rng.standard_normal(len(self.shapes)) * self.weights
        return coefficients * rms / self.rms(self.wavefront(coefficients))

    def ripples(self, rng: np.random.Generator, rms: float) -> np.ndarray:
        """Return random polishing errors of given rms, nm; power falls as frequency**-2.5."""
        n = len(self._open)
        k = np.hypot(fft.fftfreq(n)[:, None], fft.rfftfreq(n)[None, :]) * n
        spectrum = fft.rfft2(rng.standard_normal((n, n))) * np.maximum(k, 6) ** -1.25
        shape = self._pure(fft.irfft2(spectrum, (n, n)))
        return (shape * rms).astype(np.float32)

    def wavefront(self, coefficients: np.ndarray) -> np.ndarray:
        """Return the sum of the shapes, (n, n), nm."""
        return np.tensordot(coefficients, self.shapes, axes=1)

    def rms(self, wavefront: np.ndarray) -> float:
        """Return a wavefront's rms over the pupil."""
        return float(wavefront[self._open].std())

    def _pure(self, shape: np.ndarray) -> np.ndarray:
        frame = self._frame[:, self._open]
        fit = np.linalg.lstsq(frame.T, shape[self._open], rcond=None)[0]
        shape = (shape - np.tensordot(fit, self._frame, axes=1)) * self._open
        return shape / shape[self._open].std()
