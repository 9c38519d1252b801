"""Job crfints: an exposure, of the target or a reference, with its outliers flagged."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from snakewebb.coronagraphy.outlier_detection import (
    OutlierOptions,
    flag_outliers,
    neighbours,
    reason_to_skip,
)
from snakewebb.coronagraphy.stack_refs import read_cube, without_pixels
from snakewebb.errors import InputError
from snakewebb.io.planes import check_exposure
from snakewebb.io.provenance import Provenance
from snakewebb.products.exposure_file import geometry_of_any, write_crf
from snakewebb.wcs.change import Pointing
from snakewebb.wcs.cutout import cut_corner

log = logging.getLogger(__name__)


def flag_integrations(
    exposure: str | Path,
    target: str | Path,
    *,
    others: Sequence[str | Path] = (),
    dva_pivot: str = "guide_star",
    step: Mapping[str, Any] = MappingProxyType({}),
    asn: Mapping[str, Any] | None = None,
) -> None:
    """Flag outliers in the integrations of an exposure and write it.

    Parameters
    ----------
    exposure, target : path
        The ``_calints``, or a ``_cal``, which is one integration; and the ``_crfints``.
    others : sequence of paths, optional
        The other exposures of the target, or of references.
    dva_pivot : str, optional
        See `snakewebb.wcs.exposure.locate`.
    step : mapping, optional
        Of `snakewebb.coronagraphy.outlier_detection.OutlierOptions`.
    asn : mapping, optional
        For ``meta.asn``.

    Raises
    ------
    InputError
        The exposure cannot be used, or the others differ from it in size.
    """
    options = OutlierOptions(**step)
    check_exposure(exposure)
    cube = read_cube(exposure)
    near = neighbours(exposure, others)
    reason = reason_to_skip(len(cube.data), len(near))
    if cube.err is None:
        reason = "the exposure has neither errors nor variances"
    if options.skip:
        reason = "skip is set"
    outliers = None
    if cube.err is not None and not reason:
        cubes = [_like(exposure, cube.data.shape, path) for path in near]
        outliers = flag_outliers(cube.data, cube.err, cube.dq, cubes, options)
    notes: dict[str, Any] = {
        "reason": reason or "",
        "parameters": {"good_bits": options.good_bits, "snr": options.snr},
    }
    if empty := without_pixels(cube):
        log.warning("%s: integrations without a good pixel: %s", exposure, empty)
        notes["without_pixels"] = empty
    write_crf(
        exposure,
        target,
        provenance=Provenance(
            {"outlier_detection": "SKIPPED" if reason else "COMPLETE"},
            {"outlier_detection": notes},
        ),
        pointing=Pointing(
            geometry=geometry_of_any(exposure, dva_pivot), corner=cut_corner(exposure)
        ),
        outliers=outliers,
        asn=asn,
        integrations=True,
    )


def _like(
    exposure: str | Path, shape: tuple[int, ...], path: str | Path
) -> tuple[np.ndarray, np.ndarray]:
    """Return image and flags of another exposure, which has to be of the same size."""
    other = read_cube(path)
    _, ny, nx = other.data.shape
    if (ny, nx) != shape[1:]:
        raise InputError(
            f"{path}: has {nx} × {ny} pixels, {exposure} {shape[2]} × {shape[1]}: use one subarray"
        )
    return other.data, other.dq
