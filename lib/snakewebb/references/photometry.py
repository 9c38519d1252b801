"""What a catalogue takes from reference files: apertures (APCORR) and Vega offsets (ABVEGAOFFSET).

A file may have nothing for an observation: that costs what it would have told, nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table

from snakewebb.errors import InputError
from snakewebb.io.asdf_tree import AsdfTree
from snakewebb.io.planes import open_fits
from snakewebb.io.tables import numbers, reading, words

log = logging.getLogger(__name__)

DEFAULT_APERTURES = {
    "aperture_ee": [1, 2, 3],
    "aperture_radii": [1.0, 2.0, 3.0],
    "aperture_corrections": [1.0, 1.0, 1.0],
    "bkg_aperture_inner_radius": 5.0,
    "bkg_aperture_outer_radius": 10.0,
}
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
) -> tuple[dict[str, Any], str]:
    """Look up the apertures of some encircled energies.

    Parameters
    ----------
    apcorr : path or None
        APCORR reference file.
    instrument : mapping
        ``name``, ``filter``, ``pupil``, ``detector``, ``subarray``.
    energies : sequence of int
        In percent.
    pixel_scale_ratio : float
        Mosaic pixel over detector pixel; the reference file counts detector pixels.

    Returns
    -------
    apertures : dict
        ``aperture_ee``, ``aperture_radii`` (mosaic pixels), ``aperture_corrections``: one of each
        energy, None where the file has none; ``bkg_aperture_inner_radius`` and
        ``bkg_aperture_outer_radius``, None if no energy is known.
    reason : str
        Why something is None, else "".

    Raises
    ------
    InputError
        The file cannot be read, or holds no sensible numbers for the observation.
    """
    if apcorr is None:
        log.warning("no APCORR file: apertures of 1, 2 and 3 pixels without corrections")
        return DEFAULT_APERTURES, ""
    name, unknown = Path(apcorr).name, [None] * len(energies)
    apertures = {
        "aperture_ee": list(energies),
        "aperture_radii": unknown,
        "aperture_corrections": unknown,
        "bkg_aperture_inner_radius": None,
        "bkg_aperture_outer_radius": None,
    }
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
        apertures["bkg_aperture_inner_radius"] = inner / pixel_scale_ratio
        apertures["bkg_aperture_outer_radius"] = outer / pixel_scale_ratio
    known = [found.get(energy) for energy in energies]
    apertures["aperture_radii"] = [row and row["radius"] / pixel_scale_ratio for row in known]
    apertures["aperture_corrections"] = [row and row["apcorr"] for row in known]
    return apertures, "; ".join(reasons)


def vega_offset(abvegaoffset: str | Path | None, instrument: Mapping[str, str | None]) -> float:
    """Look up AB magnitude minus Vega magnitude.

    Parameters
    ----------
    abvegaoffset : path or None
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
    if abvegaoffset is None:
        log.warning("no ABVEGAOFFSET file: Vega magnitudes equal AB magnitudes")
        return 0.0
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
