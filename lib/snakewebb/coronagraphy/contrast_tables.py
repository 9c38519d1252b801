"""The columns of the tables of contrast."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from astropy.table import Table

SOURCE_COLUMNS = (
    *("separation", "separation_ld", "pa", "contrast", "contrast_err", "flux", "flux_err", "snr"),
    *("significance", "likeness", "throughput", "transmission", "x", "y", "ra", "dec"),
)
BRIGHTNESSES = ("before", "raw", "contrast", "contrast_err")
"""Columns in units of the star's flux or, where that is not known, in MJy/sr."""
DESCRIPTIONS = {
    "truncate": ("", "principal components subtracted"),
    "separation": ("arcsec", "from the star"),
    "separation_ld": ("", "in units of wavelength over 6.5 m"),
    "n": ("", "resolution elements on the ring"),
    "noise": ("Jy", "scatter of point-source fluxes on the ring"),
    "before": ("", "5-sigma limit before the subtraction of the star's light"),
    "raw": ("", "5-sigma limit, losses in the subtraction ignored"),
    "throughput": ("", "fraction of a companion's flux that the subtraction leaves"),
    "throughput_err": ("", "its scatter over position angles"),
    "transmission": ("", "of the coronagraph"),
    "contrast": ("", "corrected for throughput and transmission; of the curve, the 5-sigma limit"),
    "contrast_err": ("", "noise of the ring, corrected alike"),
    "limit": ("Jy", "5-sigma limit corrected for throughput and transmission"),
    "pa": ("deg", "position angle, East of North"),
    "flux": ("Jy", "corrected for throughput and transmission"),
    "flux_err": ("Jy", "noise of the ring, corrected alike"),
    "snr": ("", "flux over noise of the ring, with the factor for few places"),
    "significance": ("", "normal sigma of the same false alarm probability at one place"),
    "likeness": ("", "correlation with the PSF; less for cosmic rays and streaks than for sources"),
    "x": ("pix", "0-based"),
    "y": ("pix", "0-based"),
    "ra": ("deg", "ICRS"),
    "dec": ("deg", "ICRS"),
}

CURVE_COLUMNS = (
    *("truncate", "separation", "separation_ld", "n", "noise", "before", "raw", "throughput"),
    *("throughput_err", "transmission", "contrast", "limit"),
)


def describe(table: Table, meta: Mapping[str, Any], relative: bool) -> None:
    """Give a table's columns units and descriptions."""
    table.meta.update(meta)
    for name, column in table.columns.items():
        unit, column.description = DESCRIPTIONS[name]
        column.unit = "MJy/sr" if name in BRIGHTNESSES and not relative else unit or None
        column.format = "d" if name == "truncate" else ".6g" if name not in "radec" else ".8f"
