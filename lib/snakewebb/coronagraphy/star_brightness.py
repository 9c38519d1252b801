"""How bright a star is without the coronagraph."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snakewebb.errors import InputError

AB_ZERO_POINT = 8.9
FLUXES = (1e-9, 1e7)
"""Jy; that of no star is beyond."""


@dataclass(frozen=True, kw_only=True)
class StarBrightness:
    """The star's brightness in the observation's filter: one of three, or unknown.

    Attributes
    ----------
    star_flux : float, optional
        Jy.
    star_abmag, star_vegamag : float, optional
        Magnitudes.
    """

    star_flux: float | None = None
    star_abmag: float | None = None
    star_vegamag: float | None = None

    def jansky(self, vega_offset: float | None = None) -> float | None:
        """Return the star's flux in Jy; None if nothing is given.

        Parameters
        ----------
        vega_offset : float, optional
            AB less Vega magnitude, of the ABVEGAOFFSET reference file.

        Raises
        ------
        InputError
            More than one is given, a Vega magnitude without the offset, or what no star has.
        """
        flux, abmag = self.star_flux, self.star_abmag
        if sum(value is not None for value in (abmag, self.star_vegamag, flux)) > 1:
            raise InputError("star: more than one of abmag, vegamag and jansky: give one")
        if self.star_vegamag is not None:
            if vega_offset is None:
                raise InputError(
                    "star: a Vega magnitude needs an ABVEGAOFFSET file: give reference_files."
                    "abvegaoffset, or abmag"
                )
            abmag = self.star_vegamag + vega_offset
        if abmag is not None:
            exponent = -0.4 * (abmag - AB_ZERO_POINT)
            flux = 10**exponent if abs(exponent) < 300 else np.nan
        low, high = FLUXES
        if flux is not None and not low <= flux <= high:
            given = flux if abmag is None else abmag
            raise InputError(
                f"star: {given:g} is no brightness: give {low:g} to {high:g} Jy, or AB"
            )
        return flux
