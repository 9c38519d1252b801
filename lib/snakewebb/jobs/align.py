"""Job align: the alignment of a product's exposures, and their common grid."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from snakewebb.astrometry import assign_mtwcs as mtwcs
from snakewebb.astrometry import catalogs as catalogs_module
from snakewebb.astrometry.tweakreg import align
from snakewebb.errors import InputError
from snakewebb.io.atomic import write_json
from snakewebb.wcs.exposure import archive_facts
from snakewebb.wcs.geometry import Correction, Geometry
from snakewebb.wcs.grid import output_grid
from snakewebb.wcs.layout import lay_out


def align_product(
    facts: Sequence[str | Path],
    alignment: str | Path,
    archive: str | Path,
    *,
    refcat: str | Path | None = None,
    tweakreg: Mapping[str, Any] = MappingProxyType({}),
    assign_mtwcs: Mapping[str, Any] = MappingProxyType({}),
    find_sources: Mapping[str, Any] = MappingProxyType({}),
    max_megapixels: float | None = None,
) -> None:
    """Align a product's exposures and lay out the grid on which they are compared.

    Moving targets are brought to their mean position (assign_mtwcs), others are aligned by their
    stars (tweakreg).

    Parameters
    ----------
    facts : sequence of paths
        What `snakewebb.jobs.find_sources.describe_exposure` wrote of all exposures, in association
        order.
    alignment, archive : path
        To write, as JSON: ``step``, which of the two was run, and its ``parameters``;
        ``exposures``, by name the ``status``, ``reason`` and quality of each; ``islands``, the
        absolute fits; ``reference``, what is noted of their catalogue; ``layout``, for
        `snakewebb.wcs.layout.Layout`. And the facts of all, see
        `snakewebb.wcs.exposure.archive_facts`.
    refcat : path, optional
        Reference catalogue, if it is a file.
    tweakreg, assign_mtwcs : mapping, optional
        Step parameters.
    find_sources : mapping, optional
        Parameters that the sources were found with; for the record.
    max_megapixels : float, optional
        See `snakewebb.wcs.grid.output_grid`.

    Raises
    ------
    InputError
        Exposures do not belong together, or parameters contradict each other.
    """
    texts = [json.loads(Path(path).read_text()) for path in facts]
    catalogs = {text["exposure"]: text.pop("sources") for text in texts}
    known = {text["exposure"]: text for text in texts}
    geometries = {name: Geometry.from_dict(text["geometry"]) for name, text in known.items()}
    _check_alike(known)
    groups = {name: text["group_id"] for name, text in known.items()}
    moving = any(str(text["target_type"]).upper() == "MOVING" for text in known.values())
    corrections: dict[str, Correction | None] = dict.fromkeys(known)
    islands: list[dict[str, Any]] = []
    reference, notes = None, {}
    if moving:
        step, options = "assign_mtwcs", dict(assign_mtwcs)
    else:
        step, options = "tweakreg", dict(tweakreg)
    if options.pop("skip", False):
        exposures = {name: {"status": "SKIPPED", "reason": "skip is set"} for name in known}
    elif moving:
        exposures, corrections = mtwcs.assign_mtwcs(known)
    else:
        name = options.pop("abs_refcat", "")
        if name:
            reference, notes = catalogs_module.reference_catalogue(name, refcat, geometries, known)
        found = align(catalogs, groups, abs_refcat=reference, **options)
        result = found.to_dict()
        exposures, islands = result["exposures"], result["islands"]
        for group in found.groups:
            corrections.update(dict.fromkeys(group.exposures, group.correction))
    aligned = {name: g.corrected(corrections[name]) for name, g in geometries.items()}
    grid = output_grid(aligned, max_megapixels=max_megapixels)
    layout = lay_out(aligned, groups, corrections, grid)
    result = {
        "step": step,
        "parameters": dict(assign_mtwcs) if moving else {**find_sources, **tweakreg},
        "exposures": exposures,
        "islands": islands,
        "reference": notes,
        "layout": layout.to_dict(),
    }
    archive_facts(archive, known)
    write_json(alignment, result)


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
