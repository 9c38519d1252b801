"""Job psfsub: an exposure without its star."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from snakewebb.coronagraphy.files import Residual, write_psfsub
from snakewebb.coronagraphy.klip import KlipOptions
from snakewebb.coronagraphy.reduction import read_target
from snakewebb.coronagraphy.repair import RepairOptions
from snakewebb.coronagraphy.star_position import read_stars
from snakewebb.io.names import product_exposure
from snakewebb.io.planes import image_shape
from snakewebb.io.provenance import Provenance
from snakewebb.wcs.change import Pointing
from snakewebb.wcs.exposure import read_geometry


def subtract_star(
    exposure: str | Path,
    target: str | Path,
    *,
    others: Sequence[str | Path] = (),
    references: Sequence[str | Path],
    stars: str | Path,
    repair: Mapping[str, Any] = MappingProxyType({}),
    step: Mapping[str, Any] = MappingProxyType({}),
    asn: Mapping[str, Any] | None = None,
) -> None:
    """Subtract the star's light from an exposure and write what is left.

    Parameters
    ----------
    exposure, target : path
        The ``_crfints`` and the ``_psfsub`` to write.
    others : sequence of paths, optional
        ``_crfints`` of the same star at other rolls, for ADI.
    references : sequence of paths
        ``_psfalign``, see `snakewebb.coronagraphy.reduction.read_target`.
    stars : path
        What `snakewebb.jobs.find_stars.stars_of_product` wrote.
    repair : mapping, optional
        Of `snakewebb.coronagraphy.repair.RepairOptions`.
    step : mapping, optional
        Of `snakewebb.coronagraphy.klip.KlipOptions`, with one number of modes.
    asn : mapping, optional
        For ``meta.asn``.

    Raises
    ------
    InputError
        See `snakewebb.coronagraphy.reduction.read_target`.
    """
    known = read_stars(stars)
    options = KlipOptions(**step)
    exposures = [exposure, *others]
    reduction = read_target(exposures, references, known, RepairOptions(**repair), options)
    name = product_exposure(exposure)
    star = known[name]
    notes: dict[str, Any] = {"parameters": asdict(options), "star": star.to_dict()}
    *count, ny, nx = image_shape(exposure)
    kept = np.zeros(count or 1, bool)
    data, err, model_err, bad = np.empty((0, ny, nx)), None, None, np.empty((0, ny, nx), bool)
    if options.skip:
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
            notes["radius"] = made.radius * star.pixel_scale
        notes["eigenvalues"] = [values.tolist() for values in made.eigenvalues]
        notes["references"] = [len(chosen) for chosen in made.references]
    if not kept.all():
        notes["without_pixels"] = (np.flatnonzero(~kept) + 1).tolist()
    said: dict[str, dict[str, Any]] = {"klip": notes}
    statuses = {"klip": "SKIPPED" if "reason" in notes else "COMPLETE"}
    if star.reason:
        statuses["align_psfs"] = star.status
        said["align_refs"] = {"reason": star.reason}
    write_psfsub(
        exposure,
        target,
        Residual(
            _among(kept, data, np.nan),
            None if err is None else _among(kept, err, np.nan),
            _among(kept, bad, True),
            None if model_err is None else _among(kept, model_err, np.nan),
        ),
        provenance=Provenance(statuses, said),
        pointing=Pointing(correction=star.correction, geometry=read_geometry(exposure)),
        asn=asn,
    )


def _among(kept: np.ndarray, values: np.ndarray, fill: float) -> np.ndarray:
    """Return the images of those integrations that were kept among all, filled elsewhere."""
    whole = np.full((len(kept), *values.shape[1:]), fill, values.dtype)
    whole[kept] = values
    return whole
