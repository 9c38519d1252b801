"""How the noise of a mosaic's pixels is correlated: the extension NOISE_CORR of an ``_i2d``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from snakewebb.errors import InputError
from snakewebb.io.fits_structure import find
from snakewebb.io.planes import open_fits, read_pixels

NAME = "NOISE_CORR"
LARGEST = 1 << 31
"""Side of a cell, pixels."""


@dataclass(frozen=True)
class NoiseCorrelation:
    """Covariance of the noise of two pixels over their ERR, by the way from one to the other.

    The mosaic is cut into square cells, from its first pixel on. In each the noise of pixels p and
    q has the covariance ERR_p ERR_q κ(q - p).

    Attributes
    ----------
    kernels : (my, mx, 2 L + 1, 2 L + 1) float32
        κ in cells, by rows and columns; by the lags -L to L in y and x. Symmetric about its middle,
        which is the mean of VAR_PIXEL / ERR²; positive semidefinite. The sum is about 1.
    step : int
        Side of a cell in pixels.
    """

    kernels: np.ndarray
    step: int

    def cards(self) -> list[list[Any]]:
        """Return keyword, value and comment of what says in a header where the numbers are."""
        middle = 0.5 + self.step / 2  # of the first cell; FITS counts pixels from 1
        reach = self.kernels.shape[-1] // 2
        axes: list[tuple[str, float, float, float]] = [("LAG_X", reach + 1, 0, 1)]
        axes += [("LAG_Y", reach + 1, 0, 1)]
        axes += [("X", 1, middle, self.step), ("Y", 1, middle, self.step)]
        cards = [["WCSAXES", 4, "lag in x, y; middle of the cell in x, y"]]
        for axis, (name, *numbers) in enumerate(axes, 1):
            cards += [[f"CTYPE{axis}", name, ""], [f"CUNIT{axis}", "pixel", "of SCI"]]
            for key, number in zip(("CRPIX", "CRVAL", "CDELT"), numbers, strict=True):
                cards.append([f"{key}{axis}", float(number), ""])
        return cards


UNCORRELATED = NoiseCorrelation(np.ones((1, 1, 1, 1), np.float32), LARGEST)
"""Of a mosaic of which nothing is known."""


def read_noise_correlation(path: str | Path) -> NoiseCorrelation | None:
    """Read the correlation of the noise of a mosaic; None if it has none.

    Raises
    ------
    InputError
        The file cannot be read, or the extension is not as snakewebb writes it.
    """
    unit = find(path, NAME)
    if unit is None:
        return None
    with open_fits(path) as hdus:
        step = hdus[NAME].header.get("CDELT3", 0)
    kernels = read_pixels(path, unit).astype(np.float32, copy=False)
    sides = kernels.shape[-2:]
    if len(kernels.shape) != 4 or not kernels.size or sides[0] != sides[1] or sides[0] % 2 == 0:
        raise InputError(f"{path}: {NAME} has shape {kernels.shape}: make the mosaic again")
    if not (isinstance(step, int | float) and 1 <= step <= LARGEST and step == int(step)):
        raise InputError(f"{path}: CDELT3 of {NAME} is {step!r:.20}: make the mosaic again")
    return NoiseCorrelation(kernels, int(step))
