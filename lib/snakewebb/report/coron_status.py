"""What became of each exposure of a coronagraphic product, as a page of the report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from snakewebb.coronagraphy.star_position import StarPosition
from snakewebb.io.fits_structure import structure
from snakewebb.io.headers import header_of
from snakewebb.report.status import (
    counts,
    number_cell,
    outlier_cells,
    outlier_status,
    row,
    status_cell,
    write_page,
)

COLUMNS = {
    "outlier_detection": ("flagged<br>%",),
    "align_refs": ("references", "shift error<br>mpx", "misfit<br>%"),
    "klip": ("star x<br>px", "star y<br>px", "error<br>mpx", "references", "modes"),
}


def write_status(
    flagged: Mapping[str, str | Path],
    aligned: Mapping[str, Mapping[str, Any]],
    subtracted: Mapping[str, Mapping[str, Any]],
    path: str | Path,
) -> None:
    """Write a page with a row for each exposure, of the target and of references.

    Parameters
    ----------
    flagged : mapping
        ``_crfints`` by exposure; only headers are read.
    aligned, subtracted : mapping
        By exposure of the target, what `snakewebb.io.provenance.read_notes` finds in its
        ``_psfalign`` (``align_refs``) and ``_psfsub`` (``klip``).
    path : path
        The HTML to write.
    """
    exposures: dict[str, dict[str, dict[str, Any]]] = {}
    for name, file in flagged.items():
        primary = header_of(file, structure(file)[0])
        exposures[name] = {"outlier_detection": outlier_status(primary)}
        for step, notes in (("align_refs", aligned), ("klip", subtracted)):
            if name in notes:
                reason = notes[name].get("reason", "")
                status = notes[name].get("status", "SKIPPED" if reason else "COMPLETE")
                star = notes[name].get("star")
                lost = StarPosition.from_dict(star).reason if star else ""
                if lost and not reason:
                    status, reason = "FAILED", lost
                exposures[name][step] = {"status": status, "reason": reason, **notes[name]}
    rows = [row(name, _cells(steps), steps) for name, steps in exposures.items()]
    write_page(counts(exposures), COLUMNS, rows, path)


def _cells(steps: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the cells of an exposure."""
    cells = outlier_cells(steps["outlier_detection"])
    for step, numbers in (("align_refs", _alignment), ("klip", _subtraction)):
        if step in steps:
            cells += [status_cell(steps[step]), *numbers(steps[step])]
        else:
            cells += ['<td class="step"></td>', *(["<td></td>"] * len(COLUMNS[step]))]
    return cells


def _alignment(notes: Mapping[str, Any]) -> list[str]:
    if notes["status"] == "SKIPPED":
        return [number_cell(len(notes["exposures"]), "d"), "<td></td>", "<td></td>"]
    errors = np.hypot(*np.reshape(notes["shift_errors"], (-1, 2)).T)
    error, misfit = (
        np.median(values) if len(values) else None for values in (errors, notes["residual"])
    )
    return [
        number_cell(len(notes["exposures"]), "d"),
        number_cell(error and 1000 * error, ".2f"),
        number_cell(misfit and 100 * misfit, ".1f"),
    ]


def _subtraction(notes: Mapping[str, Any]) -> list[str]:
    star = StarPosition.from_dict(notes["star"])
    used, modes = (max(notes.get(key) or [0]) or None for key in ("references", "modes"))
    return [
        *(number_cell(value, ".3f") for value in star.center),
        number_cell(1000 * np.hypot(*star.error), ".1f"),
        number_cell(used, "d"),
        number_cell(modes, "d"),
    ]
