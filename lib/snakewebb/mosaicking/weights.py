"""The typical weight of an exposure's pixels."""

from pathlib import Path

import numpy as np

from snakewebb.io.dq import DO_NOT_USE
from snakewebb.io.headers import ExposureHeader
from snakewebb.io.planes import read_planes
from snakewebb.kernels.background import clipped, sort

ENOUGH = 1_000_000
"""The mean weight of so many pixels is right to 0.1 %."""


def typical_weights(path: str | Path, header: ExposureHeader) -> dict[str, float]:
    """Measure the weight that most pixels of an exposure have.

    Parameters
    ----------
    path : path
        A stage-2 image.
    header : ExposureHeader
        Its header.

    Returns
    -------
    dict
        By ``weight_type``: of ``ivm`` the mean of 1 / VAR_RNOISE over good pixels, clipped at 3
        sigma, 1 if the exposure has no VAR_RNOISE; of ``exptime`` the time. 0 if there is none.
    """
    planes = read_planes(path, ("DQ", "VAR_RNOISE"))
    ivm = 1.0
    variance, dq = planes["VAR_RNOISE"], planes["DQ"]
    if variance is not None:
        good = (variance > np.finfo(np.float32).tiny) & (variance < np.inf)
        if dq is not None:
            good &= (dq & DO_NOT_USE) == 0
        variance = variance[good]
        weight = np.float32(1.0) / variance[:: variance.size // ENOUGH + 1]
        sort(weight)
        number, _, mean, _ = clipped(weight, 3.0, 5)
        ivm = mean if number else 0.0
    time = header.measurement_time or header.exposure_time or 0.0
    return {"ivm": ivm, "exptime": float(time)}
