"""Plots of a coronagraphic product: contrast, images, alignment of references, eigenvalues.

matplotlib is used without pyplot, whose import takes as long as the rest of it, and astropy's
tables are imported where there is one to read.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from snakewebb.coronagraphy.star_position import StarPosition
from snakewebb.io.names import product_exposure
from snakewebb.io.planes import open_fits, read_planes
from snakewebb.io.provenance import read_notes
from snakewebb.report.alignment_figures import MOST_PAIRS, plot_eigenvalues, plot_shifts
from snakewebb.report.coron_status import write_status
from snakewebb.report.figures import drawn
from snakewebb.report.subtraction_figures import plot_subtraction


def plot_product(
    out: Any,
    *,
    exposures: Sequence[str | Path],
    references: Sequence[str | Path],
    subtracted: Sequence[str | Path],
    truncate: Sequence[int],
) -> None:
    """Draw what became of the exposures of a product; a picture that fails stops no other.

    Parameters
    ----------
    out : namespace
        Files to write: ``subtraction``, ``shifts``, ``eigenvalues`` and ``status``.
    exposures, references, subtracted : sequence of paths
        ``_crfints`` of the target and its references; ``_psfalign`` and ``_psfsub`` of the target.
    truncate : sequence of int
        See `plot_eigenvalues`.
    """
    flagged = {product_exposure(path): path for path in exposures}
    klip = {product_exposure(path): read_notes(path)["klip"] for path in subtracted}
    align = {product_exposure(path): read_notes(path)["align_refs"] for path in references}
    with drawn(out.status):
        write_status(flagged, align, klip, out.status)
    with drawn(out.shifts):
        plot_shifts(align, out.shifts)
    with drawn(out.eigenvalues):
        spectra = {name: notes.get("eigenvalues", []) for name, notes in klip.items()}
        plot_eigenvalues(spectra, truncate, out.eigenvalues)
    with drawn(out.subtraction):
        stars = {name: StarPosition.from_dict(notes["star"]) for name, notes in klip.items()}
        pairs = {}
        for path in subtracted[:MOST_PAIRS]:
            name = product_exposure(path)
            before, after = (read_planes(p, ("SCI",))["SCI"] for p in (flagged[name], path))
            pairs[name] = before, after, stars[name].center
        with open_fits(path) as hdus:
            unit = hdus["SCI"].header.get("BUNIT", "")
        scale, number = stars[name].pixel_scale, len(subtracted)
        plot_subtraction(pairs, scale, out.subtraction, unit=unit, number=number)
