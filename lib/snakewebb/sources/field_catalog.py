"""One catalogue for all filters of a field: the same circles about the same places in each."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import QTable

from snakewebb.references.psf import filter_of
from snakewebb.sources.catalog_file import Catalog
from snakewebb.sources.common_apertures import Apertures, common_apertures, own_radii
from snakewebb.sources.mosaic import Mosaic, MosaicFile
from snakewebb.sources.photometry import magnitudes, photometry

log = logging.getLogger(__name__)

LIMIT = 3.0
"""Errors that make a source seen in a filter; and that an upper limit is above the flux."""
SHAPES = (
    *("label", "xcentroid", "ycentroid", "xcentroid_err", "ycentroid_err", "sky_centroid"),
    *("ra_centroid_err", "dec_centroid_err", "significance", "saturated", "near_bright_star"),
    *("edge", "low_coverage", "sharpness", "roundness", "nn_label", "nn_dist", "isophotal_area"),
    *("semimajor_sigma", "semiminor_sigma", "ellipticity", "orientation", "sky_orientation"),
)
"""Columns of the detection image's own catalogue that are kept, as far as it has them."""
DEFAULT_RADII = np.array([1.0, 2.0, 3.0])
"""Pixels, where no filter is known."""


@dataclass(frozen=True)
class Band:
    """A mosaic of a field.

    Attributes
    ----------
    name : str
        Of its columns.
    product : str
    wavelength : float
        Micrometres; NaN if it is not known.
    mosaic : Mosaic | MosaicFile
    apcorr : path or None
        APCORR reference file.
    """

    name: str
    product: str
    wavelength: float
    mosaic: Mosaic | MosaicFile
    apcorr: str | Path | None


def bands_of(
    mosaics: Mapping[str, Mosaic | MosaicFile],
    apcorr: Mapping[str, str | Path],
    names: Mapping[str, str],
) -> list[Band]:
    """Return the mosaics of a field by wavelength.

    Parameters
    ----------
    mosaics : mapping of str to Mosaic | MosaicFile
        By product.
    apcorr : mapping of str to path
        APCORR reference files by product, as far as there are some.
    names : mapping of str to str
        Filters by product, of which columns have their names; what two have, or is empty, the
        products' own names take the place of.
    """
    number = Counter(names.values())
    found = []
    for product, mosaic in mosaics.items():
        band = filter_of(mosaic.instrument)
        own = names[product]
        found.append(
            Band(
                own if own and number[own] == 1 else product,
                product,
                np.nan if band is None else round(1e6 * band.wavelength, 3),
                mosaic,
                apcorr.get(product),
            )
        )
    return sorted(found, key=lambda band: np.nan_to_num(band.wavelength, nan=np.inf))


def radii_for(bands: Sequence[Band], energies: Sequence[int]) -> np.ndarray:
    """Return the radii of the circles of a field, pixels.

    In the filter with the broadest PSF of these they hold the encircled energies.
    """
    known = [own_radii(band.mosaic, energies, band.apcorr) for band in bands]
    return max((own for own in known if own is not None), key=sum, default=DEFAULT_RADII)


