"""Where the exposures of a product lie on its grid: what joint steps hand to pixel work.

A layout is a small JSON file. With it and an exposure's facts a job knows the way from that
exposure's pixels to the grid, and which other exposures it meets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from snakewebb.wcs.geometry import Correction, Geometry
from snakewebb.wcs.grid import Grid

SAME_PIXELS = 0.5
"""Exposures so many of their pixels apart, or less, see the sky with the same ones."""
OUTLINE_SIDES = 8
"""So many straight pieces follow the side of a detector, which is bent by a few pixels."""


@dataclass(frozen=True)
class Placement:
    """Where an exposure lies on a grid.

    Attributes
    ----------
    group : str
        All detectors of one exposure share it.
    correction : Correction or None
        Of the exposure's pointing.
    bounds : (x0, x1, y0, y1)
        Grid columns and rows that it may touch, ends excluded.
    outline : (n, 2) float64
        The outline of its bounding box in grid pixels, in order.
    """

    group: str
    correction: Correction | None
    bounds: tuple[int, int, int, int]
    outline: np.ndarray

    @property
    def corners(self) -> np.ndarray:
        """The corners of the bounding box in grid pixels, (4, 2)."""
        return self.outline[:: len(self.outline) // 4]

    def meets(self, other: Placement) -> bool:
        """Return whether the bounds of two exposures overlap."""
        a, b = self.bounds, other.bounds
        return a[0] < b[1] and b[0] < a[1] and a[2] < b[3] and b[2] < a[3]

    def meets_rows(self, start: int, stop: int) -> bool:
        """Return whether the exposure may touch grid rows start to stop, end excluded."""
        return self.bounds[2] < stop and start < self.bounds[3]


@dataclass(frozen=True)
class Layout:
    """The grid of a product and its exposures, by name, in association order."""

    grid: Grid
    placements: dict[str, Placement]

    @cached_property
    def repeats(self) -> dict[str, int]:
        """How many exposures, each one itself among them, see the same sky with the same pixels."""
        corners = np.array([placement.corners for placement in self.placements.values()])
        near = SAME_PIXELS / self.grid.pixel_scale_ratio
        return {
            name: int(np.sum(np.abs(corners - placement.corners).max(axis=(1, 2)) <= near))
            for name, placement in self.placements.items()
        }

    def columns_per_row(self) -> int:
        """Return how many columns of exposures, one above the other, a grid row has at most."""
        change = np.zeros(self.grid.shape[0] + 1, int)
        for placement in self.placements.values():
            x0, x1, y0, y1 = placement.bounds
            change[y0] += x1 - x0
            change[y1] -= x1 - x0
        return int(change.cumsum().max())

    def to_dict(self) -> dict[str, Any]:
        """Return a form that JSON can hold."""
        return {
            "grid": self.grid.to_dict(),
            "exposures": {
                name: {
                    "group": placement.group,
                    "correction": placement.correction and placement.correction.to_dict(),
                    "bounds": placement.bounds,
                    "outline": placement.outline.round(4).tolist(),
                }
                for name, placement in self.placements.items()
            },
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Layout:
        """Make a layout from what `to_dict` returned."""
        return cls(
            Grid.from_dict(values["grid"]),
            {
                name: Placement(
                    entry["group"],
                    entry["correction"] and Correction.from_dict(entry["correction"]),
                    tuple(entry["bounds"]),
                    np.array(entry["outline"]),
                )
                for name, entry in values["exposures"].items()
            },
        )


def lay_out(
    geometries: Mapping[str, Geometry],
    groups: Mapping[str, str],
    corrections: Mapping[str, Correction | None],
    grid: Grid,
) -> Layout:
    """Place exposures on a grid.

    Parameters
    ----------
    geometries : mapping
        Corrected geometry by exposure name, in association order.
    groups, corrections : mapping
        By exposure name.
    grid : Grid
        The product's.
    """
    from snakewebb.wcs.pixel_map import PixelMap  # kernels, which layouts that are read do without

    return Layout(
        grid,
        {
            name: Placement(
                groups[name],
                corrections[name],
                PixelMap(geometry, grid).bounds(),
                _outline(geometry, grid),
            )
            for name, geometry in geometries.items()
        },
    )


def _outline(geometry: Geometry, grid: Grid) -> np.ndarray:
    step = max((min(geometry.ra.shape) - 1) // OUTLINE_SIDES, 1)
    return np.column_stack(grid.sky_to_pixel(*geometry.outline()))[::step]
