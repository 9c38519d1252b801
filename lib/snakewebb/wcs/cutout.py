"""Images that other tools cut out of the frame that their gWCS is for."""

from __future__ import annotations

import logging
from pathlib import Path

from snakewebb.errors import InputError
from snakewebb.io.asdf_tree import AsdfTree
from snakewebb.io.fits_structure import read_tree
from snakewebb.io.headers import number, read_header
from snakewebb.io.planes import image_shape
from snakewebb.wcs.geometry import Box

log = logging.getLogger(__name__)


def is_part(box: Box | None, shape: tuple[int, ...]) -> bool:
    """Return whether the bounding box of a gWCS reaches beyond an image (…, ny, nx)."""
    return box is not None and any(
        high > n for (_, high), n in zip(box, shape[:-3:-1], strict=True)
    )


def cut_corner(path: str | Path) -> tuple[int, int] | None:
    """Return where an exposure's image was cut out of the frame of its gWCS.

    Other tools crop SCI, ERR and DQ and move CRPIX in the header, and leave the ASDF tree as it
    was: the difference of its CRPIX tells.

    Returns
    -------
    (x, y) or None
        The pixel of the frame, from 0, that is the image's first. None if the image is not smaller
        than the frame, there is no gWCS, or nothing tells.
    """
    try:
        before = AsdfTree(read_tree(path)).value("meta.wcsinfo") or {}
    except ValueError:  # no gWCS, which a reference can do without
        return None
    header = read_header(path)
    now = [number(header, key, path=path) for key in ("CRPIX1", "CRPIX2")]
    then = [before.get(key) for key in ("crpix1", "crpix2")]
    corner = [
        round(t - n)
        for t, n in zip(then, now, strict=True)
        if isinstance(t, int | float) and n is not None
    ]
    if corner == [0, 0]:
        return None
    from snakewebb.wcs.sampling import read_sky  # kernels, which whole frames don't need

    try:
        box = read_sky(path).bounding_box
    except InputError:  # a reference needs none
        return None
    if not is_part(box, image_shape(path)):
        return None
    if len(corner) < 2:
        log.warning("%s: is cut out of its gWCS's frame, nothing tells where", path)
        return None
    x, y = corner
    log.info("%s: is cut out of its gWCS's frame at %d, %d", path, x, y)
    return x, y
