"""Point spread functions of the simulator."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from snakewebb.references.pupil import CHARGE_DIFFUSION, DIAMETER, make_pupil, star_image


@dataclass(frozen=True)
class Psf:
    """A point-spread function that includes the pixel's own response.

    Attributes
    ----------
    size : int
        Side of the stamp that holds all of the flux, pixels.
    oversample : int
        Samples a pixel, enough for the telescope's highest spatial frequency.
    image : (size·oversample, size·oversample) float64
        Without the pixel response, of sum 1, the centre at index size·oversample / 2.
    """

    size: int
    oversample: int
    image: np.ndarray

    def spectrum(self, size: int) -> np.ndarray:
        """Return the Fourier transform for stamps of ``size`` pixels, half-plane as by rfft2.

        It is real, since a clear aperture's PSF is symmetric about its centre. ``size`` is even
        and at least that of the PSF.
        """
        return _spectrum(self, size)

    def frequencies(self, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Return ky (n, 1) and kx (1, n/2+1) of `spectrum`, radians a pixel."""
        n = size * self.oversample
        ky = 2 * np.pi * np.fft.fftfreq(n, 1 / self.oversample)[:, None]
        kx = 2 * np.pi * np.fft.rfftfreq(n, 1 / self.oversample)[None, :]
        return ky, kx

    def stamp(self, size: int, dx: float, dy: float, shape: np.ndarray | float = 1.0) -> np.ndarray:
        """Return a source of flux 1, integrated over pixels.

        Parameters
        ----------
        size : int
            Side of the stamp, even, at least that of the PSF.
        dx, dy : float
            The source's offset from the centre of pixel [size / 2, size / 2].
        shape : array, optional
            The Fourier transform of the source's shape at `frequencies`; a point by default.

        Returns
        -------
        (size, size) float64
        """
        ky, kx = self.frequencies(size)
        spectrum = self.spectrum(size) * shape * np.exp(-1j * ky * dy) * np.exp(-1j * kx * dx)
        fine = np.fft.irfft2(spectrum, s=(len(ky), len(ky)))
        step = self.oversample
        return np.fft.fftshift(fine[::step, ::step]) * step**2

    def encircled_energy(self, radius: np.ndarray) -> np.ndarray:
        """Return the flux fraction within circles about a source; ``radius`` in pixels.

        This is what aperture photometry finds, so the pixel response is included.
        """
        n = len(self.image)
        fine = np.fft.fftshift(np.fft.irfft2(self.spectrum(self.size), s=(n, n)))
        offset = (np.arange(n) - n // 2) / self.oversample
        r = np.hypot(offset[:, None], offset[None, :]).ravel()
        order = np.argsort(r)
        return np.interp(radius, r[order], np.cumsum(fine.ravel()[order]))

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other


@cache
def _spectrum(psf: Psf, size: int) -> np.ndarray:
    padded = np.pad(psf.image, (size - psf.size) * psf.oversample // 2)
    optics = np.fft.rfft2(np.fft.ifftshift(padded)).real
    ky, kx = psf.frequencies(size)
    pixel = np.sinc(ky / (2 * np.pi)) * np.sinc(kx / (2 * np.pi))
    return optics * pixel * np.exp(-0.5 * CHARGE_DIFFUSION**2 * (ky**2 + kx**2))


@cache
def make_psf(wavelength: float, bandwidth: float, pixel_scale: float, size: int = 128) -> Psf:
    """Compute the PSF of a filter by Fourier transform of the segmented pupil.

    Parameters
    ----------
    wavelength, bandwidth : float
        Pivot wavelength and full width of the filter, metres.
    pixel_scale : float
        Arcsec.
    size : int
        Side of the stamp, pixels, even.

    Returns
    -------
    Psf
        Faded to nothing at the stamp's inscribed circle, and of sum 1 there.
    """
    pixel = np.radians(pixel_scale / 3600)
    oversample = max(2, int(np.ceil(2 * pixel * DIAMETER / wavelength)))
    n = size * oversample
    x, pupil = make_pupil()
    angle = (np.arange(n) - n // 2) / oversample * pixel
    image = star_image(x, pupil, angle, wavelength + bandwidth * np.linspace(-0.5, 0.5, 9))
    r = np.hypot(angle[:, None], angle[None, :]) / (angle[-1] + angle[1] - angle[0])
    image *= np.cos(np.clip((r - 0.8) / 0.2, 0, 1) * np.pi / 2) ** 2
    return Psf(size, oversample, image / image.sum())
