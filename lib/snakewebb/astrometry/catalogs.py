"""Catalogues that users supply or name: sources of an exposure, and absolute references.

Tables take a quarter of a second to import: only where there is one.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from snakewebb.astrometry.options import GAIA, NoCatalogue, check_service
from snakewebb.astrometry.reference import CORRELATIONS, ERRORS, MOTIONS
from snakewebb.errors import InputError
from snakewebb.io.tables import numbers, reading
from snakewebb.wcs.geometry import Geometry
from snakewebb.wcs.sphere import mean_direction, unit_vectors

if TYPE_CHECKING:
    from astropy.table import Table

log = logging.getLogger(__name__)

AXES = {axis: (axis, f"{axis}centroid", f"{axis}_centroid") for axis in "xy"}
"""Columns of pixel positions."""
PLACES = (("ra", "dec"), ("sky_centroid",), ("sky_centroid.ra", "sky_centroid.dec"))
"""Columns of positions on the sky, in lower case."""
RANGES = {"RA": (-360.0, 720.0), "DEC": (-90.0, 90.0), "weight": (0.0, 1e30)}
POSITION_COLUMNS = {
    **dict.fromkeys(("ra_error", "dec_error"), (0.0, 1e5)),
    "ra_dec_corr": (-1.0, 1.0),
}
MOTION_COLUMNS = {
    "ref_epoch": (1800.0, 2200.0),
    **dict.fromkeys(("pmra", "pmdec"), (-2e4, 2e4)),
    "parallax": (-1e3, 1e3),
    **dict.fromkeys(ERRORS, (0.0, 1e5)),
    **dict.fromkeys(CORRELATIONS, (-1.0, 1.0)),
}
"""Limits of columns of motions, mas and mas a year, and of positions' errors."""
LIMITS = {"x": (-1e5, 1e5), "y": (-1e5, 1e5), "weight": RANGES["weight"]}
"""Of catalogues in pixels; no detector is so large."""
MOST_NAMES = 8


def read_table(path: str | Path) -> Table:
    """Read a table: FITS, VOTable, ECSV, CSV, or any text that astropy reads; packed, too.

    Raises
    ------
    InputError
        The file is missing or not a table.
    """
    from astropy.io.registry import IORegistryError
    from astropy.table import Table

    if not Path(path).is_file():
        raise InputError(f"{path}: there is no such file: give the path of a catalogue")
    with reading(path, "give a table: ECSV, CSV, FITS or VOTable"):
        with open(path, "rb") as file:
            start = file.read(6)
        if start == b"SIMPLE" or re.search(r"(?i)\.fits?(\.\w+)?$", str(path)):
            from snakewebb.io.planes import open_fits  # catalogues are mostly of another kind

            with open_fits(path) as hdus:
                return Table.read(hdus)
        try:
            return Table.read(path)
        except IORegistryError:  # neither its name nor its first bytes tell its format
            return Table.read(path, format="ascii")


def read_sources(path: str | Path) -> dict[str, np.ndarray]:
    """Read a source catalogue that takes the place of a search.

    Parameters
    ----------
    path : path
        See `read_table`; with columns ``x`` and ``y`` (or ``xcentroid`` and ``ycentroid``, or
        ``x_centroid`` and ``y_centroid``), 0-based pixels, and perhaps ``flux`` and ``weight``.

    Returns
    -------
    dict of (n,) arrays
        ``x``, ``y``, ``flux``, which is NaN where the file has none, and ``weight`` if it has
        that: of the rows with a position and a weight.

    Raises
    ------
    InputError
        The file is missing, not a table, without these columns, or they hold no numbers.
    """
    table = read_table(path)
    names = [next((n for n in AXES[axis] if n in table.colnames), None) for axis in "xy"]
    if None in names:
        raise InputError(
            f"{path}: has no columns x and y, only {_listed(table.colnames)}: "
            "name the 0-based pixel positions x and y"
        )
    used = [*names, *(name for name in ("flux", "weight") if name in table.colnames)]
    _tell_unused(table, used, path)
    columns = {"flux": np.full(len(table), np.nan)}
    for key, name in zip(("x", "y", *used[2:]), used, strict=True):
        low, high = LIMITS.get(key, (-np.inf, np.inf))
        columns[key] = _column(table, name, path, low=low, high=high, holes=True)
    rest = [column for key, column in columns.items() if key != "flux"]
    good = np.all([np.isfinite(column) for column in rest], axis=0)
    return {key: column[good] for key, column in columns.items()}


