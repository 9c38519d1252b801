"""What steps need to know of an exposure: its header and its geometry."""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from snakewebb.errors import InputError
from snakewebb.io.asdf_tree import AsdfTree
from snakewebb.io.atomic import replacing
from snakewebb.io.headers import ExposureHeader, exposure_header, read_header
from snakewebb.io.names import exposure_name
from snakewebb.io.planes import image_shape
from snakewebb.io.records import parse_record, read_record, record_text, write_record
from snakewebb.wcs.aberration import aberration_of, pivot_shift, shifted, shifted_sky
from snakewebb.wcs.geometry import Geometry, PixelToSky
from snakewebb.wcs.gwcs_yaml import aberration_offsets, is_correctable
from snakewebb.wcs.sampling import MAX_REFERENCE_DISTANCE, geometry_of, read_asdf, read_sky
from snakewebb.wcs.sphere import unit_vectors

log = logging.getLogger(__name__)

VERSION = 2
"""Of the format of files."""
SAME_OFFSET = 1e-5
"""Arcseconds, by which offsets of a gWCS may be off what is expected."""


@dataclass(frozen=True)
class Exposure:
    """What steps need to know of an exposure besides its pixels.

    Attributes
    ----------
    name : str
    header : ExposureHeader
    dimensions : int
        Of its image: 2, or 3 with integrations.
    geometry : Geometry
        Not corrected.
    typical_weights : dict of str to float
        By ``weight_type``, see `snakewebb.mosaicking.weights.typical_weights`, once measured.
    sources : dict of str to (n,) arrays
        See `snakewebb.jobs.find_sources.sources_of_exposure`, once found.
    """

    name: str
    header: ExposureHeader
    dimensions: int
    geometry: Geometry
    typical_weights: dict[str, float] = field(default_factory=dict)
    sources: Mapping[str, Any] = field(default_factory=dict)

    def write(self, path: str | Path) -> None:
        """Write what is known of the exposure as JSON."""
        write_record(path, self._to_dict(), VERSION)

    @classmethod
    def read(cls, path: str | Path) -> Exposure:
        """Read what `write` wrote.

        Raises
        ------
        InputError
            See `snakewebb.io.records.parse_record`.
        """
        return _exposure(read_record(path, VERSION))

    def _to_dict(self) -> dict[str, Any]:
        sources = {name: np.asarray(column).tolist() for name, column in self.sources.items()}
        return {
            **vars(self),
            "header": asdict(self.header),
            "geometry": self.geometry.to_dict(),
            "sources": sources,
        }


def _exposure(values: dict[str, Any]) -> Exposure:
    header, geometry = ExposureHeader(**values["header"]), Geometry.from_dict(values["geometry"])
    return Exposure(**{**values, "header": header, "geometry": geometry})


def read_geometry(path: str | Path, dva_pivot: str = "guide_star") -> Geometry:
    """Return the geometry of a stage-2 exposure; see `locate`."""
    return locate(path, dva_pivot)[0].geometry


def locate(path: str | Path, dva_pivot: str = "guide_star") -> tuple[Exposure, PixelToSky]:
    """Return what is known of an exposure, and the map from its pixels to the sky.

    Parameters
    ----------
    path : path
        A stage-2 exposure.
    dva_pivot : {'guide_star', 'aperture'}, optional
        Whether velocity aberration that was scaled about the aperture, which is what jwst does, is
        to be scaled about the guide star; see `snakewebb.wcs.aberration`.

    Raises
    ------
    InputError
        The file has no gWCS, or one that is none of an image, or contradicts the header.
    """
    header = exposure_header(path)
    _check_wcsinfo(header.wcsinfo, str(path))
    *images, ny, nx = image_shape(path)
    sky = read_sky(path)
    geometry = geometry_of(sky, (ny, nx), header.wcsinfo, str(path))
    if dva_pivot == "guide_star":
        geometry, sky = _about_guide_star(path, geometry, sky)
    if not header.is_moving:  # which may have been brought to its mean
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
    return Exposure(exposure_name(path), header, 2 + len(images), geometry), sky


def _about_guide_star(
    path: str | Path, geometry: Geometry, sky: PixelToSky
) -> tuple[Geometry, PixelToSky]:
    """Scale velocity aberration about the guide star, where jwst's assign_wcs has done it."""
    header, wcsinfo = read_header(path), vars(geometry)
    shift = pivot_shift(header, wcsinfo, path)
    if not any(shift):
        return geometry, sky
    theirs = aberration_of(header, wcsinfo, path, about_aperture=True).shift
    steps = AsdfTree(read_asdf(path)).node("meta.wcs.steps")
    if not is_correctable(steps, geometry) or not _has_offsets(steps, theirs):
        # it was aligned since, and with it the aberration
        log.info("%s: its gWCS is not as assign_wcs makes it: its aberration stays", path)
        return geometry, sky
    size = 1000.0 * float(np.hypot(*shift))
    log.info("%s: moved by %.3g mas, by velocity aberration about the guide star", path, size)
    return replace(shifted(geometry, shift), pivot_shift=shift), shifted_sky(sky, wcsinfo, shift)


def _has_offsets(steps: yaml.Node | None, expected: tuple[float, float]) -> bool:
    """Return whether these arcseconds follow the scaling of velocity aberration in a gWCS."""
    try:
        offsets = [float(offset.value) for offset in aberration_offsets(steps)]
    except ValueError:
        return False
    return np.allclose(offsets, expected, rtol=0, atol=SAME_OFFSET)


def _check_wcsinfo(wcsinfo: Mapping[str, float | None], path: str) -> None:
    """Raise where the header has no such number."""
    missing = [name for name, value in wcsinfo.items() if value is None]
    if missing:
        raise InputError(
            f"{path}: its header has no number for {', '.join(missing)} (wcsinfo): run assign_wcs "
            "on it"
        )


Exposures = Callable[[str], Exposure]
"""Tells what is known of an exposure by its name."""


def archive_exposures(target: str | Path, exposures: Iterable[Exposure]) -> None:
    """Keep a product's exposures, without their sources, in one file that `open_exposures` reads.

    Workflows of thousands of exposures depend on one file where they would on thousands.
    """
    with replacing(target) as file, zipfile.ZipFile(file, "w") as archive:
        for exposure in exposures:
            text = record_text(replace(exposure, sources={})._to_dict(), VERSION)
            archive.writestr(zipfile.ZipInfo(exposure.name), text)  # without a time


@contextmanager
def open_exposures(path: str | Path) -> Iterator[Exposures]:
    """Open what `archive_exposures` wrote; threads may ask for the same again and again.

    Raises
    ------
    InputError
        It is no such file; see `snakewebb.io.records.parse_record`, too.
    """
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile:
        raise InputError(f"{path}: is no archive of snakewebb: remove it and run again") from None
    with archive:
        yield lru_cache(maxsize=200)(
            lambda name: _exposure(parse_record(archive.read(name), VERSION, path))
        )
