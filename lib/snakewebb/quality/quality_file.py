"""The files of quality: tables of metrics and of exposures, the map of depth, and repeats."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from snakewebb.errors import InputError
from snakewebb.io.atomic import replacing, write_ecsv
from snakewebb.io.checksums import make_room, seal
from snakewebb.io.provenance import ORIGIN, date, noted
from snakewebb.products.mosaic_file import grid_keywords
from snakewebb.quality.assessment import Assessment

log = logging.getLogger(__name__)

COLUMNS: dict[str, tuple[str, str, str]] = {
    "exposure": ("", "", "name"),
    "group": ("", "", "shared by all detectors of an exposure"),
    "stars": ("", "d", "stars that it shares with others"),
    "offset_east": ("mas", ".3f", "median offset of its stars from those of others"),
    "offset_north": ("mas", ".3f", "median offset of its stars from those of others"),
    "offset_err": ("mas", ".3f", "error of the two, an axis"),
    "position_rms": ("mas", ".3f", "scatter of its stars about that offset, an axis"),
    "flux_offset": ("mag", ".5f", "median offset of its bright stars from those of others"),
    "flux_offset_err": ("mag", ".5f", "error of that"),
    "sky_step": ("{unit}", ".6g", "its sky less that of others"),
    "sky_step_err": ("{unit}", ".3g", "error of that"),
    "noise": ("{unit}", ".4g", "of a pixel on the sky"),
    "alignment_rms": ("mas", ".3f", "rms of stars after the alignment, from its header"),
    "flagged": ("", ".6f", "fraction of pixels flagged as outliers, from its header"),
    "outlying": ("", "", "why it stands out"),
}
"""Unit, format and meaning of the columns of the table of exposures."""


def write_quality(assessment: Assessment, unit: str, out: Any) -> None:
    """Write what a product is worth.

    Parameters
    ----------
    assessment : Assessment
    unit : str
        Of the exposures' pixels.
    out : namespace
        ``metrics``, ``exposures``: tables (ECSV); ``depth``: a map (FITS); ``repeats``: what
        figures are drawn of (npz).
    """
    from astropy.table import Table

    metrics = assessment.metrics
    table = Table(
        {
            "metric": [metric.name for metric in metrics],
            "value": np.array([metric.value for metric in metrics], float),
            "error": np.array([metric.error for metric in metrics], float),
            "unit": [metric.unit for metric in metrics],
            "n": [metric.n for metric in metrics],
            "threshold": np.array(
                [np.nan if m.threshold is None else m.threshold for m in metrics], float
            ),
            "status": [metric.status for metric in metrics],
            "reason": [metric.reason for metric in metrics],
            "description": [metric.description for metric in metrics],
        }
    )
    table["value"].format, table["error"].format = ".6g", ".2g"
    warnings = [f"{m.name}: {m.reason}" for m in metrics if m.status == "WARN"]
    table.meta = {"quality": noted({"status": assessment.status, "warnings": warnings})}
    write_ecsv(out.metrics, table)
    exposures = Table(dict(assessment.exposures))
    for name, (units, form, text) in COLUMNS.items():
        column = exposures[name]
        column.description = text
        column.unit = units.format(unit=unit) or None
        column.format = form or None
    write_ecsv(out.exposures, exposures)
    _write_depth(assessment, out.depth)
    _write_repeats(assessment, out.repeats)
    level = logging.WARNING if warnings else logging.INFO
    log.log(level, "%s: %s", Path(out.metrics).name, "; ".join([assessment.status, *warnings]))


def _write_depth(assessment: Assessment, path: str | Path) -> None:
    """Write the map of depth."""
    header = fits.Header(grid_keywords(assessment.depth_grid))
    header["BUNIT"] = ("mag(AB)", "5-sigma depth in the standard aperture")
    primary = fits.PrimaryHDU()
    primary.header["DATE"], primary.header["ORIGIN"] = date(), ORIGIN
    primary.header["FILENAME"] = Path(path).name
    image = fits.ImageHDU(assessment.depth, header, name="SCI")
    with replacing(path) as file:
        make_room((primary.header, image.header))
        fits.HDUList([primary, image]).writeto(file)
        seal(file)


def _write_repeats(assessment: Assessment, path: str | Path) -> None:
    """Write where stars are and how exposures differ from their means."""
    repeats, stars = assessment.repeats, assessment.stars
    with replacing(path) as file:
        np.savez(
            file,
            ra=stars.ra,
            dec=stars.dec,
            star=repeats.star.astype(np.int32),
            exposure=repeats.exposure.astype(np.int32),
            offset=repeats.offset.astype(np.float32),
            flux=repeats.flux.astype(np.float32),
            snr=repeats.snr.astype(np.float32),
            pull=repeats.pull.astype(np.float32),
            flux_pull=repeats.flux_pull.astype(np.float32),
        )


def read_rows(path: str | Path) -> list[dict[str, Any]]:
    """Return the rows of a table of quality; ECSV has no empty text, which is "" here again."""
    from astropy.table import Table

    table = Table.read(path, format="ascii.ecsv")
    columns = {}
    for name in table.colnames:
        values: Any = np.ma.asarray(table[name])
        text = values.dtype.kind in "OU"
        columns[name] = values.astype(object).filled("").astype(str) if text else values.data
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def read_repeats(path: str | Path) -> dict[str, np.ndarray]:
    """Return the arrays of ``repeats``, see `snakewebb.quality.repeats.Repeats`.

    Raises
    ------
    InputError
        It is no such file.
    """
    try:
        with np.load(path) as file:
            return {name: file[name] for name in file.files}
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"{path}: cannot be read: remove it and run again") from error