def read_reference(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read a catalogue of sky positions.

    Parameters
    ----------
    path : path
        See `read_table`; with columns ``RA`` and ``DEC`` (degrees unless they have another unit),
        or ``sky_centroid`` as in a JWST source catalogue, and perhaps ``weight``, ``ref_epoch``,
        ``pmra``, ``pmdec``, ``parallax``, and their errors and correlations as Gaia calls them, in
        any case.

    Returns
    -------
    columns : dict of arrays
        ``RA``, ``DEC``: degrees; ``weight`` and those of `snakewebb.astrometry.reference`, as far
        as the file has them; NaN where a row lacks one of the latter.
    notes : dict
        ``file``, its name; ``stars``, how many these are; ``left_out``, rows with a gap; and
        ``unused``, what other columns it has.

    Raises
    ------
    InputError
        The file is missing, not a table, without these columns, or they hold no positions.
    """
    table = read_table(path)
    names: dict[str, list[str]] = {}
    for name in table.colnames:
        names.setdefault(name.lower(), []).append(name)
    places = next((pair for pair in PLACES if set(pair) <= names.keys()), None)
    if places is None:
        raise InputError(
            f"{path}: has no columns RA and DEC, only {_listed(table.colnames)}: "
            "name the positions (ICRS, degrees) RA and DEC"
        )
    extra = [name for name in MOTION_COLUMNS if name in names]
    if "ref_epoch" not in names:
        if names.keys() & set(MOTIONS):
            told = "%s: has no ref_epoch: its stars are taken as of the exposures' epoch"
            log.warning(told, path)
        extra = [name for name in extra if name in POSITION_COLUMNS]
    wanted = [*places, *(["weight"] if "weight" in names else []), *extra]
    for name in wanted:
        if len(names[name]) > 1:
            raise InputError(f"{path}: has columns {' and '.join(names[name])}: keep one")
    used = [names[name][0] for name in wanted]
    columns = {}
    lacking = "a position" + " and a weight" * ("weight" in names)
    if places[0] == "sky_centroid":
        with reading(path, f"give sky positions as {used[0]}"):
            sky = table[used[0]].icrs
            columns = {"RA": sky.ra.deg, "DEC": sky.dec.deg}
    else:
        columns = {
            key: _degrees(table, name, path)
            for key, name in zip(("RA", "DEC"), used[:2], strict=True)
        }
    if "weight" in names:
        columns["weight"] = table[names["weight"][0]]
    columns = {
        key: _column(columns, key, path, low=low, high=high, holes=True)
        for key, (low, high) in RANGES.items()
        if key in columns
    }
    good = np.all([np.isfinite(column) for column in columns.values()], axis=0)
    if len(table) and not good.any():
        raise InputError(f"{path}: not one of its {len(table)} rows has {lacking}: mend it")
    for name in extra:
        columns[name] = _motion(table, names[name][0], path)
    if "ref_epoch" in columns:
        good &= np.isfinite(columns["ref_epoch"])
        if len(table) and not good.any():
            raise InputError(
                f"{path}: not one of its {len(table)} rows has {lacking} and a ref_epoch: fill "
                "that in, or take the column out: its stars are then where they are seen"
            )
    notes = {"file": Path(path).name, "stars": int(good.sum()), "left_out": int((~good).sum())}
    notes["unused"] = _tell_unused(table, used, path)
    told = "%s: %d stars, %d rows without a position, weight or ref_epoch"
    log.info(told, path, notes["stars"], notes["left_out"])
    return {key: column[good] for key, column in columns.items()}, notes


def _column(table, name, path, **limits):
    """Return a column as numbers; one of a table without rows is of no kind."""
    return numbers(table, name, path, **limits) if len(table[name]) else np.empty(0)


def _degrees(table, name, path):
    """Return an angle in degrees, which it is without a unit."""
    from astropy import units as u

    column = table[name]
    unit = getattr(column, "unit", None)
    if unit is None or re.fullmatch(r"(?i)deg(ree)?s?", str(unit)):
        return column
    if len(column) == 0:
        return np.ma.asarray(column)
    try:
        scale = u.Unit(unit).to(u.deg)
    except (u.UnitConversionError, TypeError, ValueError):
        raise InputError(f"{path}: column {name} is in {unit}: give degrees") from None
    return np.ma.array(numbers(table, name, path, holes=True)) * scale


def _motion(table, name, path):
    """Return a column of motions, or of their errors, in Gaia's units; NaN where a row has none."""
    from astropy import units as u

    key = name.lower()
    low, high = MOTION_COLUMNS[key]
    values = _column(table, name, path, low=-np.inf, high=np.inf, holes=True)
    unit = getattr(table[name], "unit", None)
    own = "yr" if key == "ref_epoch" else "mas / yr" if key.startswith("pm") else "mas"
    if unit is not None and not key.endswith("_corr"):
        try:
            values = values * u.Unit(unit).to(u.Unit(own))
        except (u.UnitConversionError, TypeError, ValueError):
            raise InputError(f"{path}: column {name} is in {unit}: give {own}") from None
    wrong = (values < low) | (values > high)
    if wrong.any():
        raise InputError(
            f"{path}: column {name} has {values[wrong][0]:g} in row {np.argmax(wrong) + 1}, no "
            f"number from {low:g} to {high:g}: mend it"
        )
    return values


def _tell_unused(table, used, path):
    """Say once what a catalogue has that is not used; return it."""
    rest = [name for name in table.colnames if name not in used]
    if rest:
        log.info("%s: of no use here: %s", path, _listed(rest))
    return _listed(rest)


def _listed(names):
    """Return names in a row, of very many the first."""
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more


def query_gaia(name: str, ra: float, dec: float, radius: float) -> dict[str, np.ndarray]:
    """Fetch Gaia's stars of a cone.

    Parameters
    ----------
    name : str
        A key of `snakewebb.astrometry.options.GAIA`.
    ra, dec, radius : float
        Degrees.

    Returns
    -------
    dict of arrays
        ``RA``, ``DEC``: degrees; and those of `snakewebb.astrometry.reference`, NaN where a star
        has none.

    Raises
    ------
    InputError
        The name is unknown, astroquery is missing, or the service does not answer.
    """
    check_service(name)
    instead = "give a catalogue file with columns RA and DEC as abs_refcat"
    try:
        from astroquery.gaia import Gaia
    except ImportError:
        raise InputError(f"abs_refcat: {name} needs astroquery: install it, or {instead}") from None
    columns = ["ra", "dec", *MOTION_COLUMNS]
    query = (
        f"SELECT {', '.join(columns)} "
        f"FROM {GAIA[name.upper()]}.gaia_source "
        f"WHERE 1 = CONTAINS(POINT(ra, dec), CIRCLE({ra}, {dec}, {radius}))"
    )
    try:
        found = Gaia.launch_job_async(query).get_results()
    except Exception as error:  # whatever the network and the service come up with
        reason = " ".join(str(error).split())[:100]
        raise InputError(f"abs_refcat: {name} cannot be queried ({reason}): {instead}") from error
    log.info("%d stars of %s", len(found), name)
    stars: dict[str, np.ndarray]
    stars = {key: np.ma.filled(np.ma.asarray(found[key], float), np.nan) for key in columns}
    return {"RA": stars.pop("ra"), "DEC": stars.pop("dec"), **stars}


MARGIN = 0.005  # degrees around a product


def reference_catalogue(
    name: str,
    path: str | Path | None,
    geometries: Collection[Geometry],
    epochs: Collection[float | None],
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read the absolute reference catalogue, or fetch it for the sky around a product.

    Parameters
    ----------
    name : str
        The parameter ``abs_refcat``.
    path : path or None
        The file, if `name` is one; otherwise Gaia's stars are fetched.
    geometries : collection of Geometry
        Of the exposures.
    epochs : collection of float or None
        Theirs, decimal year.

    Returns
    -------
    columns, notes : dict
        See `snakewebb.astrometry.catalogs.read_reference`.

    Raises
    ------
    InputError
        The file or the service cannot be used.
    NoCatalogue
        No exposure says when it was taken.
    """
    undated = all(epoch is None for epoch in epochs)
    if path:
        columns, notes = read_reference(path)
        if undated and "ref_epoch" in columns:
            log.warning("%s: no exposure has EXPMID: its stars are not moved", path)
    elif undated:
        raise NoCatalogue(
            f"no exposure has EXPMID, to which the stars of {name} must be moved: give a catalogue "
            "file of that epoch"
        )
    else:
        corners = np.concatenate([unit_vectors(*g.corners()) for g in geometries])
        centre = mean_direction(corners)
        reach = np.arccos(np.clip(corners @ unit_vectors(*centre), -1, 1).min())
        columns = query_gaia(name, *centre, float(np.degrees(reach)) + MARGIN)
        notes = {"file": name, "stars": len(columns["RA"])}
    return columns, notes
