"""How the WCS of a product differs from that of the exposure it is made of.

Copies are written by `snakewebb.products.exposure_copy`, which knows no corrections: it is told the
steps of the gWCS and the keywords.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from snakewebb.wcs.geometry import Correction, Geometry
from snakewebb.wcs.gwcs_yaml import corrected_steps, cut_steps, moved_steps
from snakewebb.wcs.sip import FITS_WCS, sip_keywords, sky_of
from snakewebb.wcs.sphere import s_region

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Pointing:
    """Where an exposure points, as it is to be written.

    Attributes
    ----------
    correction : Correction, optional
        The gWCS, S_REGION and the FITS WCS keywords follow it.
    geometry : Geometry, optional
        The exposure's, uncorrected. S_REGION is made from it, corrected or not. Without it a
        correction takes longer to write.
    sip : mapping, optional
        Options of `snakewebb.wcs.sip.sip_keywords`; None to write no FITS WCS keywords where the
        correction makes the old ones wrong.
    moving_target : bool, optional
        The correction follows a moving target; see `snakewebb.wcs.gwcs_library.corrected_wcs`.
    wcsinfo : mapping, optional
        Other values for ``meta.wcsinfo``, such as ``mt_avra``.
    corner : (x, y), optional
        The pixel of its gWCS's frame that is the first of the image, if it was cut out of that;
        see `snakewebb.wcs.gwcs_yaml.cut_steps`.
    """

    correction: Correction | None = None
    geometry: Geometry | None = None
    sip: Mapping[str, Any] | None = field(default_factory=dict)
    moving_target: bool = False
    wcsinfo: Mapping[str, Any] = field(default_factory=dict)
    corner: tuple[int, int] | None = None


@dataclass(frozen=True)
class WcsChange:
    """What of a WCS is new.

    Attributes
    ----------
    steps : yaml.Node, or callable that makes one of that which is there; optional
        The steps of the gWCS; None if they stay.
    keywords : mapping, optional
        FITS keywords, also of ``meta.wcsinfo``.
    forgotten : collection of str, optional
        Keywords that no longer hold; those of `keywords` are set all the same.
    wcs : yaml.Node, optional
        A whole gWCS, for a file that has none or another.
    """

    steps: yaml.Node | Callable[[yaml.Node], yaml.Node] | None = None
    keywords: Mapping[str, Any] = field(default_factory=dict)
    forgotten: Collection[str] = ()
    wcs: yaml.Node | None = None


def correction_change(
    geometry: Geometry,
    correction: Correction | None = None,
    sip: Mapping[str, Any] | None = None,
    crpix: tuple[float | None, float | None] = (None, None),
) -> WcsChange:
    """Return what a correction of the pointing changes.

    Parameters
    ----------
    geometry : Geometry
        The exposure's, uncorrected.
    correction : Correction, optional
        None: the pointing stays, but S_REGION is made from the geometry, and what is scaled about
        another point follows it.
    sip : mapping, optional
        Options of `snakewebb.wcs.sip.sip_keywords`; None for no FITS WCS keywords.
    crpix : (x, y), optional
        The reference pixel of the old keywords.
    """
    corrected = geometry.corrected(correction)
    keywords: dict[str, Any] = {"S_REGION": s_region(*corrected.corners())}
    moved = any(geometry.pivot_shift)
    if correction is None and not moved:
        return WcsChange(keywords=keywords)
    if sip is not None:
        keywords |= sip_keywords(sky_of(corrected), corrected.bounding_box, crpix, **sip)

    def steps(known: yaml.Node) -> yaml.Node:
        known = moved_steps(known, geometry.pivot_shift) if moved else known
        return known if correction is None else corrected_steps(known, geometry, correction)

    return WcsChange(steps, keywords, [name.upper() for name in FITS_WCS])


def cutout_change(
    corner: tuple[int, int],
    shape: tuple[int, int],
    name: str,
    pivot_shift: tuple[float, float] = (0.0, 0.0),
) -> WcsChange:
    """Return what changes where an image is a part of the frame that its gWCS is for.

    Parameters
    ----------
    corner : (x, y)
        The frame's pixel that is the image's first.
    shape : (ny, nx)
    name : str
        Of the file; for a warning where the gWCS stays that of the frame.
    pivot_shift : (v2, v3), optional
        That of the frame's `snakewebb.wcs.geometry.Geometry`.
    """

    def steps(known: yaml.Node) -> yaml.Node:
        known = moved_steps(known, pivot_shift) if any(pivot_shift) else known
        try:
            return cut_steps(known, corner, shape)
        except ValueError as error:
            log.warning("%s: keeps the gWCS of the frame that it was cut out of (%s)", name, error)
            return known

    return WcsChange(steps)
