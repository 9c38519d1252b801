"""Plots of a coronagraphic product: contrast, images, alignment of references, eigenvalues.

matplotlib is used without pyplot, whose import takes as long as the rest of it, and astropy's
tables are imported where there is one to read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from snakewebb.io.planes import open_fits, read_planes
from snakewebb.io.provenance import read_notes
from snakewebb.report.alignment_figures import MOST_PAIRS, plot_eigenvalues, plot_shifts
from snakewebb.report.coron_status import write_status
from snakewebb.report.figures import drawn
from snakewebb.report.subtraction_figures import plot_subtraction


def plot_product(
    flagged: Mapping[str, str | Path],
    aligned: Mapping[str, str | Path],
    subtracted: Mapping[str, str | Path],
    truncate: Sequence[int],
    out: Any,
) -> None:
    """Draw what became of the exposures of a product; a picture that fails stops no other.

    Parameters
    ----------
    flagged, aligned, subtracted : mapping
        ``_crfints``, ``_psfalign`` and ``_psfsub`` by exposure: of all, and of the target twice.
    truncate : sequence of int
        See `plot_eigenvalues`.
    out : namespace
        Files to write: ``subtraction``, ``shifts``, ``eigenvalues`` and ``status``.
    """
    klip = {name: read_notes(path)["klip"] for name, path in subtracted.items()}
    align = {name: read_notes(path)["align_refs"] for name, path in aligned.items()}
    with drawn(out.status):
        write_status(flagged, align, klip, out.status)
    with drawn(out.shifts):
        plot_shifts(align, out.shifts)
    with drawn(out.eigenvalues):
        spectra = {name: notes.get("eigenvalues", []) for name, notes in klip.items()}
        plot_eigenvalues(spectra, truncate, out.eigenvalues)
    with drawn(out.subtraction):
        pairs = {}
        for name, path in list(subtracted.items())[:MOST_PAIRS]:
            before, after = (read_planes(p, ("SCI",))["SCI"] for p in (flagged[name], path))
            pairs[name] = before, after, klip[name]["star"]["center"]
        with open_fits(path) as hdus:
            unit = hdus["SCI"].header.get("BUNIT", "")
        scale, number = klip[name]["star"]["pixel_scale"], len(subtracted)
        plot_subtraction(pairs, scale, out.subtraction, unit=unit, number=number)
