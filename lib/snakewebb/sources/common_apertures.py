"""Circles of one size on mosaics of many filters, and what of a star's light is outside of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from snakewebb.references.enclosed_energy import setup_corrections
from snakewebb.references.photometry import aperture_parameters
from snakewebb.sources.mosaic import Mosaic, MosaicFile

RING = 2.5, 3.5
"""Radii of the sky around a star in units of the largest circle, where no other are known, or these
begin within that circle."""


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

    There are corrections of a few radii. Their ratio to those of the model of the PSF is
    interpolated, which is smooth where the light itself is not; beyond, it is that of the nearest.
    Where the circles reach into the ring of the filter, another one counts, by the model.

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
    ratio, pixfrac = mosaic.grid.pixel_scale_ratio, mosaic.pixfrac
    given, _ = aperture_parameters(apcorr, mosaic.instrument, range(1, 100), ratio, pixfrac)
    pairs = zip(given["aperture_radii"], given["aperture_corrections"], strict=True)
    nodes = np.array(sorted(pair for pair in pairs if None not in pair)).reshape(-1, 2)
    ring = RING[0] * float(radii[-1]), RING[1] * float(radii[-1])
    if not len(nodes):
        nothing = np.full(len(radii), np.nan)
        return Apertures(tuple(energies), radii, nothing, ring, given["source"])
    inner, outer = (given[f"bkg_aperture_{edge}_radius"] for edge in ("inner", "outer"))
    if inner >= radii[-1]:
        ring = inner, outer
    known, corrections = nodes.T

    def model(radii: np.ndarray, inner: float, outer: float) -> np.ndarray | None:
        annulus, smear = (ratio * inner, ratio * outer), pixfrac**2 + 2 * ratio**2
        return setup_corrections(mosaic.instrument, ratio * radii, annulus, smear)

    of_known, of_radii = model(known, inner, outer), model(radii, *ring)
    if of_known is None or of_radii is None:
        found, ring = np.interp(radii, known, corrections), (inner, outer)
    else:
        found = np.interp(radii, known, corrections / of_known) * of_radii
    return Apertures(tuple(energies), radii, found, ring, given["source"])
