"""What the contrast of a star is measured in: its exposures and the image combined of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.ndimage import map_coordinates

from snakewebb.coronagraphy.frame import Frame
from snakewebb.coronagraphy.psf import EffectivePsf
from snakewebb.wcs.grid import Grid


@dataclass(frozen=True)
class Scene:
    """Exposures of a star, and the grid on which they are combined.

    Attributes
    ----------
    cubes : sequence of (n, ny, nx) arrays
        Exposures of the target, repaired, MJy/sr.
    frames : sequence of Frame
        Theirs.
    psf : EffectivePsf
        Of a companion, at their pixels.
    grid : Grid
        The combined image's.
    star : (RA, Dec)
        Degrees.
    transmission : (ny, nx) array, optional
        Of the coronagraph, on the exposures' pixels, for an off-axis source.
    pixfrac : float, optional
        With which exposures are drizzled.
    """

    cubes: Sequence[np.ndarray]
    frames: Sequence[Frame]
    psf: EffectivePsf
    grid: Grid
    star: tuple[float, float]
    transmission: np.ndarray | None = None
    pixfrac: float = 1.0

    @cached_property
    def frame(self) -> Frame:
        """The combined image's."""
        return Frame.of_grid(self.grid, *self.star)

    @cached_property
    def image_psf(self) -> EffectivePsf:
        """Of a companion in the combined image."""
        ratio = self.frame.pixel_scale / self.frames[0].pixel_scale
        return self.psf.drizzled(self.pixfrac, ratio)

    def transmitted(
        self, separation: float, pas: Sequence[float] = tuple(range(0, 360, 10))
    ) -> float:
        """Return the coronagraph's transmission at a separation, arcsec.

        The mean over exposures and position angles, degrees; 1 if it is not given.
        """
        if self.transmission is None:
            return 1.0
        places = np.array([frame.place(separation, pa) for frame in self.frames for pa in pas])
        return float(
            np.mean(map_coordinates(self.transmission, places.T[::-1], order=1, mode="nearest"))
        )
