"""align_refs: references shifted onto the target."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np

from snakewebb.coronagraphy.fourier import fourier_shift, shift_flags, shift_variance
from snakewebb.coronagraphy.registration import REACH, Offset, Template
from snakewebb.errors import InputError
from snakewebb.io.dq import DO_NOT_USE

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class AlignRefsOptions:
    """Parameters of the step align_refs, besides those of the repair.

    Attributes
    ----------
    skip : bool
        Whether the references are left where they are.
    """

    skip: bool = False


@dataclass(frozen=True)
class Aligned:
    """References shifted onto a target.

    Attributes
    ----------
    data, err : (K, ny, nx) float64
        Without errors, err is None.
    dq : (K, ny, nx) uint32
        Flags of the pixels that a pixel was made of; DO_NOT_USE too where it comes from outside.
    shifts, shift_errors : (K, 2) float64
        By how much each reference lay off the target, (x, y) pixels; it was shifted back.
    beta : (K,) float64
        The reference's brightness in units of the target's.
    residual : (K,) float64
        Root mean square of what the fit leaves of the reference, relative to the reference.
    reason : str
        Why nothing was aligned.

    Notes
    -----
    A reference that cannot be aligned is 0 and DO_NOT_USE throughout, so that nothing of it is
    subtracted; its numbers are NaN.
    """

    data: np.ndarray
    err: np.ndarray | None
    dq: np.ndarray
    shifts: np.ndarray
    shift_errors: np.ndarray
    beta: np.ndarray
    residual: np.ndarray
    reason: str = ""


UNKNOWN = Offset(np.full(2, np.nan), np.full(2, np.nan), np.nan, np.nan)


def _offsets(
    target: np.ndarray, data: np.ndarray, weights: np.ndarray, bad: np.ndarray | None
) -> list[Offset]:
    """Return how references lie to a target, ``UNKNOWN`` where no fit is found."""
    try:
        template = Template(target, weights)
    except InputError:
        return [UNKNOWN] * len(data)
    offsets = []
    for k, image in enumerate(data):
        try:
            with np.errstate(all="ignore"):
                offset = template.offset(image, None if bad is None else ~bad[k])
        except (InputError, np.linalg.LinAlgError):
            offset = UNKNOWN
        # At the limit of the search is no best match.
        offsets.append(offset if np.abs(offset.shift).max() < REACH else UNKNOWN)
    return offsets


def unaligned(data: np.ndarray, err: np.ndarray | None, dq: np.ndarray) -> Aligned:
    """Return references, repaired, as they are; see `align`."""
    unknown = np.full(len(data), np.nan)
    shifts = np.zeros((len(data), 2))
    return Aligned(data, err, dq, shifts, np.full_like(shifts, np.nan), unknown, unknown)


def align(
    target: np.ndarray,
    data: np.ndarray,
    err: np.ndarray | None,
    dq: np.ndarray,
    mask: np.ndarray,
    *,
    good: np.ndarray | None = None,
    bad: np.ndarray | None = None,
) -> Aligned:
    """Shift references onto a target.

    The shift is that which takes ``beta`` times the target, plus a constant, to the reference with
    the least squares of ``mask`` times the difference.

    Parameters
    ----------
    target : (ny, nx) array
        An integration of the target or the mean of several, repaired.
    data, err : (K, ny, nx) arrays
        References, repaired; err may be None.
    dq : (K, ny, nx) uint32
        Their flags.
    mask : (ny, nx) array
        Weights from 0 to 1: a PSFMASK, or `snakewebb.coronagraphy.star.disc`.
    good : (ny, nx) bool, optional
        False where the target was repaired; no fit looks there.
    bad : (K, ny, nx) bool, optional
        True where a reference was repaired.

    Returns
    -------
    Aligned
        If no reference can be aligned, as they are, with the reason.

    Raises
    ------
    InputError
        Shapes differ.
    """
    if not target.shape == data.shape[1:] == mask.shape:
        raise InputError(
            f"align_refs: the target has {target.shape} pixels, the references {data.shape[1:]}, "
            f"the mask {mask.shape}: use one subarray"
        )
    offsets = _offsets(target, data, mask if good is None else mask * good, bad)
    known = np.array([offset is not UNKNOWN for offset in offsets])
    if not known.any():
        reason = "no reference's light is like that of the target"
        log.warning("references not aligned: %s", reason)
        return replace(unaligned(data, err, dq), reason=reason)
    if not known.all():
        log.warning("not aligned, left out: %s", ", ".join(map(str, np.flatnonzero(~known) + 1)))
        data, dq = data * known[:, None, None], dq | np.where(known, 0, DO_NOT_USE)[:, None, None]
    shifts = np.nan_to_num([offset.shift for offset in offsets])
    if err is not None:
        err = np.sqrt(shift_variance(np.asarray(err, np.float64) ** 2, -shifts))
    return Aligned(
        fourier_shift(data, -shifts),
        err,
        shift_flags(dq, -shifts),
        np.array([offset.shift for offset in offsets]),
        np.array([offset.error for offset in offsets]),
        np.array([offset.beta for offset in offsets]),
        np.array([offset.residual for offset in offsets]),
    )
