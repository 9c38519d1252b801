"""The files of a catalogue: _cat, as ECSV, FITS table and regions, and _segm."""

from __future__ import annotations

import io
import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import QTable

from snakewebb.io.asdf_tree import AsdfTree, extension
from snakewebb.io.atomic import BLOCK, replacing
from snakewebb.io.checksums import make_room, seal
from snakewebb.io.provenance import ORIGIN, date, history, plain
from snakewebb.sources.catalog_tables import write_fits_table, write_regions
from snakewebb.sources.mosaic import MosaicFile
from snakewebb.sources.segmentation_map import BAND, Segmentation

log = logging.getLogger(__name__)

SKY_KEYS = (
    *("WCSAXES", "CRPIX1", "CRPIX2", "CRVAL1", "CRVAL2", "CTYPE1", "CTYPE2", "CUNIT1", "CUNIT2"),
    *("CDELT1", "CDELT2", "PC1_1", "PC1_2", "PC2_1", "PC2_2", "S_REGION", "RADESYS"),
)
"""Keywords of SCI that a segmentation map has, too."""

OWN_PLANES = ("err", "con", "wht", "var_poisson", "var_rnoise", "var_flat", "hdrtab")
OWN_METADATA = (
    *("bunit_data", "bunit_err", "photometry", "pointing", "velocity_aberration", "ephemeris"),
    "snakewebb",
)
"""What of a mosaic's ASDF tree its segmentation map does not have."""


@dataclass(frozen=True)
class Catalog:
    """A catalogue, its segmentation map and how the step ended.

    Attributes
    ----------
    table : QTable
        One row a source; no row where there are none.
    segmentation : Segmentation
        Label of the source a pixel belongs to, 0 for none.
    status : dict
        ``status`` (FAILED if what was asked for could not be measured, else COMPLETE),
        ``sources`` (their number) and ``reason`` (why there are none, or what of them is not
        known, else "").
    """

    table: QTable
    segmentation: Segmentation
    status: dict[str, Any]


def write_catalog(catalog: Catalog, mosaic: MosaicFile, cat: str | Path, segm: str | Path) -> None:
    """Write a catalogue and its segmentation map.

    No file ever stands under its name half written.

    Parameters
    ----------
    catalog : Catalog
        What to write.
    mosaic : MosaicFile
        The mosaic, of whose metadata the segmentation map has most.
    cat, segm : path
        ECSV and FITS. Beside the former the catalogue is written as FITS table (``.fits``) and as
        regions of DS9 (``.reg``), too.
    """
    cat, segm = Path(cat), Path(segm)
    primary, image, tree = _segmentation_hdus(catalog, mosaic, cat.name, segm.name)
    text = ecsv(catalog.table)
    ny = mosaic.shape[0]
    with replacing(cat) as cat_file, replacing(segm) as segm_file:
        segm_file.write(primary.header.tostring().encode("ascii"))
        segm_file.write(image.tostring().encode("ascii"))
        for start in range(0, ny, BAND):
            segm_file.write(catalog.segmentation.stored_rows(start, min(start + BAND, ny)).data)
        segm_file.write(bytes(-segm_file.tell() % BLOCK))
        segm_file.write(extension(tree))
        seal(segm_file)
        cat_file.write(text.encode())
    scale = 3600 * math.degrees(math.sqrt(mosaic.grid.pixel_area))
    write_fits_table(catalog.table, cat.with_suffix(".fits"))
    write_regions(catalog.table, cat.with_suffix(".reg"), scale)
    log.info("wrote %s and %s", cat, segm)


def ecsv(table: QTable) -> str:
    """Return a catalogue of numbers and positions on the sky as ECSV, as astropy writes it.

    The header is astropy's, which would spend most of its time on rows.
    """
    header = io.StringIO()
    table[:0].write(header, format="ascii.ecsv")
    columns = []
    for column in table.itercols():
        if isinstance(column, SkyCoord):
            columns += [column.ra.deg, column.dec.deg]
        else:
            columns.append(getattr(column, "value", column))
    rows = zip(*(np.asarray(values).tolist() for values in columns), strict=True)
    return header.getvalue() + "".join(" ".join(map(repr, row)) + "\n" for row in rows)


def _segmentation_hdus(catalog, mosaic, cat, segm):
    """Return the primary HDU of a segmentation map, the header of its image, and its ASDF file."""
    of_mosaic, of_sci = mosaic.headers
    cards = {
        "DATE": ("date", date(), ""),
        "ORIGIN": ("origin", ORIGIN, ""),
        "FILENAME": ("filename", segm, ""),
        "DATAMODL": ("model_type", "SegmentationMapModel", ""),
        "S_SRCCAT": ("cal_step.source_catalog", catalog.status["status"], "Source Catalog"),
        "SCATFILE": ("source_catalog", cat, "Source catalog filename"),
        "SEGMFILE": ("segmentation_map", segm, "Segmentation map filename"),
    }
    primary = fits.PrimaryHDU(header=of_mosaic.copy())
    primary.header.set("EXTEND", True, after="NAXIS")
    for key, (_, given, comment) in cards.items():
        primary.header[key] = (
            given,
            primary.header.comments[key] if key in primary.header else comment,
        )
    ends = {"source_catalog": catalog.status["status"]}
    for line in history({"source_catalog": catalog.status}, ends):
        primary.header["HISTORY"] = line
    ny, nx = mosaic.shape
    image = fits.Header()
    image["XTENSION"] = ("IMAGE", "Image extension")
    image["BITPIX"], image["NAXIS"], image["NAXIS1"], image["NAXIS2"] = 32, 2, nx, ny
    image["PCOUNT"], image["GCOUNT"] = 0, 1
    image["BSCALE"], image["BZERO"] = 1, 1 << 31
    image["EXTNAME"] = "SCI"
    for key in SKY_KEYS:
        if key in of_sci:
            image.append(of_sci.cards[key])
    make_room((primary.header, image))
    shape = {"datatype": "uint32", "shape": [ny, nx]}
    changes = {f"data.{name}": value for name, value in shape.items()}
    changes |= {f"meta.{place}": given for place, given, _ in cards.values()}
    changes["meta.snakewebb"] = plain({"source_catalog": catalog.status})
    dropped = ["_fits_hash", "extra_fits", *OWN_PLANES, *(f"meta.{name}" for name in OWN_METADATA)]
    return primary, image, AsdfTree(mosaic.asdf).change(changes, dropped).to_bytes()
