"""From the small files of a product's exposures to its alignment and common grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from snakewebb import assign_mtwcs as mtwcs
from snakewebb import tweakreg
from snakewebb.errors import InputError
from snakewebb.geometry import Correction
from snakewebb.grid import output_grid
from snakewebb.layout import lay_out, read_facts
from snakewebb.refcat import read_table


def align_product(
    sources: Sequence[str | Path],
    geometry_files: Sequence[str | Path],
    *,
    tweakreg_options: Mapping[str, Any],
    find_options: Mapping[str, Any],
    assign_mtwcs_options: Mapping[str, Any],
    refcat: str | Path | None = None,
    max_megapixels: float | None = None,
) -> dict[str, Any]:
    """Align a product's exposures and lay out the grid on which they are compared.

    Moving targets are brought to their mean position (assign_mtwcs), others are aligned by their
    stars (tweakreg).

    Parameters
    ----------
    sources, geometry_files : sequences of paths
        Of all exposures, in association order.
    tweakreg_options, assign_mtwcs_options : mapping
        Step parameters, with ``skip``.
    find_options : mapping
        Parameters that the sources were found with; for the record.
    refcat : path, optional
        Reference catalogue, if it is a file.
    max_megapixels : float, optional
        See `snakewebb.grid.output_grid`.

    Returns
    -------
    dict
        For JSON: ``step``, which of the two was run, and its ``parameters``; ``exposures``, by
        name the ``status``, ``reason`` and quality of each; ``islands``, the absolute fits;
        ``layout``, for `snakewebb.layout.Layout`.

    Raises
    ------
    InputError
        Exposures do not belong together, or parameters contradict each other.
    """
    known, geometries = {}, {}
    for path in geometry_files:
        facts, geometry = read_facts(path)
        known[facts["exposure"]], geometries[facts["exposure"]] = facts, geometry
    _check_alike(known)
    groups = {name: facts["group_id"] for name, facts in known.items()}
    moving = any(str(facts["target_type"]).upper() == "MOVING" for facts in known.values())
    corrections: dict[str, Correction | None] = dict.fromkeys(known)
    islands: list[dict[str, Any]] = []
    if moving:
        step, options = "assign_mtwcs", dict(assign_mtwcs_options)
    else:
        step, options = "tweakreg", dict(tweakreg_options)
    if options.pop("skip"):
        exposures = {name: {"status": "SKIPPED", "reason": "skip is set"} for name in known}
    elif moving:
        exposures, corrections = mtwcs.assign_mtwcs(known)
    else:
        catalogs = {name: read_table(path) for name, path in zip(known, sources, strict=True)}
        name = options.pop("abs_refcat")
        reference = tweakreg.reference_catalogue(name, refcat, geometries, known) if name else None
        alignment = tweakreg.align(catalogs, groups, abs_refcat=reference, **options)
        result = alignment.to_dict()
        exposures, islands = result["exposures"], result["islands"]
        for group in alignment.groups:
            corrections.update(dict.fromkeys(group.exposures, group.correction))
    aligned = {name: g.corrected(corrections[name]) for name, g in geometries.items()}
    grid = output_grid(aligned, max_megapixels=max_megapixels)
    layout = lay_out(aligned, groups, corrections, grid)
    return {
        "step": step,
        "parameters": dict(assign_mtwcs_options)
        if moving
        else {**find_options, **tweakreg_options},
        "exposures": exposures,
        "islands": islands,
        "layout": layout.to_dict(),
    }


def _check_alike(known: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise where exposures of different kinds are in one product."""
    first_name, first = next(iter(known.items()))
    for name, facts in known.items():
        for key in ("instrument", "filter", "pupil", "bunit"):
            if facts[key] != first[key]:
                raise InputError(
                    f"{name}: its {key} is {facts[key]}, but that of {first_name} is {first[key]}: "
                    "put them in products of their own"
                )