def field_catalog(
    found: Catalog,
    bands: Sequence[Band],
    energies: Sequence[int],
    radii: np.ndarray,
    fwhm: float,
    doubts: Sequence[str] = (),
) -> Catalog:
    """Measure the sources of a detection image in all mosaics.

    Parameters
    ----------
    found : Catalog
        Of the detection image, whose grid all mosaics have.
    bands : sequence of Band
        In the order of their columns.
    energies : sequence of int
        Names of the circles.
    radii : (n,)
        Of these, pixels.
    fwhm : float
        See `snakewebb.sources.photometry.photometry`.
    doubts : sequence of str, optional
        What else is to be told of the mosaics.

    Returns
    -------
    Catalog
        By filter ``<filter>_aper<ee>_flux`` and ``_abmag`` with errors: of a point source, in all
        directions about it, as each circle has it. NaN where the mosaic has no data.
        ``<filter>_limit_abmag`` where the source is not seen in the second circle, and colours
        ``<filter>-<filter>``, of that circle, of filters next to each other.
    """
    table = QTable()
    for name in SHAPES:
        if name in found.table.colnames:
            table[name] = found.table[name]
    reasons = [found.status["reason"], *doubts]
    notes: dict[str, dict[str, Any]] = {}
    x, y = (np.asarray(table[name], float) for name in ("xcentroid", "ycentroid"))
    spread = np.column_stack(
        [
            np.asarray(table["xcentroid_err"], float) ** 2,
            np.asarray(table["ycentroid_err"], float) ** 2,
            np.zeros(len(table)),
        ]
    )
    middle = energies[1]
    for band in bands:
        circles = common_apertures(band.mosaic, energies, radii, band.apcorr)
        fluxes = _fluxes(band, circles, x, y, fwhm, np.nan_to_num(spread))
        if band.mosaic.flaw:
            reasons.append(f"{band.product}: {band.mosaic.flaw}")
        for energy in energies:
            flux, err = fluxes[energy]
            _add_flux(table, f"{band.name}_aper{energy}", flux, err, f"{energy} in aperture_ee")
        flux, err = fluxes[middle]
        limit = np.where(flux < LIMIT * err, np.maximum(flux, 0) + LIMIT * err, np.nan)
        _add_magnitude(
            table,
            f"{band.name}_limit_abmag",
            magnitudes(limit, err)[0],
            f"Upper limit where aper{middle} is below {LIMIT:g} errors: the flux, at least 0, and "
            f"{LIMIT:g} errors more",
        )
        notes[band.name] = _notes(band, circles, bool(np.isfinite(err).any()))
    _add_colours(table, [band.name for band in bands], middle)
    status = {**found.status, "reason": "; ".join(filter(None, reasons))}
    if any(band.mosaic.flaw for band in bands):
        status["status"] = "FAILED"
    table.meta = {
        "versions": found.table.meta["versions"],
        "filters": notes,
        "aperture_params": {"aperture_radii": [round(float(r), 4) for r in radii]},
        "source_catalog": status,
    }
    log.info("%d sources in %d filters", len(table), len(bands))
    return Catalog(table, found.segmentation, status)


def _fluxes(band, circles, x, y, fwhm, spread):
    """Return fluxes of point sources and their errors, Jy, by encircled energy."""
    nothing = np.full(len(x), np.nan)
    measured = {}
    if len(x) and not band.mosaic.flaw:
        measured = photometry(band.mosaic, x, y, circles.parameters(), fwhm, spread)
    return {
        energy: tuple(
            correction * measured.get(f"aper{energy}_flux{end}", nothing) for end in ("", "_err")
        )
        for energy, correction in zip(circles.energies, circles.corrections, strict=True)
    }


def _notes(band: Band, circles: Apertures, has_errors: bool) -> dict[str, Any]:
    """Return what is said of a filter in the catalogue's metadata."""
    known = {
        key: value if isinstance(value, str) else [round(float(each), 4) for each in value]
        for key, value in asdict(circles).items()
        if key in ("corrections", "annulus", "source")
    }
    errors = "of NOISE_CORR" if band.mosaic.correlation else "of ERR, as if pixels were independent"
    return {
        "product": band.product,
        "wavelength": band.wavelength,
        "errors": errors if has_errors else "none",
        **known,
    }


def _add_flux(table: QTable, name: str, flux: np.ndarray, err: np.ndarray, text: str) -> None:
    for end, values, what in (("", flux, "Flux"), ("_err", err, "Error of the flux")):
        table[f"{name}_flux{end}"] = u.Quantity(values, u.Jy)
        table[f"{name}_flux{end}"].info.format = ".6e"
        table[
            f"{name}_flux{end}"
        ].info.description = f"{what} of a point source, by the aperture of {text}"
    for end, values in zip(("", "_err"), magnitudes(flux, err), strict=True):
        what = "Error of the AB magnitude" if end else "AB magnitude"
        _add_magnitude(table, f"{name}_abmag{end}", values, f"{what}, by the same")


def _add_magnitude(table: QTable, name: str, values: np.ndarray, description: str) -> None:
    table[name] = values
    table[name].info.format = ".6f"
    table[name].info.description = description


def _add_colours(table: QTable, names: Sequence[str], energy: int) -> None:
    """Add the colours of filters next to each other, where both see the source."""
    for blue, red in pairwise(names):
        seen = np.ones(len(table), bool)
        for name in (blue, red):
            flux, err = (table[f"{name}_aper{energy}_flux{end}"].value for end in ("", "_err"))
            seen &= flux >= LIMIT * err
        ends = [
            [np.asarray(table[f"{name}_aper{energy}_abmag{end}"]) for name in (blue, red)]
            for end in ("", "_err")
        ]
        colour, error = ends[0][0] - ends[0][1], np.hypot(*ends[1])
        text = f"AB colour of aper{energy} where both filters see the source"
        _add_magnitude(table, f"{blue}-{red}", np.where(seen, colour, np.nan), text)
        _add_magnitude(table, f"{blue}-{red}_err", np.where(seen, error, np.nan), "Its error")
