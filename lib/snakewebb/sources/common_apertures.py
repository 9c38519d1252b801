"""Circles of one size on mosaics of many filters, and what of a star's light is outside of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from snakewebb.references.encircled import encircled_energy
from snakewebb.references.filters import Filter
from snakewebb.references.photometry import aperture_parameters
from snakewebb.references.psf import filter_of
from snakewebb.sources.mosaic import Mosaic, MosaicFile

ANNULUS = 2.5, 3.5
"""Radii of the sky around a star in units of the largest circle of its filter's own, where no file
says otherwise."""
RADII = np.geomspace(0.2, 200.0, 300)
"""Of circles of which the share of light is looked up, pixels of the detector."""


def filter_name(instrument: dict[str, str | None]) -> str:
    """Return the name of the filter that decides a set-up, the narrower one of two; "" for none."""
    names = [str(instrument[wheel]) for wheel in ("pupil", "filter")]
    known = {n: filter_of({"name": instrument["name"], "filter": n, "pupil": n}) for n in names}
    found = {n: band.bandwidth for n, band in known.items() if band and re.match(r"F\d", n)}
    return min(found, key=found.__getitem__, default="")


@dataclass(frozen=True)
class Light:
    """How the light of a star is spread on a mosaic.

    Attributes
    ----------
    radii : (n,)
        Of circles, pixels of the mosaic.
    shares : (n,)
        Of the light within them.
    """

    radii: np.ndarray
    shares: np.ndarray

    @classmethod
    def of(cls, mosaic: Mosaic | MosaicFile, *, plain: bool = False) -> Light | None:
        """Compute it for a mosaic's filter; None where that is not known.

        Parameters
        ----------
        mosaic : Mosaic or MosaicFile
        plain : bool, optional
            Whether the mosaic's pixels, and drops, are as large as the detector's: it is such ones
            that APCORR files are for.
        """
        band: Filter | None = filter_of(mosaic.instrument)
        if band is None:
            return None
        pixel = np.degrees(np.sqrt(mosaic.grid.pixel_area)) * 3600
        detector = pixel / mosaic.grid.pixel_scale_ratio
        sides = detector, mosaic.pixfrac * detector, pixel, pixel
        radii = RADII * detector
        energy = encircled_energy(band, radii, 4 * (detector,) if plain else sides, detector)
        return cls(radii / pixel, energy)

    def within(self, radius: np.ndarray | float) -> np.ndarray:
        """Return the share of light within circles."""
        return np.interp(radius, self.radii, self.shares)

    def radius(self, share: np.ndarray) -> np.ndarray:
        """Return the radii of circles that hold some shares of the light."""
        return np.interp(share, self.shares, self.radii)

    def measured(self, radius: np.ndarray, inner: float, outer: float) -> np.ndarray:
        """Return what is left of the light within circles less that in an annulus as their sky."""
        sky = (self.within(outer) - self.within(inner)) / (outer**2 - inner**2)
        return self.within(radius) - sky * radius**2


@dataclass(frozen=True)
class Apertures:
    """Circles on one of the mosaics.

    Attributes
    ----------
    energies : tuple of int
        Their names: encircled energies, in percent, in the filter that they are made for.
    radii : (3,)
        Pixels of the mosaic.
    corrections : (3,)
        Total of a star over what is measured in them; NaN where that is not known.
    annulus : (inner, outer)
        Of the sky, pixels of the mosaic.
    source : str
        What corrections are taken from.
    """

    energies: tuple[int, ...]
    radii: np.ndarray
    corrections: np.ndarray
    annulus: tuple[float, float]
    source: str

    def parameters(self) -> dict[str, object]:
        """Return what `snakewebb.sources.photometry.photometry` takes; nothing is corrected."""
        return {
            "aperture_ee": list(self.energies),
            "aperture_radii": self.radii.tolist(),
            "aperture_corrections": [1.0] * len(self.energies),
            "bkg_aperture_inner_radius": self.annulus[0],
            "bkg_aperture_outer_radius": self.annulus[1],
        }


def own_radii(
    mosaic: Mosaic | MosaicFile, energies: Sequence[int], apcorr: str | Path | None
) -> np.ndarray | None:
    """Return the radii of circles that hold some encircled energies, pixels; None if not known."""
    if apcorr is not None:
        ratio = mosaic.grid.pixel_scale_ratio
        given, _ = aperture_parameters(apcorr, mosaic.instrument, energies, ratio)
        if all(given["aperture_radii"]):
            return np.array(given["aperture_radii"])
    light = Light.of(mosaic)
    return None if light is None else light.radius(np.array(energies) / 100)


def common_apertures(
    mosaic: Mosaic | MosaicFile,
    energies: Sequence[int],
    radii: np.ndarray,
    apcorr: str | Path | None = None,
) -> Apertures:
    """Return circles of given radii on a mosaic, with the corrections of its filter.

    An APCORR file has corrections of a few radii, for mosaics of the detector's pixels. Their
    ratio to those of a perfect telescope is interpolated, which is smooth where the light itself is
    not; beyond, it is that of the nearest. So they hold for pixels of any size, as far as these
    are the same for both telescopes.

    Parameters
    ----------
    mosaic : Mosaic | MosaicFile
    energies : sequence of int
        Names of the circles.
    radii : (n,)
        Pixels of the mosaic.
    apcorr : path, optional
        APCORR reference file.

    Raises
    ------
    InputError
        See `snakewebb.references.photometry.aperture_parameters`.
    """
    light, ratio = Light.of(mosaic), mosaic.grid.pixel_scale_ratio
    names = tuple(energies)
    if apcorr is not None:
        everything = range(1, 100)
        given, _ = aperture_parameters(apcorr, mosaic.instrument, everything, ratio)
        pairs = zip(given["aperture_radii"], given["aperture_corrections"], strict=True)
        nodes = np.array(sorted(pair for pair in pairs if None not in pair)).reshape(-1, 2)
        if len(nodes):
            annulus = given["bkg_aperture_inner_radius"], given["bkg_aperture_outer_radius"]
            plain = Light.of(mosaic, plain=True)
            if light is None or plain is None:
                corrections = np.interp(radii, *nodes.T)
            else:
                known = nodes[:, 1] * plain.measured(nodes[:, 0], *annulus)
                corrections = np.interp(radii, nodes[:, 0], known)
                corrections /= light.measured(radii, *annulus)
            return Apertures(names, radii, corrections, annulus, Path(apcorr).name)
    if light is None:
        corrections, largest = np.full(len(radii), np.nan), float(radii[-1])
        source = "no filter that is known"
    else:
        largest = max(float(radii[-1]), float(light.radius(np.array(energies) / 100)[-1]))
        source = "a perfect telescope"
    annulus = ANNULUS[0] * largest, ANNULUS[1] * largest
    if light is not None:
        corrections = 1 / light.measured(radii, *annulus)
    return Apertures(names, radii, corrections, annulus, source)
