"""How much of a star's light is within a circle, and the aperture corrections that follow from it.

    python -m snakewebb.references.enclosed_energy > lib/snakewebb/references/apcorr.csv

They are for who has no APCORR file of CRDS. Everything is computed in the Fourier domain, where no
light is lost at the edge of an image: pupil, wavefront, detector, drizzle, aperture.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TextIO

import numpy as np
from scipy.special import j1

from snakewebb.references.detectors import CROSS_LENGTH, Detector, cross_of, detector_of
from snakewebb.references.filters import FILTERS, Filter, narrowest, passband
from snakewebb.references.psf import FGS
from snakewebb.references.pupil import autocorrelation, wavefront_transfer

CROSS_ERROR = 0.05
"""Of total fluxes where the cross has a hundredth or more of the light: it varies over the
detector."""
ANNULUS = (0.865, 0.908)
"""Encircled energies at the edges of the annulus for the sky: those of jwst_nircam_apcorr_0005
(F444W: 8 to 13 pixels). That of MIRI's files (0.80 and 0.85) has so much of the star's light that
its median, which the catalogue takes, differs from its mean by up to 1.5 % of the flux."""

NATIVE = 3.0
"""Smear (`encircled_energy`) of mosaics of the detector's pixels, with drops as large."""
COLOURS = 11
ANGLES = np.radians(np.arange(1.5, 45, 3))
ENERGIES = np.arange(5, 85, 5)
"""Percent."""
LARGEST = 8.0
"""Radius to which encircled energies are tabulated, arcsec."""


@cache
def _pupil_transfer() -> tuple[np.ndarray, np.ndarray]:
    """Return baselines (m) and the optical transfer function of the pupil, mean over angles."""
    step, transfer = autocorrelation()
    offset = np.arange(len(transfer)) - len(transfer) // 2
    ring = np.rint(np.hypot(offset[:, None], offset)).astype(int).ravel()
    mean = np.bincount(ring, transfer.ravel()) / np.bincount(ring)
    reach = int(np.argmax(mean < 1e-6 * mean[0])) + 1
    return step * np.arange(reach), mean[:reach] / mean[0]


def encircled_energy(
    radius: np.ndarray, band: Filter, detector: Detector, *, cross: float = 0.0, smear: float = 0.0
) -> np.ndarray:
    """Return the fraction of a star's light that pixels in circles about it hold.

    Parameters
    ----------
    radius : (n,) array
        Arcsec.
    band : Filter
    detector : Detector
    cross : float, optional
        See `snakewebb.references.detectors.CROSS`.
    smear : float, optional
        What drizzle and the mosaic's pixels add to the detector's pixel, in squares of its side:
        ``pixfrac**2 + 2 * pixel_scale_ratio**2``, the pixel twice because an aperture takes parts
        of pixels as if they were evenly bright.

    Returns
    -------
    (n,) array
    """
    baseline, pupil = _pupil_transfer()
    found = np.zeros(len(radius))
    for wavelength in band.wavelength + band.bandwidth * np.linspace(-0.45, 0.45, COLOURS):
        angular = np.radians(1 / 3600) * baseline / wavelength  # cycles an arcsec
        frequency = np.linspace(0, angular[-1], 4 * len(angular))
        transfer = np.interp(frequency, angular, pupil * wavefront_transfer(baseline, wavelength))
        transfer *= _detector_transfer(frequency, detector, cross, smear)
        circle = np.array([r * j1(2 * np.pi * r * frequency) for r in radius])
        found += 2 * np.pi * np.trapezoid(transfer * circle, frequency, axis=1)
    return found / COLOURS


def _detector_transfer(frequency, detector, cross, smear):
    """Return the transfer function of detector and drizzle, mean over angles."""
    pixel = np.mean(
        [
            np.sinc(detector.scale * np.cos(a) * frequency)
            * np.sinc(detector.scale * np.sin(a) * frequency)
            for a in ANGLES
        ],
        axis=0,
    )
    # a square of side s has the variance s^2 / 12 along each axis
    sigma2 = detector.blur**2 + smear * detector.scale**2 / 12
    # the mean over angles of that of an exponential along one axis
    arms = 1 / np.hypot(1, 2 * np.pi * CROSS_LENGTH * frequency)
    return pixel * np.exp(-2 * np.pi**2 * sigma2 * frequency**2) * (1 - cross + cross * arms)


COLUMNS = "instrument", "filter", "eefraction", "radius", "apcorr", "skyin", "skyout", "error"


def corrections(
    radii: np.ndarray,
    annulus: tuple[float, float],
    band: Filter,
    detector: Detector,
    *,
    cross: float = 0.0,
    smear: float = NATIVE,
) -> np.ndarray:
    """Return the total flux of a star over that in circles, less the mean in an annulus.

    Parameters
    ----------
    radii : (n,) array
        Detector pixels.
    annulus : (inner, outer)
        Of the sky, detector pixels.
    band, detector, cross, smear
        See `encircled_energy`.

    Returns
    -------
    (n,) array
    """
    edges = np.array(annulus)
    every = np.concatenate([radii, edges]) * detector.scale
    energy = encircled_energy(every, band, detector, cross=cross, smear=smear)
    sky = np.diff(energy[-2:])[0] / np.diff(edges**2)[0]
    return 1 / (energy[:-2] - sky * np.asarray(radii) ** 2)


def setup_corrections(
    instrument: Mapping[str, str | None],
    radii: Sequence[float] | np.ndarray,
    annulus: tuple[float, float],
    smear: float,
) -> np.ndarray | None:
    """Return `corrections` for an instrument's set-up; None if its PSF is not known.

    Parameters
    ----------
    instrument : mapping
        See `snakewebb.references.photometry.aperture_parameters`.
    radii, annulus, smear
        See `corrections`.
    """
    name, wheel = str(instrument["name"]), narrowest(instrument)
    band = FGS if name == "FGS" else passband(name, wheel or "")
    if band is None:
        return None
    cross = cross_of(name, wheel)
    detector = detector_of(name, band)
    return corrections(np.array(radii), annulus, band, detector, cross=cross, smear=smear)


def aperture_rows(instrument: str, name: str, band: Filter) -> list[tuple[str, ...]]:
    """Return the rows of a filter, as an APCORR file has them.

    Radii are in detector pixels, corrections those of fluxes less the mean in the annulus.
    """
    detector = detector_of(instrument, band)
    cross = cross_of(instrument, name)
    fine = np.geomspace(0.003, LARGEST, 400)
    native = encircled_energy(fine, band, detector, cross=cross, smear=NATIVE)
    radii = np.interp(ENERGIES / 100, native, fine) / detector.scale
    inner, outer = np.interp(ANNULUS, native, fine) / detector.scale
    found = corrections(radii, (inner, outer), band, detector, cross=cross)
    error = CROSS_ERROR if cross >= 0.01 else detector.error
    return [
        (
            *(instrument, name, f"{energy / 100:.2f}", f"{radius:.4f}"),
            *(f"{correction:.4f}", f"{inner:.3f}", f"{outer:.3f}", f"{error:g}"),
        )
        for energy, radius, correction in zip(ENERGIES, radii, found, strict=True)
    ]


def write_table(file: TextIO) -> None:
    """Write the table for all instruments and filters as CSV."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for instrument, filters in (FILTERS | {"FGS": {"": FGS}}).items():
        for name, band in filters.items():
            if not name.endswith("C"):  # of coronagraphs
                writer.writerows(aperture_rows(instrument, name, band))


if __name__ == "__main__":
    write_table(sys.stdout)
