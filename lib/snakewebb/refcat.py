"""Catalogues that users supply or name: sources of an exposure, and absolute references.

Tables take a quarter of a second to import: only where there is one.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from snakewebb.errors import InputError

if TYPE_CHECKING:
    from astropy.table import Table

log = logging.getLogger(__name__)

FORMATS = {".ecsv": "ascii.ecsv", ".csv": "ascii.csv", ".fits": "fits", ".fit": "fits"}
POSITIONS = (("x", "y"), ("xcentroid", "ycentroid"), ("x_centroid", "y_centroid"))
GAIA = {"GAIAREFCAT": "gaiadr3", "GAIADR3": "gaiadr3", "GAIADR2": "gaiadr2"}


def read_table(path: str | Path) -> Table:
    """Read a table: ECSV, CSV and FITS by the end of the name, else any text astropy reads.

    Raises
    ------
    InputError
        The file is missing or not a table.
    """
    from astropy.table import Table

    if not Path(path).is_file():
        raise InputError(f"{path}: there is no such file: give the path of a catalogue")
    try:
        return Table.read(path, format=FORMATS.get(Path(path).suffix.lower(), "ascii"))
    except Exception as error:  # every reader has exceptions of its own
        reason = " ".join(str(error).split())[:100]
        raise InputError(
            f"{path}: cannot be read as a table ({reason}): give ECSV, CSV or FITS"
        ) from error


def read_sources(path: str | Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read a source catalogue that takes the place of a search.

    Parameters
    ----------
    path : path
        See `read_table`; with columns ``x`` and ``y`` (or ``xcentroid`` and ``ycentroid``, or
        ``x_centroid`` and ``y_centroid``), 0-based pixels, and perhaps ``flux``.

    Returns
    -------
    x, y, flux : (n,) arrays
        Of the rows with a finite position; `flux` is NaN where the file has none.

    Raises
    ------
    InputError
        The file is missing, not a table, or without these columns.
    """
    table = read_table(path)
    names = next((pair for pair in POSITIONS if set(pair) <= set(table.colnames)), None)
    if names is None:
        raise InputError(
            f"{path}: has no columns x and y, only {', '.join(table.colnames)}: "
            "name the 0-based pixel positions x and y"
        )
    x, y = (_numbers(table[name], path) for name in names)
    flux = _numbers(table["flux"], path) if "flux" in table.colnames else np.full(len(x), np.nan)
    good = np.isfinite(x) & np.isfinite(y)
    return x[good], y[good], flux[good]


def read_reference(path: str | Path) -> dict[str, np.ndarray]:
    """Read a catalogue of sky positions.

    Parameters
    ----------
    path : path
        See `read_table`; with columns ``RA`` and ``DEC`` in any case (degrees unless they have
        another unit), or ``sky_centroid`` as in a JWST source catalogue.

    Returns
    -------
    dict of arrays
        ``RA``, ``DEC``: degrees.

    Raises
    ------
    InputError
        The file is missing, not a table, or without these columns.
    """
    table = read_table(path)
    columns = {name.lower(): name for name in table.colnames}
    if {"ra", "dec"} <= set(columns):
        ra, dec = (_numbers(table[columns[name]], path, unit="deg") for name in ("ra", "dec"))
    elif "sky_centroid" in columns:
        sky = table[columns["sky_centroid"]].icrs
        ra, dec = sky.ra.deg, sky.dec.deg
    elif {"sky_centroid.ra", "sky_centroid.dec"} <= set(columns):
        ra, dec = (_numbers(table[columns[f"sky_centroid.{name}"]], path) for name in ("ra", "dec"))
    else:
        raise InputError(
            f"{path}: has no columns RA and DEC, only {', '.join(table.colnames)}: "
            "name the positions (ICRS, degrees) RA and DEC"
        )
    good = np.isfinite(ra) & np.isfinite(dec)
    return {"RA": ra[good], "DEC": dec[good]}


def query_gaia(
    name: str, ra: float, dec: float, radius: float, epoch: float
) -> dict[str, np.ndarray]:
    """Fetch Gaia's stars of a cone, moved to the epoch of observation.

    Parameters
    ----------
    name : str
        A key of `GAIA`.
    ra, dec, radius : float
        Degrees.
    epoch : float
        Julian year.

    Returns
    -------
    dict of arrays
        ``RA``, ``DEC``: degrees at `epoch`. Stars without a proper motion are left out.

    Raises
    ------
    InputError
        The name is unknown, astroquery is missing, or the service does not answer.
    """
    if name.upper() not in GAIA:
        raise InputError(f"abs_refcat: {name} is not known: one of {', '.join(GAIA)}, or a file")
    instead = "give a catalogue file with columns RA and DEC as abs_refcat"
    try:
        from astroquery.gaia import Gaia
    except ImportError:
        raise InputError(f"abs_refcat: {name} needs astroquery: install it, or {instead}") from None
    query = (
        "SELECT ra, dec, pmra, pmdec, ref_epoch "
        f"FROM {GAIA[name.upper()]}.gaia_source "
        "WHERE pmra IS NOT NULL AND pmdec IS NOT NULL "
        f"AND 1 = CONTAINS(POINT(ra, dec), CIRCLE({ra}, {dec}, {radius}))"
    )
    try:
        found = Gaia.launch_job_async(query).get_results()
    except Exception as error:  # whatever the network and the service come up with
        reason = " ".join(str(error).split())[:100]
        raise InputError(f"abs_refcat: {name} cannot be queried ({reason}): {instead}") from error
    log.info("%d stars of %s", len(found), name)
    return _at_epoch(*(np.asarray(found[c], float) for c in found.colnames), epoch=epoch)


def _at_epoch(ra, dec, pmra, pmdec, ref_epoch, *, epoch):
    """Move stars along; proper motions in mas/a, the one in RA with cos(Dec)."""
    step = (epoch - ref_epoch) / 3.6e6
    return {"RA": (ra + pmra * step / np.cos(np.radians(dec))) % 360, "DEC": dec + pmdec * step}


def _numbers(column, path, unit=None):
    """Return a column as floats, masked values as NaN."""
    try:
        scale = column.unit.to(unit) if unit and column.unit is not None else 1.0
        return np.ma.filled(np.ma.asarray(column.data, dtype=float), np.nan) * scale
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{path}: column {column.name} does not hold numbers: give decimals"
        ) from error
