"""What became of each exposure in each step: one record for the report's plots and its table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import starmap
from pathlib import Path
from typing import Any

from snakewebb.astrometry.alignment import AlignmentResult, ExposureAlignment
from snakewebb.io.fits_structure import structure
from snakewebb.io.headers import header_of, read_header
from snakewebb.mosaicking.sky_levels import SkyResult
from snakewebb.report.status import (
    counts,
    number_cell,
    outlier_cells,
    outlier_status,
    row,
    status_cell,
    write_page,
)

SKIPPED = {"status": "SKIPPED", "reason": "skip is set"}


@dataclass(frozen=True)
class ProductStatus:
    """How the steps before resampling ended.

    Attributes
    ----------
    alignment : AlignmentResult
    sky : SkyResult or None
        None if the step was skipped.
    unit : str
        Of the exposures' pixels.
    exposures : dict
        By exposure, in association order, and step: ``status``, ``reason`` and the numbers that
        the step found. The steps are tweakreg or assign_mtwcs, skymatch and outlier_detection,
        whose number is the ``fraction`` of pixels flagged.
    """

    alignment: AlignmentResult
    sky: SkyResult | None
    unit: str
    exposures: dict[str, dict[str, dict[str, Any]]]


def read_status(
    alignment: str | Path, sky: str | Path | None, exposures: Sequence[str | Path]
) -> ProductStatus:
    """Gather how the steps of a product ended.

    Parameters
    ----------
    alignment : path
        What `snakewebb.jobs.align` found.
    sky : path or None
        What `snakewebb.mosaicking.skymatch` found; None if the step was skipped.
    exposures : sequence of paths
        All ``_crf`` files, in association order. Only headers are read.

    Raises
    ------
    InputError
        An exposure cannot be read.
    """
    aligned = AlignmentResult.read(alignment)
    matched = SkyResult.read(sky) if sky else None
    found = {}
    for name, path in zip(aligned.exposures, exposures, strict=True):
        primary = header_of(path, structure(path)[0])
        found[name] = {
            aligned.step: vars(aligned.exposures[name]),
            "skymatch": vars(matched.exposures[name]) if matched else SKIPPED,
            "outlier_detection": outlier_status(primary),
        }
    unit = read_header(exposures[0]).get("BUNIT", "") if exposures else ""
    return ProductStatus(aligned, matched, unit, found)


def write_table(status: ProductStatus, path: str | Path) -> None:
    """Write a page with a row for each exposure.

    Parameters
    ----------
    status : ProductStatus
    path : path
        The HTML to write. It needs no other file.
    """
    unit = escape(status.unit)
    columns: dict[str, Sequence[str]] = {
        status.alignment.step: (
            "stars",
            "shift E<br>mas",
            "shift N<br>mas",
            "rms before<br>mas",
            "rms after<br>mas",
            "error<br>mas",
        ),
        "skymatch": (f"level<br>{unit}",),
        "outlier_detection": ("flagged<br>%",),
    }
    write_page(_summary(status), columns, starmap(_row, status.exposures.items()), path)


def _summary(status: ProductStatus) -> list[str]:
    """Return a line for each step and for each fit to the reference catalogue."""
    lines = counts(status.exposures)
    for what, sets in (
        ("stars", _sets(status.alignment.exposures)),
        ("sky", status.sky.subsets if status.sky else []),
    ):
        if len(sets) > 1:
            members = "; ".join(escape(", ".join(names)) for names in sets)
            lines.append(f"<b>not tied together by their {what}</b>: {members}")
    reference = status.alignment.reference
    if reference.get("unused"):
        unused = f"{reference['file']}: {reference['unused']}"
        lines.append(f"<b>of no use in the reference catalogue</b> {escape(unused)}")
    for island in status.alignment.islands:
        end = f'<span class="{island.status}">{island.status}</span>'
        if island.status == "COMPLETE":
            end += f", {island.n_matches} stars matched, rms {island.rms:.1f} mas"
        else:
            end += f", {escape(island.reason)}"
        lines.append(f"<b>fit to the reference catalogue</b>: {end}")
    return lines


def _sets(exposures: Mapping[str, ExposureAlignment]) -> list[list[str]]:
    """Return the groups of each island of common stars."""
    islands: dict[int, dict[str, None]] = {}
    for entry in exposures.values():
        if entry.island is not None and entry.group is not None:
            islands.setdefault(entry.island, {})[entry.group] = None
    return [list(groups) for groups in islands.values()]


def _row(name: str, steps: Mapping[str, Mapping[str, Any]]) -> str:
    """Return an exposure's row."""
    aligned, sky, outliers = steps.values()
    east, north = aligned.get("offset") or (None, None)
    cells = [
        status_cell(aligned),
        number_cell(aligned.get("n_matches"), "d"),
        number_cell(east, "+.1f"),
        number_cell(north, "+.1f"),
        number_cell(aligned.get("rms_before"), ".1f"),
        number_cell(aligned.get("rms_after"), ".1f"),
        number_cell(aligned.get("error"), ".2f"),
        status_cell(sky),
        number_cell(sky.get("level"), ".5g"),
        *outlier_cells(outliers),
    ]
    return row(name, cells, steps)
