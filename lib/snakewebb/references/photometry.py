"""What a catalogue takes from reference files: apertures (APCORR) and Vega offsets (ABVEGAOFFSET).

A file may have nothing for an observation: that costs what it would have told, nothing else.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table

from snakewebb.errors import InputError
from snakewebb.io.asdf_tree import AsdfTree
from snakewebb.io.planes import open_fits
from snakewebb.io.tables import numbers, reading, words
from snakewebb.references.enclosed_energy import NATIVE, setup_corrections
from snakewebb.references.filters import narrowest

MODEL = Path(__file__).with_name("apcorr.csv")
"""What `snakewebb.references.enclosed_energy` has made."""
APCORR_KEYS = {
    "NIRCAM": ("filter", "pupil"),
    "NIRISS": ("filter", "pupil"),
    "MIRI": ("filter", "subarray"),
    "FGS": (),
}
VEGA_KEYS = {
    "NIRCAM": ("filter", "pupil"),
    "NIRISS": ("filter", "pupil"),
    "MIRI": ("filter",),
    "FGS": ("detector",),
}
APCORR_LIMITS = {
    "radius": (0.1, 1000.0),
    "apcorr": (0.1, 1000.0),
    "skyin": (0.1, 1000.0),
    "skyout": (0.1, 1000.0),
}
"""What makes sense: detector pixels, and total flux over that in the aperture."""
VEGA_LIMITS = (-20.0, 20.0)
"""Magnitudes."""

APCORR_REMEDY = "give an APCORR reference file"
VEGA_REMEDY = "give an ABVEGAOFFSET reference file"


class MissingRow(Exception):  # noqa: N818 - an outcome, not an error of the user
    """A reference file has nothing for an observation."""


def aperture_parameters(
    apcorr: str | Path | None,
    instrument: Mapping[str, str | None],
    energies: Sequence[int],
    pixel_scale_ratio: float,
    pixfrac: float = 1.0,
) -> tuple[dict[str, Any], str]:
    """Look up the apertures of some encircled energies.

    Parameters
    ----------
    apcorr : path or None
        APCORR reference file. Without it they are those of a model of the PSF, see
        `snakewebb.references.enclosed_energy`.
    instrument : mapping
        ``name``, ``filter``, ``pupil``, ``detector``, ``subarray``.
    energies : sequence of int
        In percent.
    pixel_scale_ratio : float
        Mosaic pixel over detector pixel; the reference file counts detector pixels.
    pixfrac : float, optional
        Of drizzle.

    Returns
    -------
    apertures : dict
        ``aperture_ee``, ``aperture_radii`` (mosaic pixels), ``aperture_corrections``: one of each
        energy, None where the file has none; ``bkg_aperture_inner_radius`` and
        ``bkg_aperture_outer_radius``, None if no energy is known; ``source``, what they are from.
    reason : str
        Why something is None, else "".

    Raises
    ------
    InputError
        The file cannot be read, or holds no sensible numbers for the observation.

    Notes
    -----
    Corrections hold for mosaics of the detector's pixels, with drops as large. Others smear a star
    otherwise: they are carried to these by the ratio of those of the model of the PSF.
    """
    apertures, reason = _on_detector(apcorr, instrument, energies)
    _on_mosaic(apertures, instrument, pixel_scale_ratio, pixfrac)
    return apertures, reason


def _on_detector(apcorr, instrument, energies):
    """Look up apertures for mosaics of the detector's pixels, see `aperture_parameters`."""
    unknown = [None] * len(energies)
    apertures: dict[str, Any] = {
        "aperture_ee": list(energies),
        "aperture_radii": unknown,
        "aperture_corrections": unknown,
        "bkg_aperture_inner_radius": None,
        "bkg_aperture_outer_radius": None,
    }
    if apcorr is None:
        return _of_model(apertures, instrument)
    apertures["source"] = name = Path(apcorr).name
    with reading(apcorr, APCORR_REMEDY), open_fits(apcorr) as hdus:
        if "APCORR" not in hdus:
            raise InputError(f"{apcorr}: has no APCORR table: {APCORR_REMEDY}")
        table = Table(hdus["APCORR"].data)
    try:
        rows = _rows(table, apcorr, instrument, APCORR_KEYS, ("eefraction", *APCORR_LIMITS))
    except MissingRow as error:
        return apertures, f"no aperture photometry: {error}"

    percent = np.round(100 * numbers(table, "eefraction", apcorr, rows=rows, holes=True))
    found: dict[int, dict[str, float]] = {}
    reasons = []
    for energy in energies:
        match = rows[percent == energy]
        if len(match) != 1:
            reasons.append(f"{name}: {len(match)} rows for {energy} % encircled energy")
            continue
        found[energy] = {
            key: numbers(table, key, apcorr, rows=match, low=low, high=high)[0].item()
            for key, (low, high) in APCORR_LIMITS.items()
        }
    annuli = {(row["skyin"], row["skyout"]) for row in found.values()}
    if len(annuli) > 1:
        return apertures, f"no aperture photometry: {name}: {len(annuli)} sky annuli, not one"
    for inner, outer in annuli:
        if not inner < outer:
            raise InputError(
                f"{apcorr}: its sky annulus reaches from {inner:g} to {outer:g} pixels: "
                f"{APCORR_REMEDY}"
            )
        apertures["bkg_aperture_inner_radius"] = inner
        apertures["bkg_aperture_outer_radius"] = outer
    known = [found.get(energy) for energy in energies]
    apertures["aperture_radii"] = [row and row["radius"] for row in known]
    apertures["aperture_corrections"] = [row and row["apcorr"] for row in known]
    return apertures, "; ".join(reasons)


