"""Circles of one size on mosaics of many filters, and what of a star's light is outside of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from snakewebb.references.enclosed_energy import CROSS, detector_of, encircled_energy
from snakewebb.references.filters import narrowest
from snakewebb.references.photometry import NATIVE, aperture_parameters
from snakewebb.references.psf import filter_of
from snakewebb.sources.mosaic import Mosaic, MosaicFile

UNKNOWN = 2.5, 3.5
"""Radii of the sky around a star in units of the largest circle, where no other are known."""
RADII = np.geomspace(0.05, 100.0, 300)
"""Of circles of which the share of light is looked up, pixels of the detector."""


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
        band = filter_of(mosaic.instrument)
        if band is None:
            return None
        ratio = mosaic.grid.pixel_scale_ratio
        detector = np.degrees(np.sqrt(mosaic.grid.pixel_area)) * 3600 / ratio
        energy = encircled_energy(
            RADII * detector,
            band,
            detector_of(str(mosaic.instrument["name"]), band),
            cross=CROSS.get(narrowest(mosaic.instrument) or "", 0.0),
            smear=NATIVE if plain else mosaic.pixfrac**2 + 2 * ratio**2,
        )
        return cls(RADII / ratio, energy)

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
    ratio = mosaic.grid.pixel_scale_ratio
    given, _ = aperture_parameters(apcorr, mosaic.instrument, energies, ratio)
    return np.array(given["aperture_radii"]) if all(given["aperture_radii"]) else None


def common_apertures(
    mosaic: Mosaic | MosaicFile,
    energies: Sequence[int],
    radii: np.ndarray,
    apcorr: str | Path | None = None,
) -> Apertures:
    """Return circles of given radii on a mosaic, with the corrections of its filter.

    There are corrections of a few radii, for mosaics of the detector's pixels. Their ratio to those
    of the model of the PSF is interpolated, which is smooth where the light itself is not; beyond,
    it is that of the nearest. So they hold for pixels of any size.

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
    ratio = mosaic.grid.pixel_scale_ratio
    given, _ = aperture_parameters(apcorr, mosaic.instrument, range(1, 100), 1.0)
    pairs = zip(given["aperture_radii"], given["aperture_corrections"], strict=True)
    nodes = np.array(sorted(pair for pair in pairs if None not in pair)).reshape(-1, 2)
    if not len(nodes):
        inner, outer = (edge * float(radii[-1]) for edge in UNKNOWN)
        nothing = np.full(len(radii), np.nan)
        return Apertures(tuple(energies), radii, nothing, (inner, outer), given["source"])
    edges = (given[f"bkg_aperture_{edge}_radius"] / ratio for edge in ("inner", "outer"))
    annulus = inner, outer = tuple(edges)
    nodes[:, 0] /= ratio
    light, plain = Light.of(mosaic), Light.of(mosaic, plain=True)
    if light is None or plain is None:
        corrections = np.interp(radii, *nodes.T)
    else:
        known = nodes[:, 1] * plain.measured(nodes[:, 0], inner, outer)
        corrections = np.interp(radii, nodes[:, 0], known) / light.measured(radii, inner, outer)
    return Apertures(tuple(energies), radii, corrections, annulus, given["source"])
