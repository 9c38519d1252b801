"""From the small files of a product's exposures to its alignment and common grid."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from snakewebb.astrometry import assign_mtwcs as mtwcs
from snakewebb.astrometry import catalogs as catalogs_module
from snakewebb.astrometry import tweakreg
from snakewebb.errors import InputError
from snakewebb.wcs.exposure import archive_facts
from snakewebb.wcs.geometry import Correction, Geometry
from snakewebb.wcs.grid import output_grid
from snakewebb.wcs.layout import lay_out


def align_product(
    facts_files: Sequence[str | Path],
    archive: str | Path,
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
    facts_files : sequence of paths
        Of all exposures, in association order: JSON of what
        `snakewebb.wcs.exposure.locate` found, and ``sources``, a list of values by
        column.
    archive : path
        To write: the facts of all, see `snakewebb.wcs.exposure.archive_facts`.
    tweakreg_options, assign_mtwcs_options : mapping
        Step parameters, with ``skip``.
    find_options : mapping
        Parameters that the sources were found with; for the record.
    refcat : path, optional
        Reference catalogue, if it is a file.
    max_megapixels : float, optional
        See `snakewebb.wcs.grid.output_grid`.

    Returns
    -------
    dict
        For JSON: ``step``, which of the two was run, and its ``parameters``; ``exposures``, by
        name the ``status``, ``reason`` and quality of each; ``islands``, the absolute fits;
        ``reference``, what is noted of their catalogue; ``layout``, for
        `snakewebb.wcs.layout.Layout`.

    Raises
    ------
    InputError
        Exposures do not belong together, or parameters contradict each other.
    """
    texts = [json.loads(Path(path).read_text()) for path in facts_files]
    catalogs = {facts["exposure"]: facts.pop("sources") for facts in texts}
    archive_facts(archive, {facts["exposure"]: facts for facts in texts})
    known = {facts["exposure"]: facts for facts in texts}
    geometries = {name: Geometry.from_dict(facts["geometry"]) for name, facts in known.items()}
    _check_alike(known)
    groups = {name: facts["group_id"] for name, facts in known.items()}
    moving = any(str(facts["target_type"]).upper() == "MOVING" for facts in known.values())
    corrections: dict[str, Correction | None] = dict.fromkeys(known)
    islands: list[dict[str, Any]] = []
    reference, notes = None, {}
    if moving:
        step, options = "assign_mtwcs", dict(assign_mtwcs_options)
    else:
        step, options = "tweakreg", dict(tweakreg_options)
    if options.pop("skip"):
        exposures = {name: {"status": "SKIPPED", "reason": "skip is set"} for name in known}
    elif moving:
        exposures, corrections = mtwcs.assign_mtwcs(
            known, {name: geometry.center() for name, geometry in geometries.items()}
        )
    else:
        name = options.pop("abs_refcat")
        if name:
            reference, notes = catalogs_module.reference_catalogue(name, refcat, geometries, known)
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
        "reference": notes,
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
