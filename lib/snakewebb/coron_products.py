"""Products of coronagraphy on disk: ``_psfstack``, ``_psfalign``, ``_psfsub``.

The flagged exposures, ``_crfints``, are written by `snakewebb.flagged.write_crf`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from stdatamodels.jwst.datamodels import CubeModel

from snakewebb.align_refs import Aligned
from snakewebb.dq import DO_NOT_USE
from snakewebb.errors import InputError
from snakewebb.exposure import open_fits
from snakewebb.geometry import Correction
from snakewebb.products import correct_pointing, finish, open_model

VARIANCES = ("var_poisson", "var_rnoise", "var_flat")


def write_psfstack(
    source: str | Path,
    target: str | Path,
    planes: Mapping[str, np.ndarray],
    *,
    exposures: Sequence[str],
    asn: Mapping[str, Any] | None = None,
) -> None:
    """Write the references' integrations.

    Parameters
    ----------
    source : path
        The first reference, whose metadata the stack gets.
    target : path
        The ``_psfstack`` to write.
    planes : mapping
        SCI, ERR, DQ: (K, ny, nx), from `snakewebb.stack_refs.stack`.
    exposures : sequence of str
        Which exposure each integration is of.
    asn : mapping, optional
        For ``meta.asn``.
    """
    model = _cube(source, planes["SCI"], planes["ERR"], planes["DQ"])
    finish(
        model,
        target,
        statuses={"stack_psfs": "COMPLETE"},
        asn=asn,
        provenance={"stack_psfs": {"exposures": list(exposures)}},
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
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write the references as they were shifted onto an exposure's star.

    Parameters
    ----------
    source : path
        The ``_psfstack``.
    target : path
        The ``_psfalign`` to write.
    aligned : Aligned
        From `snakewebb.align_refs.align`. Repaired pixels have values, and their flags.
    mask : str
        Where the weights are from: a file's name, or "derived".
    exposures : sequence of str
        Which exposure each integration is of.
    status : str, optional
        SKIPPED if nothing was shifted.
    asn : mapping, optional
        For ``meta.asn``.
    provenance : mapping, optional
        More for ``meta.snakewebb.align_refs``.
    """
    notes = {
        "exposures": list(exposures),
        "mask": mask,
        "shifts": aligned.shifts,
        "shift_errors": aligned.shift_errors,
        "beta": aligned.beta,
        "residual": aligned.residual,
        **(provenance or {}),
    }
    finish(
        _cube(source, aligned.data, aligned.err, aligned.dq),
        target,
        statuses={"align_psfs": status},
        asn=asn,
        provenance={"align_refs": notes},
    )


def write_psfsub(
    source: str | Path,
    target: str | Path,
    data: np.ndarray,
    err: np.ndarray | None,
    bad: np.ndarray,
    *,
    model_err: np.ndarray | None = None,
    status: str = "COMPLETE",
    correction: Correction | None = None,
    sip: Mapping[str, Any] | None = None,
    asn: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write an exposure from which the star's light is subtracted.

    Parameters
    ----------
    source : path
        The ``_crfints``; what is not named here stays as it is there.
    target : path
        The ``_psfsub`` to write.
    data, err : (T, ny, nx)
        See `snakewebb.klip.Subtracted`. VAR_POISSON becomes what ERR² is more than the other
        variances, so that their sum is ERR².
    bad : (T, ny, nx) bool
        Pixels that were repaired for the subtraction: what they hold is no measurement, so they
        become NaN and DO_NOT_USE, like those outside the search region.
    model_err : (T, ny, nx), optional
        The part of `err` that all integrations have in common. Its square becomes VAR_FLAT, as
        the flat field's error is of that kind, too; see `snakewebb.coron.integrations`.
    status : str, optional
        SKIPPED if the star's light was not subtracted.
    correction : Correction, optional
        Of the pointing, that puts the star in its place; see `snakewebb.coron.star_correction`.
    sip : mapping, optional
        Options of `snakewebb.sip.sip_keywords`.
    asn : mapping, optional
        For ``meta.asn``.
    provenance : mapping, optional
        For ``meta.snakewebb``, by step.
    """
    model = open_model(source)
    shape = model.data.shape
    if data.size != model.data.size:
        raise InputError(
            f"{source}: has shape {shape}, its subtraction {data.shape}: run klip anew"
        )
    invalid = (bad | ~np.isfinite(data)).reshape(shape)
    flags = np.zeros(shape, np.uint32) if model.dq is None else model.dq.astype(np.uint32)
    flags[invalid] |= DO_NOT_USE
    model.data, model.dq = _blanked(data, invalid), flags
    variances = {name: getattr(model, name) for name in VARIANCES}
    known = {name: plane for name, plane in variances.items() if np.shape(plane) == shape}
    if model_err is not None:
        known["var_flat"] = (model_err**2).reshape(shape)
    if err is not None:
        model.err = _blanked(err, invalid)
        rest = sum(plane for name, plane in known.items() if name != "var_poisson")
        known["var_poisson"] = np.maximum(model.err.astype(np.float64) ** 2 - rest, 0.0)
    for name, plane in known.items():
        setattr(model, name, _blanked(plane, invalid))
    if correction is not None:
        correct_pointing(model, correction, False, sip)
    finish(model, target, statuses={"klip": status}, asn=asn, provenance=provenance)


def read_psfmask(path: str | Path, shape: tuple[int, int]) -> np.ndarray:
    """Return the weights, (ny, nx) from 0 to 1, of a PSFMASK reference file.

    Raises
    ------
    InputError
        It has no SCI of that shape.
    """
    with open_fits(path) as hdus:
        if "SCI" not in hdus:
            raise InputError(f"{path}: has no SCI extension: give a PSFMASK reference file")
        mask = np.nan_to_num(np.array(hdus["SCI"].data, np.float64))
    if mask.shape != tuple(shape):
        raise InputError(
            f"{path}: its mask has shape {mask.shape}, the exposures {tuple(shape)}: "
            "give the one for this subarray"
        )
    return mask


def _cube(source: str | Path, data: np.ndarray, err: np.ndarray, dq: np.ndarray) -> CubeModel:
    """Return a cube with the metadata of a file."""
    model = CubeModel()
    with open_model(source) as first:
        model.update(first)
    model.data, model.err = data.astype(np.float32), err.astype(np.float32)
    model.dq = dq.astype(np.uint32)
    return model


def _blanked(plane: np.ndarray, invalid: np.ndarray) -> np.ndarray:
    """Return a plane, float32, that is NaN where it is invalid."""
    return np.where(invalid, np.nan, plane.reshape(invalid.shape)).astype(np.float32)
