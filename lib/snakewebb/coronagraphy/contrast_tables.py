"""The tables of contrast: the curve of limits, and the point sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from astropy.table import Table

from snakewebb.coronagraphy.detection import Detections
from snakewebb.coronagraphy.noise import small_sample_penalty
from snakewebb.coronagraphy.noise_curve import NoiseCurve
from snakewebb.coronagraphy.scene import Scene
from snakewebb.coronagraphy.throughput import ThroughputCurve

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


def limit_table(
    scene: Scene,
    curve: NoiseCurve,
    through: ThroughputCurve,
    *,
    truncate: Sequence[int],
    element: float,
    unit: float,
) -> Table:
    """Return the contrast curve: a row for each separation and number of modes.

    Parameters
    ----------
    scene : Scene
    curve : NoiseCurve
    through : ThroughputCurve
    truncate : sequence of int
        Numbers of modes.
    element : float
        λ/D, arcsec.
    unit : float
        Jy, of brightnesses.
    """
    separation, penalty = curve.separation, small_sample_penalty(curve.n)
    transmitted = np.array([scene.transmitted(s) for s in separation])
    tables = []
    for k, number in enumerate(truncate):
        passed, scatter = through.at(separation, k)
        raw = penalty * curve.noise[1 + k] / through.response
        with np.errstate(divide="ignore"):
            limit = raw / np.where(passed > 0, passed, np.nan) / transmitted
        tables.append(
            {
                "truncate": np.full(len(separation), number),
                "separation": separation,
                "separation_ld": separation / element,
                "n": curve.n,
                "noise": curve.noise[1 + k] / through.response,
                "before": penalty * curve.noise[0] / through.response / unit,
                "raw": raw / unit,
                "throughput": passed,
                "throughput_err": scatter,
                "transmission": transmitted,
                "contrast": limit / unit,
                "limit": limit,
            }
        )
    return Table({name: np.concatenate([t[name] for t in tables]) for name in CURVE_COLUMNS})


def source_table(
    scene: Scene,
    detections: Detections,
    kept: np.ndarray,
    seen: np.ndarray,
    *,
    element: float,
    unit: float,
) -> Table:
    """Return the table of point sources.

    Parameters
    ----------
    scene : Scene
    detections : Detections
    kept, seen : (n,) array
        Of `snakewebb.coronagraphy.throughput.companion_throughput`.
    element, unit : float
        See `limit_table`.
    """
    rows = []
    for source, passed, response in zip(detections.sources, kept / seen, seen, strict=True):
        separation, pa = scene.frame.polar(source.x, source.y)
        transmitted = scene.transmitted(separation, [pa])
        scale = scene.frame.jansky / (passed * response * transmitted)
        ra, dec = scene.grid.pixel_to_sky(np.asarray(source.x), np.asarray(source.y))
        rows.append(
            {
                "separation": separation,
                "separation_ld": separation / element,
                "pa": pa,
                "contrast": source.flux * scale / unit,
                "contrast_err": source.flux_err * scale / unit,
                "flux": source.flux * scale,
                "flux_err": source.flux_err * scale,
                "snr": source.snr,
                "significance": source.significance,
                "likeness": source.likeness,
                "throughput": passed,
                "transmission": transmitted,
                "x": source.x,
                "y": source.y,
                "ra": float(ra),
                "dec": float(dec),
            }
        )
    return Table({name: np.array([row[name] for row in rows], float) for name in SOURCE_COLUMNS})
