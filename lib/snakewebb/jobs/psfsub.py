"""An exposure without its star, from files to a file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from snakewebb.coronagraphy.files import write_psfsub
from snakewebb.coronagraphy.reduction import read_target
from snakewebb.coronagraphy.stack_refs import read_cube
from snakewebb.io.names import product_exposure
from snakewebb.wcs.exposure import read_geometry
from snakewebb.wcs.geometry import Correction


def subtract_star(
    source: str | Path,
    target: str | Path,
    *,
    others: Sequence[str | Path],
    references: Sequence[str | Path],
    stars_file: str | Path,
    repair: Mapping[str, Any],
    truncate: int,
    skip: bool,
    asn: Mapping[str, Any],
    **klip: Any,
) -> None:
    """Subtract the star's light from an exposure and write what is left.

    Parameters
    ----------
    source, target : path
        The ``_crfints`` and the ``_psfsub`` to write.
    others : sequence of paths
        ``_crfints`` of the same star at other rolls, for ADI.
    references : sequence of paths
        ``_psfalign``, see `snakewebb.coronagraphy.reduction.read_target`.
    stars_file : path
        What `snakewebb.jobs.find_stars.locate_stars` found, as JSON.
    repair : mapping
        Options of `snakewebb.coronagraphy.repair.repair`.
    truncate : int
        Number of modes.
    skip : bool
        Whether to leave the star.
    asn : mapping
        For ``meta.asn``.
    **klip
        Other parameters of `snakewebb.coronagraphy.reduction.read_target`.

    Raises
    ------
    InputError
        See `snakewebb.coronagraphy.reduction.read_target`.
    """
    stars = json.loads(Path(stars_file).read_text())
    reduction = read_target(
        [source, *others], references, stars, repair=repair, truncate=[truncate], **klip
    )
    name = product_exposure(source)
    notes = {"parameters": {"skip": skip, "truncate": truncate, **klip}, "star": stars[name]}
    count, *shape = read_cube(source)["SCI"].shape
    kept = np.zeros(count, bool)
    data, err, model_err, bad = np.empty((0, *shape)), None, None, np.empty((0, *shape), bool)
    if skip:
        notes["reason"] = "skip is set"
    if name not in reduction.exposures:
        notes["reason"] = "no integration has a good pixel"
    else:
        kept, bad = reduction.kept[0], reduction.bad[0]
        data, err = reduction.cubes[0], reduction.errors[0]
    if "reason" not in notes:
        errors = None if any(each is None for each in reduction.errors) else reduction.errors
        ((made,),) = reduction.subtract(reduction.cubes, errors, only=[0])
        data, err, model_err = made.data, made.err, made.model_err
        notes["modes"] = made.modes
        if made.radius is not None:
            notes["radius"] = made.radius * stars[product_exposure(source)]["pixel_scale"]
        notes["eigenvalues"] = [values.tolist() for values in made.eigenvalues]
        notes["references"] = [len(chosen) for chosen in made.references]
    if not kept.all():
        notes["without_pixels"] = (np.flatnonzero(~kept) + 1).tolist()
    provenance = {"klip": notes}
    statuses = {"klip": "SKIPPED" if "reason" in notes else "COMPLETE"}
    if "reason" in stars[name]:
        statuses["align_psfs"] = "FAILED"
        provenance["align_refs"] = {"reason": stars[name]["reason"]}
    write_psfsub(
        source,
        target,
        _among(kept, data, np.nan),
        None if err is None else _among(kept, err, np.nan),
        _among(kept, bad, True),
        model_err=None if model_err is None else _among(kept, model_err, np.nan),
        statuses=statuses,
        correction=Correction.from_dict(stars[name]["correction"]),
        geometry=read_geometry(source),
        sip={},
        asn=asn,
        provenance=provenance,
    )


def _among(kept: np.ndarray, values: np.ndarray, fill: float) -> np.ndarray:
    """Return the images of those integrations that were kept among all, filled elsewhere."""
    whole = np.full((len(kept), *values.shape[1:]), fill, values.dtype)
    whole[kept] = values
    return whole
