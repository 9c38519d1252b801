"""Division by the flat field (jwst 3.0.0: ``flat_field``)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snakewebb.io.bands import row_bands
from snakewebb.io.planes import Planes, invalidate
from snakewebb.references.flat import FlatFile


@dataclass(frozen=True)
class FlatFieldOptions:
    """How the flat field is applied.

    Attributes
    ----------
    inverse : bool
        Whether the flat field is put back instead.
    """

    inverse: bool = False


def flat_field(planes: Planes, flat: FlatFile, inverse: bool = False) -> None:
    """Divide an exposure by the response of its pixels, in place.

    The error of the response becomes VAR_FLAT, and ERR what all variances amount to; if there are
    none, what ERR and VAR_FLAT amount to. VAR_FLAT is the same in all exposures that share the
    flat: it does not average out as the other variances do.

    Parameters
    ----------
    planes : dict
        Of an image, or a cube of them. Gets VAR_FLAT if anything is known of its errors.
    flat : FlatFile
    inverse : bool, optional
        Multiply instead; VAR_FLAT is 0 then.
    """
    variances = [name for name in ("VAR_POISSON", "VAR_RNOISE") if name in planes]
    if variances and "ERR" not in planes:
        planes["ERR"] = np.empty_like(planes["SCI"])
    if "ERR" in planes:
        planes["VAR_FLAT"] = np.zeros(planes["SCI"].shape, np.float32)
    scale = np.multiply if inverse else np.divide
    for rows, band in row_bands(planes):
        part = flat.rows(rows)
        square = part.data**2
        # What is no number, or too large for one, stays so: `invalidate` sees to it.
        with np.errstate(invalid="ignore", over="ignore"):
            scale(band["SCI"], part.data, out=band["SCI"])
            for name in variances:
                scale(band[name], square, out=band[name])
            if "ERR" in band:
                rest = [band[name] for name in variances] or [scale(band["ERR"] ** 2, square)]
                if not inverse:
                    np.square(band["SCI"] * (part.err / part.data), out=band["VAR_FLAT"])
                np.sqrt(sum(rest, band["VAR_FLAT"]), out=band["ERR"])
        band["DQ"] |= part.dq
        invalidate(band)