def _on_mosaic(apertures, instrument, pixel_scale_ratio, pixfrac):
    """Carry apertures to the pixels and drops of a mosaic, in place, see `aperture_parameters`."""
    edges = [f"bkg_aperture_{edge}_radius" for edge in ("inner", "outer")]
    smear = pixfrac**2 + 2 * pixel_scale_ratio**2
    radii = [radius for radius in apertures["aperture_radii"] if radius is not None]
    if radii and smear != NATIVE:
        annulus = apertures[edges[0]], apertures[edges[1]]
        here, native = (setup_corrections(instrument, radii, annulus, s) for s in (smear, NATIVE))
        if here is not None:
            factor = iter((here / native).tolist())
            apertures["aperture_corrections"] = [
                known and known * next(factor) for known in apertures["aperture_corrections"]
            ]
    for key in edges:
        apertures[key] = apertures[key] and apertures[key] / pixel_scale_ratio
    apertures["aperture_radii"] = [
        radius and radius / pixel_scale_ratio for radius in apertures["aperture_radii"]
    ]


def _of_model(apertures, instrument):
    """Complete the apertures with those of the model, and return them as `_on_detector`."""
    name = "" if instrument["name"] == "FGS" else narrowest(instrument)
    rows = _model().get((instrument["name"], name))
    if rows is None:
        words = (instrument.get(key) for key in ("name", "filter", "pupil"))
        told = " ".join(filter(None, words)) or "an unknown instrument"
        apertures["source"] = "none"
        return apertures, f"no aperture photometry: no PSF is known of {told}: {APCORR_REMEDY}"
    first, energies = rows[0], apertures["aperture_ee"]
    apertures["source"] = f"model of the PSF, total fluxes within {100 * first['error']:.0f} %"
    apertures["bkg_aperture_inner_radius"] = first["skyin"]
    apertures["bkg_aperture_outer_radius"] = first["skyout"]
    known = [100 * row["eefraction"] for row in rows]
    seen = [1 / row["apcorr"] for row in rows]
    radii, corrections, reasons = [], [], []
    for energy in energies:
        if not known[0] <= energy <= known[-1]:
            reasons.append(f"the model of the PSF has no aperture of {energy} %: {APCORR_REMEDY}")
            radii.append(None)
            corrections.append(None)
            continue
        radius = np.interp(energy, known, [row["radius"] for row in rows])
        radii.append(float(radius))
        corrections.append(1 / float(np.interp(energy, known, seen)))
    if not any(radii):
        apertures |= {"bkg_aperture_inner_radius": None, "bkg_aperture_outer_radius": None}
    apertures |= {"aperture_radii": radii, "aperture_corrections": corrections}
    return apertures, "; ".join(reasons)


@cache
def _model():
    """Return the rows of the model by instrument and filter."""
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    with open(MODEL, newline="") as file:
        for row in csv.DictReader(file):
            place = row.pop("instrument"), row.pop("filter")
            found.setdefault(place, []).append({key: float(row[key]) for key in row})
    return found


def vega_offset(abvegaoffset: str | Path, instrument: Mapping[str, str | None]) -> float:
    """Look up AB magnitude minus Vega magnitude.

    Parameters
    ----------
    abvegaoffset : path
        ABVEGAOFFSET reference file.
    instrument : mapping
        See `aperture_parameters`.

    Raises
    ------
    InputError
        The file cannot be read, or holds no sensible number for the observation.
    MissingRow
        The file has no row, or more than one, for this instrument, or no number in it.
    """
    with reading(abvegaoffset, VEGA_REMEDY):
        table = Table(AsdfTree(Path(abvegaoffset).read_bytes()).table("abvega_offset"))
    rows = _rows(table, abvegaoffset, instrument, VEGA_KEYS, ("abvega_offset",))
    low, high = VEGA_LIMITS
    offsets = numbers(
        table, "abvega_offset", abvegaoffset, rows=rows, low=low, high=high, holes=True
    )
    if len(offsets) > 1:
        raise MissingRow(f"{Path(abvegaoffset).name}: {len(offsets)} rows for one filter")
    if np.isnan(offsets[0]):
        raise MissingRow(f"{Path(abvegaoffset).name}: no number in row {rows[0] + 1}")
    return float(offsets[0])


def _rows(table, path, instrument, keys_of, values):
    """Return which rows of a reference table are for this instrument's set-up."""
    keys, name = keys_of.get(instrument["name"]), Path(path).name
    if keys is None:
        raise MissingRow(f"{name}: is of no use for the instrument {instrument['name']}")
    missing = [column for column in (*keys, *values) if column not in table.colnames]
    if missing:
        raise InputError(
            f"{path}: has no column {', '.join(missing)}: "
            f"give a reference file for {instrument['name']} imaging"
        )
    chosen = np.ones(len(table), dtype=bool)
    for key in keys:
        chosen &= words(table, key, path) == str(instrument[key])
    if not chosen.any():
        wanted = ", ".join(f"{key} {instrument[key]}" for key in keys)
        raise MissingRow(f"{name}: has no row for {wanted or instrument['name']}")
    return np.flatnonzero(chosen)
