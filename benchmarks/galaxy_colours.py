"""Colours of galaxies in a field's circles, whose PSFs are not matched, against what they are.

    PYTHONPATH=lib python benchmarks/galaxy_colours.py [--pixel_scale ARCSEC]

By the model of the PSF, without noise: galaxies without a gradient of colour in circles that hold
30, 50 and 70 % of a star's light in the reddest filter, each filter corrected as a point. Prints by
how many magnitudes their colours are too red.
"""

import argparse

import numpy as np

from snakewebb.references.detectors import detector_of
from snakewebb.references.psf import PointSpread, filter_of, mosaic_psf

DETECTORS = {"F115W": "NRCA1", "F200W": "NRCA1", "F277W": "NRCALONG", "F444W": "NRCALONG"}
COLOURS = ("F115W", "F200W"), ("F200W", "F277W"), ("F277W", "F444W"), ("F115W", "F444W")
ENERGIES = np.array([0.3, 0.5, 0.7])
PROFILES = {1: 1.678, 4: 7.669}
"""By Sersic's index: what makes the effective radius hold half of the light."""
RADII = 0.03, 0.1, 0.2, 0.3, 0.5
"""Effective radii, arcsec."""
PARTS, CORE = 9, 8
"""Samples of a pixel along each axis, where a galaxy is steep; and pixels that it is steep in."""


def psf_of(name: str, scale: float) -> PointSpread:
    """Return the PSF of a filter of NIRCam in a mosaic."""
    keys = {"name": "NIRCAM", "filter": name, "pupil": "CLEAR", "detector": DETECTORS[name]}
    detector = detector_of("NIRCAM", filter_of(keys))
    return mosaic_psf(keys, scale, scale / detector.scale)


def galaxy(psf: PointSpread, radius: float, index: int) -> np.ndarray:
    """Return the Fourier transform of a galaxy, its effective radius in pixels."""
    n = len(psf.spectrum)
    offset = (np.arange(n) - n // 2) / psf.oversample

    def light(y: np.ndarray, x: np.ndarray) -> np.ndarray:
        distance = np.hypot(y[:, None], x)
        return np.exp(-PROFILES[index] * (distance / radius) ** (1 / index))

    image = light(offset, offset)
    inner = slice(n // 2 - CORE, n // 2 + CORE + 1)
    near, steps = offset[inner], (np.arange(PARTS) - PARTS // 2) / PARTS / psf.oversample
    image[inner, inner] = np.mean([light(near + y, near + x) for y in steps for x in steps], axis=0)
    return np.fft.rfft2(np.fft.ifftshift(image / image.sum())).real


def within(psf: PointSpread, radii: np.ndarray, transfer: np.ndarray | float = 1.0) -> np.ndarray:
    """Return the share of the light within circles, pixels, of a source of some transform."""
    image = psf.image(transfer) / psf.oversample**2
    offset = (np.arange(len(image)) - len(image) // 2) / psf.oversample
    distance = np.hypot(offset[:, None], offset).ravel()
    order = np.argsort(distance, kind="stable")
    return np.interp(radii, distance[order], np.cumsum(image.ravel()[order]))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pixel_scale", type=float, default=0.03)
    scale = parser.parse_args().pixel_scale
    psfs = {name: psf_of(name, scale) for name in DETECTORS}
    fine = np.linspace(0.2, 2.0 / scale, 2000)
    circles = np.interp(ENERGIES, within(psfs["F444W"], fine), fine)
    print("circles of " + ", ".join(f"{r * scale:.3f}″" for r in circles))
    for index in PROFILES:
        for radius in RADII:
            shares = {
                name: within(psf, circles, galaxy(psf, radius / scale, index))
                / within(psf, circles)
                for name, psf in psfs.items()
            }
            off = {pair: -2.5 * np.log10(shares[pair[0]] / shares[pair[1]]) for pair in COLOURS}
            told = [
                f"{blue}-{red}: " + " ".join(f"{value:+.3f}" for value in values)
                for (blue, red), values in off.items()
            ]
            print(f"n = {index}, {radius:.2f}″   " + "   ".join(told))


if __name__ == "__main__":
    main()
