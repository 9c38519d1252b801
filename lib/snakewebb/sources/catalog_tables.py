"""The catalogue in other forms: a FITS table, and regions for SAOImage DS9."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import QTable

from snakewebb.io.atomic import BLOCK, replacing, write_text
from snakewebb.io.checksums import make_room, seal
from snakewebb.io.provenance import ORIGIN, date

RADIUS = 3.0
"""Of a source without apertures, pixels: the largest aperture that jwst has by itself."""
COLORS = {False: "cyan", True: "orange"}
"""Of point-like and extended sources."""
STORED = {"L": "u1", "K": ">i8", "D": ">f8"}
"""Types of a FITS table's fields."""


def write_fits_table(table: QTable, path: str | Path) -> None:
    """Write a catalogue as FITS table.

    It has the columns of the ECSV, but two for a position on the sky: ``ra_centroid`` and
    ``dec_centroid`` for ``sky_centroid``, and so on, in degrees.

    Parameters
    ----------
    table : QTable
        The catalogue, see `snakewebb.sources.catalog.source_catalog`.
    path : path
        The FITS file to write.
    """
    columns = list(_columns(table))
    types = [(f"{k}", STORED[form]) for k, (_, form, _, _) in enumerate(columns)]
    rows = np.empty(len(table), types)
    # astropy's own way through its columns takes as long as finding the sources
    header = fits.Header([("XTENSION", "BINTABLE"), ("BITPIX", 8), ("NAXIS", 2)])
    header["NAXIS1"], header["NAXIS2"] = rows.itemsize, len(rows)
    header["PCOUNT"], header["GCOUNT"], header["TFIELDS"] = 0, 1, len(columns)
    for k, (name, form, unit, values) in enumerate(columns):
        rows[f"{k}"] = np.where(values, ord("T"), ord("F")) if form == "L" else values
        cards = [(f"TTYPE{k + 1}", name), (f"TFORM{k + 1}", form), (f"TUNIT{k + 1}", unit)]
        header.extend(card for card in cards if card[1])
    header["EXTNAME"] = "CATALOG"
    primary = fits.PrimaryHDU()
    primary.header["DATE"], primary.header["ORIGIN"] = date(), ORIGIN
    primary.header["FILENAME"] = Path(path).name
    outcome = table.meta["source_catalog"]
    primary.header["S_SRCCAT"] = (outcome["status"], "Source Catalog")
    # Without a comment, which no card of a long text has room for.
    primary.header["REASON"] = outcome["reason"]
    with replacing(path) as file:
        make_room((primary.header, header))
        file.write(primary.header.tostring().encode("ascii"))
        file.write(header.tostring().encode("ascii"))
        file.write(rows.tobytes())
        file.write(bytes(-file.tell() % BLOCK))
        seal(file)


def write_regions(table: QTable, path: str | Path, pixel_scale: float) -> None:
    """Write a catalogue as regions of DS9: a circle for each source, with its label.

    Parameters
    ----------
    table : QTable
        The catalogue.
    path : path
        The ``.reg`` file to write.
    pixel_scale : float
        Of the mosaic, arcsec. The radius is that of the largest aperture; that of an extended
        source three standard deviations along its major axis, if that is more. Without
        ``is_extended``, as in catalogues of fields, none is.
    """
    radii = table.meta["aperture_params"]["aperture_radii"]
    aperture = radii[-1] or RADIUS
    known = "is_extended" in table.colnames
    extended = np.asarray(table["is_extended"] if known else np.zeros(len(table)), bool)
    wide = 3.0 * np.nan_to_num(table["semimajor_sigma"].value)
    radius = pixel_scale * np.where(extended, np.maximum(aperture, wide), aperture)
    sky = table["sky_centroid"]
    lines = ["# Region file format: DS9", "global width=1 font='helvetica 9'", "icrs"]
    lines += [
        f'circle({ra:.7f},{dec:.7f},{r:.3f}") # color={COLORS[bool(kind)]} text={{{label}}}'
        for label, ra, dec, r, kind in zip(
            table["label"], sky.ra.deg, sky.dec.deg, radius, extended, strict=True
        )
    ]
    write_text(path, "\n".join(lines) + "\n")


def _columns(table: QTable) -> Iterator[tuple[str, str, str | None, np.ndarray]]:
    """Return name, format, unit and values of each column of a FITS table."""
    for name in table.colnames:
        column = table[name]
        if isinstance(column, SkyCoord):
            place = name.removeprefix("sky_")
            yield f"ra_{place}", "D", "deg", column.ra.deg
            yield f"dec_{place}", "D", "deg", column.dec.deg
            continue
        unit = column.unit.to_string("fits") if column.unit else None
        values = np.asarray(getattr(column, "value", column))
        yield name, {"b": "L", "i": "K", "f": "D"}[values.dtype.kind], unit, values
