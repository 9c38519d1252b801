"""An exposure without its star, from files to a file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from snakewebb.coron import product_exposure, read_target
from snakewebb.coron_products import write_psfsub
from snakewebb.exposure_geometry import read_geometry
from snakewebb.geometry import Correction, Geometry


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
        ``_psfalign``, see `snakewebb.coron.read_target`.
    stars_file : path
        What `snakewebb.coron.locate_stars` found, as JSON.
    repair : mapping
        Options of `snakewebb.align_refs.repair`.
    truncate : int
        Number of modes.
    skip : bool
        Whether to leave the star.
    asn : mapping
        For ``meta.asn``.
    **klip
        Other parameters of `snakewebb.coron.read_target`.

    Raises
    ------
    InputError
        See `snakewebb.coron.read_target`.
    """
    stars = json.loads(Path(stars_file).read_text())
    reduction = read_target(
        [source, *others], references, stars, repair=repair, truncate=[truncate], **klip
    )
    star = stars[product_exposure(source)]
    notes = {"parameters": {"skip": skip, "truncate": truncate, **klip}, "star": star}
    data, err, model_err = reduction.cubes[0], reduction.errors[0], None
    if skip:
        notes["reason"] = "skip is set"
    else:
        ((made,),) = reduction.subtract(reduction.cubes, reduction.errors, only=[0])
        data, err, model_err = made.data, made.err, made.model_err
        notes["modes"] = made.modes
        if made.radius is not None:
            notes["radius"] = made.radius * stars[product_exposure(source)]["pixel_scale"]
        notes["eigenvalues"] = [values.tolist() for values in made.eigenvalues]
        notes["references"] = [len(chosen) for chosen in made.references]
    write_psfsub(
        source,
        target,
        data,
        err,
        reduction.bad[0],
        model_err=model_err,
        status="SKIPPED" if skip else "COMPLETE",
        correction=Correction.from_dict(star["correction"]),
        geometry=Geometry.from_dict(read_geometry(source)["geometry"]),
        sip={},
        asn=asn,
        provenance={"klip": notes},
    )
