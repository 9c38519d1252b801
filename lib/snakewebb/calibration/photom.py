"""From DN/s to MJy/sr (jwst 3.0.0: ``photom``)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snakewebb.io.bands import row_bands
from snakewebb.io.planes import VARIANCES, Planes, invalidate

CALIBRATED, COUNTED = "MJy/sr", "DN/s"


@dataclass(frozen=True)
class PhotomOptions:
    """How the conversion factor is found and applied.

    Attributes
    ----------
    inverse : bool
        Whether MJy/sr become DN/s instead.
    apply_time_correction : bool
        Whether the factor follows the loss of throughput.
    """

    inverse: bool = False
    apply_time_correction: bool = True


def photom(planes: Planes, factor: float, inverse: bool = False) -> None:
    """Convert an exposure from DN/s to MJy/sr, in place.

    Parameters
    ----------
    planes : dict
        Of an image, or a cube of them.
    factor : float
        MJy/sr of 1 DN/s. Its uncertainty, common to all exposures, is not propagated.
    inverse : bool, optional
        Convert from MJy/sr to DN/s instead.
    """
    factor = 1 / factor if inverse else factor
    for _, band in row_bands(planes):
        with np.errstate(invalid="ignore", over="ignore"):  # see `invalidate`
            for name, plane in band.items():
                if name in ("SCI", "ERR"):
                    plane *= factor
                elif name in VARIANCES:
                    plane *= factor**2
        invalidate(band)
