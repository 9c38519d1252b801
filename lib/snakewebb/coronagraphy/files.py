"""Products of coronagraphy on disk: ``_psfstack``, ``_psfalign``, ``_psfsub``.

The flagged exposures, ``_crfints``, are written by `snakewebb.products.exposure_file.write_crf`.
All are copies with other pixels of what they are made of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from snakewebb.errors import InputError
from snakewebb.io.dq import DO_NOT_USE
from snakewebb.io.planes import Planes
from snakewebb.io.provenance import Provenance
from snakewebb.products.exposure_copy import write_copy
from snakewebb.products.exposure_file import rewrite
from snakewebb.wcs.change import Pointing

if TYPE_CHECKING:
    from snakewebb.coronagraphy.align_refs import Aligned
    from snakewebb.coronagraphy.stack_refs import Integrations


def write_psfstack(
    source: str | Path,
    target: str | Path,
    references: Integrations,
    *,
    exposures: Sequence[str],
    left_out: Sequence[str] = (),
    asn: Mapping[str, Any] | None = None,
) -> None:
    """Write the references' integrations.

    Parameters
    ----------
    source : path
        The first reference, whose metadata the stack gets.
    target : path
        The ``_psfstack`` to write.
    references : Integrations
        From `snakewebb.coronagraphy.stack_refs.stack`.
    exposures : sequence of str
        Which exposure each integration is of.
    left_out : sequence of str, optional
        Integrations that are not in the stack.
    asn : mapping, optional
        For ``meta.asn``.
    """
    planes: Planes = {"SCI": references.data, "ERR": references.err, "DQ": references.dq}
    if references.err is None:
        del planes["ERR"]
    notes = {"exposures": list(exposures)}
    if left_out:
        notes["left_out"] = list(left_out)
    write_copy(
        source,
        target,
        planes,
        provenance=Provenance({"stack_psfs": "COMPLETE"}, {"stack_psfs": notes}),
        metadata={"asn": asn or {}},
        whole=False,
    )


def write_psfalign(
    source: str | Path,
    target: str | Path,
    aligned: Aligned,
    *,
    mask: str,
    exposures: Sequence[str],
    status: str = "COMPLETE",
    asn: Mapping[str, Any] | None = None,
    notes: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Write the references as they were shifted onto an exposure's star.

    Parameters
    ----------
    source : path
        The ``_psfstack``.
    target : path
        The ``_psfalign`` to write.
    aligned : Aligned
        From `snakewebb.coronagraphy.align_refs.align`. Repaired pixels have values, and their
        flags.
    mask : str
        Where the weights are from: a file's name, or "derived".
    exposures : sequence of str
        Which exposure each integration is of.
    status : str, optional
        SKIPPED if nothing was shifted.
    asn : mapping, optional
        For ``meta.asn``.
    notes : mapping, optional
        More for ``meta.snakewebb.align_refs``.
    """
    said = {
        "exposures": list(exposures),
        "mask": mask,
        "shifts": aligned.shifts,
        "shift_errors": aligned.shift_errors,
        "beta": aligned.beta,
        "residual": aligned.residual,
        **notes,
    }
    planes: Planes = {"SCI": aligned.data.astype(np.float32), "DQ": aligned.dq}
    if aligned.err is not None:
        planes["ERR"] = aligned.err.astype(np.float32)
    write_copy(
        source,
        target,
        planes,
        provenance=Provenance({"align_psfs": status}, {"align_refs": said}),
        metadata={"asn": asn or {}},
    )


@dataclass(frozen=True)
class Residual:
    """What is left of an exposure without the star's light.

    Attributes
    ----------
    data, err : (T, ny, nx) array
        See `snakewebb.coronagraphy.klip.Subtracted`.
    bad : (T, ny, nx) bool
        Pixels that were repaired for the subtraction: what they hold is no measurement.
    model_err : (T, ny, nx) array, optional
        The part of `err` that all integrations have in common.
    """

    data: np.ndarray
    err: np.ndarray | None
    bad: np.ndarray
    model_err: np.ndarray | None = None


def write_psfsub(
    source: str | Path,
    target: str | Path,
    residual: Residual,
    *,
    provenance: Provenance,
    pointing: Pointing = Pointing(),
    asn: Mapping[str, Any] | None = None,
) -> None:
    """Write an exposure from which the star's light is subtracted.

    Parameters
    ----------
    source : path
        The ``_crfints``; what is not named here stays as it is there.
    target : path
        The ``_psfsub`` to write.
    residual : Residual
        VAR_POISSON becomes what ERR² is more than the other variances, so that their sum is ERR².
        Bad pixels become NaN and DO_NOT_USE, like those outside the search region. The square of
        the error in common becomes VAR_FLAT, as the flat field's is of that kind, too; see
        `snakewebb.coronagraphy.combine.integrations`.
    provenance : Provenance
        ``klip`` is SKIPPED if the star's light was not subtracted, ``align_psfs`` FAILED if the
        star was not found.
    pointing : Pointing, optional
        With the correction that puts the star in its place, see
        `snakewebb.coronagraphy.star.star_correction`.
    asn : mapping, optional
        For ``meta.asn``.
    """
    rewrite(
        source,
        target,
        partial(_subtract, residual=residual, source=source),
        provenance=provenance,
        metadata={"asn": asn or {}},
        pointing=pointing,
    )


def _subtract(planes: Planes, residual: Residual, source: str | Path) -> None:
    """Put an exposure without the star's light in place of it; see `write_psfsub`."""
    before, dq, data = planes["SCI"], planes["DQ"], residual.data
    assert before is not None  # of all exposures that are rewritten
    assert dq is not None
    shape = before.shape
    if data.size != before.size:
        raise InputError(
            f"{source}: has shape {shape}, its subtraction {data.shape}: run klip anew"
        )
    invalid = (residual.bad | ~np.isfinite(data)).reshape(shape)
    dq[invalid] |= DO_NOT_USE
    planes["SCI"] = data
    if residual.model_err is not None:
        planes["VAR_FLAT"] = residual.model_err**2
    if residual.err is not None:
        err = planes["ERR"] = _blanked(residual.err, invalid)
        others = (planes.get(name) for name in ("VAR_RNOISE", "VAR_FLAT"))
        rest = sum(
            (plane.reshape(shape) for plane in others if plane is not None),
            np.zeros((), np.float32),
        )
        planes["VAR_POISSON"] = np.maximum(err.astype(np.float64) ** 2 - rest, 0.0)
    for name, plane in planes.items():
        if name != "DQ" and plane is not None:
            planes[name] = _blanked(plane, invalid)


def _blanked(plane: np.ndarray, invalid: np.ndarray) -> np.ndarray:
    """Return a plane, float32, that is NaN where it is invalid."""
    return np.where(invalid, np.nan, plane.reshape(invalid.shape)).astype(np.float32)
