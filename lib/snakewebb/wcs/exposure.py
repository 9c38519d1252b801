"""What steps need to know of an exposure: its header and its geometry."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from snakewebb.errors import InputError
from snakewebb.io.atomic import replacing
from snakewebb.io.headers import facts
from snakewebb.io.names import exposure_name
from snakewebb.io.planes import image_shape
from snakewebb.wcs.geometry import Geometry, PixelToSky
from snakewebb.wcs.sampling import MAX_REFERENCE_DISTANCE, geometry_of, read_sky
from snakewebb.wcs.sphere import unit_vectors


def read_geometry(path: str | Path) -> dict[str, Any]:
    """Return an exposure's facts with its geometry; see `locate`."""
    return locate(path)[0]


def locate(path: str | Path) -> tuple[dict[str, Any], PixelToSky]:
    """Return an exposure's facts with its geometry, and the map from its pixels to the sky.

    Parameters
    ----------
    path : path
        A stage-2 exposure.

    Returns
    -------
    known : dict
        For JSON: what `snakewebb.io.planes.facts` returns, the ``exposure``'s name, the number of
        its image's ``dimensions`` and its ``geometry``.
    sky : PixelToSky

    Raises
    ------
    InputError
        The file has no gWCS, or one that is none of an image, or contradicts the header.
    """
    known = {"exposure": exposure_name(path), **facts(path)}
    _check_wcsinfo(known["wcsinfo"], str(path))
    image = image_shape(path)
    known["dimensions"], shape = len(image), image[-2:]
    sky = read_sky(path)
    geometry = geometry_of(sky, shape, known["wcsinfo"], str(path))
    if str(known["target_type"]).upper() != "MOVING":  # which may have been brought to its mean
        reference, center = (
            unit_vectors(*place)
            for place in ((geometry.ra_ref, geometry.dec_ref), geometry.center())
        )
        off = float(np.degrees(np.linalg.norm(reference - center)))
        if off > MAX_REFERENCE_DISTANCE:
            raise InputError(
                f"{path}: RA_REF and DEC_REF are {60 * off:.3g} arcmin off where its gWCS puts the "
                "image: run assign_wcs again"
            )
    known["geometry"] = geometry.to_dict()
    return known, sky


def _check_wcsinfo(wcsinfo: dict[str, Any], path: str) -> None:
    """Raise where the header has no such number."""
    missing = [name for name, value in wcsinfo.items() if value is None]
    if missing:
        raise InputError(
            f"{path}: its header has no number for {', '.join(missing)} (wcsinfo): run assign_wcs "
            "on it"
        )


Facts = Callable[[str], tuple[dict[str, Any], Geometry]]
"""Tells an exposure's facts and uncorrected geometry by its name."""


def parse_facts(text: str | bytes) -> tuple[dict[str, Any], Geometry]:
    """Return an exposure's facts and uncorrected geometry from JSON."""
    known = json.loads(text)
    return known, Geometry.from_dict(known.pop("geometry"))


def archive_facts(target: str | Path, facts: Mapping[str, Mapping[str, Any]]) -> None:
    """Keep the facts of a product's exposures, by name, in one file that `open_facts` reads.

    Workflows of thousands of exposures depend on one file where they would on thousands.
    """
    with replacing(target) as file, zipfile.ZipFile(file, "w") as archive:
        for name, known in facts.items():
            archive.writestr(zipfile.ZipInfo(name), json.dumps(known))  # without a time


@contextmanager
def open_facts(path: str | Path) -> Iterator[Facts]:
    """Open what `archive_facts` wrote; several threads may ask, for the same again and again."""
    with zipfile.ZipFile(path) as archive:
        yield lru_cache(maxsize=200)(lambda name: parse_facts(archive.read(name)))
