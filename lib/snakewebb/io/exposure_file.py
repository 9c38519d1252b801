"""An opened exposure: what steps ask of its file is read when it is first asked for, and once."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np

from snakewebb.io.asdf_tree import AsdfTree
from snakewebb.io.fits_structure import find
from snakewebb.io.hdus import sound_tree
from snakewebb.io.planes import INVALIDATED, Planes, invalidate, read_planes, total_error


class ExposureFile:
    """The file of an exposure, or of a product made of one.

    Parameters
    ----------
    path : path
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def __str__(self) -> str:
        return str(self.path)

    @cached_property
    def tree(self) -> AsdfTree | None:
        """Its ASDF tree, as `snakewebb.io.hdus.sound_tree` has it; None if there is none."""
        if find(self.path, "ASDF") is None:
            return None
        try:
            return sound_tree(self.path)
        except ValueError:
            return None

    @cached_property
    def planes(self) -> Planes:
        """DQ, without flags if the file has none, and those of ``INVALIDATED`` that are there.

        What changes them in place changes what others see.
        """
        known = read_planes(self.path, ("DQ", *INVALIDATED))
        planes = {name: plane for name, plane in known.items() if plane is not None}
        planes.setdefault("DQ", np.zeros(planes["SCI"].shape, np.uint32))
        return planes

    @cached_property
    def valid_planes(self) -> Planes:
        """These, in which NaN and DO_NOT_USE agree, see `snakewebb.io.planes.invalidate`."""
        invalidate(self.planes)
        return self.planes

    def forget(self) -> None:
        """Read anew what is asked for next: what was read has been changed."""
        for known in ("tree", "planes", "valid_planes"):
            self.__dict__.pop(known, None)

    def measured(self) -> Planes:
        """Return valid SCI, ERR and DQ; without ERR it is what variances amount to, else None."""
        planes = {name: self.valid_planes.get(name) for name in ("SCI", "ERR", "DQ")}
        if planes["ERR"] is None:
            planes["ERR"] = total_error(self.valid_planes)
        return planes


def opened(source: str | Path | ExposureFile) -> ExposureFile:
    """Return the exposure at a path, or the one that is opened already."""
    return source if isinstance(source, ExposureFile) else ExposureFile(source)
