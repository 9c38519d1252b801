"""Whole observations: exposures, association and truth, as files."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from astropy.table import Table, vstack
from stdatamodels.jwst import datamodels

from snakewebb.references.detectors import cross_of
from snakewebb.references.filters import Filter
from snakewebb.simulate import apertures, detector, scene
from snakewebb.simulate.guiding import GuidedSky, Guiding, aberration_scale
from snakewebb.simulate.metadata import stage2_metadata
from snakewebb.simulate.model import Frame, Observation
from snakewebb.simulate.psf import Psf, make_psf
from snakewebb.simulate.wavefront import flight_psf
from snakewebb.wcs.geometry import Correction
from snakewebb.wcs.sphere import from_plane, to_plane, unit_vectors

log = logging.getLogger(__name__)

FAINTEST = {"NIRCAM": 2e-8, "MIRI": 2e-6, "NIRISS": 3e-8, "FGS": 3e-8}
"""Flux of the faintest stars, Jy: near the detection limit of 1000 s."""
OVERHEAD = 120.0
"""Seconds between two exposures."""
FIRST_EXPOSURE = 59900.5
"""MJD."""
SCENE_MARGIN = 3.0
"""Arcsec by which the scene is larger than the field."""
Save = Callable[[datamodels.JwstDataModel, Path, str], None]
"""Saves an exposure to a folder; the last argument is the root of its name."""


@dataclass(frozen=True)
class Truth:
    """What the observer does not know of an exposure.

    Attributes
    ----------
    pointing : Correction
        From believed to true sky positions.
    sky : float
        MJy/sr.
    """

    pointing: Correction
    sky: float

    def to_dict(self) -> dict[str, Any]:
        """Return a form that JSON can hold."""
        (c, s), _ = self.pointing.matrix
        return {
            "pointing": self.pointing.to_dict(),
            "east_mas": 1000 * self.pointing.shift[0],
            "north_mas": 1000 * self.pointing.shift[1],
            "roll_arcsec": float(np.degrees(np.arctan2(s, c)) * 3600),
            "sky": self.sky,
        }


def save_calibrated(model: datamodels.JwstDataModel, folder: Path, name: str) -> None:
    """Save an exposure as ``{name}_cal.fits``, or ``_calints`` if it is a cube."""
    suffix = "cal" if model.data.ndim == 2 else "calints"
    model.save(folder / f"{name}_{suffix}.fits")


def write(observation: Observation, folder: str | Path, *, save: Save = save_calibrated) -> Path:
    """Simulate an observation and write its files.

    Parameters
    ----------
    observation : Observation
    folder : path
        Gets the ``_cal`` exposures, the association, and ``truth/`` with: ``{product}_sources
        .ecsv``; for each exposure ``{exposure}.json`` (pointing error, sky level) and
        ``{exposure}_cosmic_rays.npz`` (the arrays of `detector.CosmicRays`).
    save : callable, optional
        What saves an exposure.

    Returns
    -------
    Path
        The association.
    """
    folder = Path(folder)
    members = write_exposures(observation, folder, save)
    path = folder / (
        f"jw{observation.program:05d}-o{observation.number:03d}_20221118t120000_image3_"
        f"{observation.activity:05d}_asn.json"
    )
    write_json(path, association(observation, [f"{name}_cal.fits" for name in members]))
    return path


def write_exposures(observation: Observation, folder: Path, save: Save) -> list[str]:
    """Write all but the association; return the roots of the exposures' names."""
    (folder / "truth").mkdir(parents=True, exist_ok=True)
    exposures = believed_frames(observation)
    sources = observation.sources
    if sources is None:
        sources = random_sources(observation, [frame for frames in exposures for frame in frames])
    members = []
    for index, frames in enumerate(exposures):
        truth = draw_truth(observation, index, frames)
        seen = sources
        if observation.moving:
            ra, dec = target_position(observation, index)
            seen = vstack(
                [sources, scene.catalog([ra], [dec], [observation.target_flux], type="target")]
            )
        for frame in frames:
            name = exposure_name(observation, index, frame.detector)
            own = placed(observation, frame, truth)
            model, rays = simulate(observation, frame, own, seen)
            save(model, folder, name)
            np.savez_compressed(folder / "truth" / f"{name}_cosmic_rays.npz", **vars(rays))
            write_json(folder / "truth" / f"{name}.json", own.to_dict())
            members.append(name)
            log.info("%s simulated", name)
    sources.write(
        folder / "truth" / f"{observation.product}_sources.ecsv",
        overwrite=True,
        format="ascii.ecsv",
    )
    return members


def simulate(
    observation: Observation, frame: Frame, truth: Truth, sources: Table
) -> tuple[datamodels.ImageModel, detector.CosmicRays]:
    """Make one exposure of one detector."""
    nx, ny = frame.size
    area = scene.pixel_area(frame.sky, (ny, nx))
    nominal_area = float(area[ny // 2, nx // 2])
    image = scene.paint(
        sources, frame.sky, area, filter_psf(observation, nominal_area), truth.pointing
    )
    aperture = apertures.imaging_aperture(frame.detector)
    flaws = detector.make_flaws(
        observation.instrument,
        frame.detector,
        aperture.full_size,
        frame.start,
        frame.size,
        observation.bad_fraction,
        observation.seed,
    )
    if observation.noisy_fraction:
        own = np.random.default_rng([observation.seed, 5, crc32(frame.detector.encode())])
        flaws = detector.with_noisy_pixels(flaws, observation.noisy_fraction, own)
    planes, rays = detector.expose(
        _generator(
            observation,
            4 if observation.is_background else 2,
            frame.exposure,
            crc32(frame.detector.encode()),
        ),
        np.maximum(image + np.float32(truth.sky), 0),
        observation.instrument,
        observation.filter,
        observation.exposure_time,
        flaws,
        observation.cosmic_ray_rate,
        observation.inflating_rays,
    )
    meta = stage2_metadata(
        observation,
        frame,
        nominal_area,
        target_position(observation, frame.exposure),
        FIRST_EXPOSURE + frame.exposure * (observation.exposure_time + OVERHEAD) / 86400,
    )
    model = datamodels.ImageModel(
        {**planes, "area": area / np.float32(nominal_area), "meta": {**meta, "wcs": frame.wcs}}
    )
    return model, rays


def filter_psf(observation: Observation, pixel_area: float) -> Psf:
    """Return the PSF of the observation's filter for a pixel of given area, steradians."""
    band = detector.FILTERS[observation.instrument][observation.filter]
    scale = round(float(np.degrees(np.sqrt(pixel_area)) * 3600), 4)
    if observation.wavefront is not None:
        metres = Filter(band.wavelength * 1e-6, band.bandwidth * 1e-6)
        cross = cross_of(observation.instrument, observation.filter)
        return flight_psf(metres, scale, observation.wavefront, cross)
    return make_psf(band.wavelength * 1e-6, band.bandwidth * 1e-6, scale)


def exposure_name(observation: Observation, exposure: int, detector_name: str) -> str:
    """Return the root of an exposure's file names."""
    return (
        f"jw{observation.program:05d}{observation.number:03d}001_021{observation.activity:02d}_"
        f"{exposure + 1:05d}_{detector_name.lower()}"
    )


def believed_frames(observation: Observation) -> list[list[Frame]]:
    """Return, for each exposure, its detectors with the WCS that the files will carry."""
    rows = {name: apertures.imaging_aperture(name) for name in observation.detectors}
    if observation.wcs is not None:
        return [
            [
                Frame(
                    i,
                    name,
                    *by_detector[name],
                    (1, 1),
                    rows[name].full_size,
                    observation.va_scale,
                    by_detector[name][0],
                )
                for name in observation.detectors
            ]
            for i, by_detector in enumerate(observation.wcs)
        ]
    v2, v3 = apertures.middle_of(observation.detectors)
    exposures = []
    for index, dither in enumerate(observation.dithers):
        ra, dec = pointed_at(observation, index, dither)
        pointing = apertures.Pointing(ra, dec, observation.roll, v2, v3)
        exposures.append([make_frame(observation, index, r, pointing) for r in rows.values()])
    return exposures


def make_frame(
    observation: Observation,
    exposure: int,
    row: apertures.Aperture,
    pointing: apertures.Pointing,
) -> Frame:
    """Return an aperture as it looks at the sky, cut to the observation's subarray."""
    start, size = apertures.central_subarray(row, observation.npix)
    info = apertures.wcsinfo(row, pointing)
    scale, pivot = observation.va_scale, None
    guided = observation.dva_pivot == "guide_star"
    if guided:
        guiding = Guiding.of(observation)
        scale = aberration_scale(guiding.velocity, info["ra_ref"], info["dec_ref"])
        pivot = pointing.find(guiding.ra, guiding.dec)
    wcs = apertures.make_wcs(row, info, start=start, size=size, va_scale=scale, pivot=pivot)
    info["crpix1"], info["crpix2"] = (r - s + 1 for r, s in zip(row.reference, start, strict=True))
    sky = GuidedSky(wcs, pointing, guiding) if guided else wcs
    return Frame(exposure, row.detector, wcs, info, start, size, scale, sky)


def target_position(observation: Observation, exposure: int) -> tuple[float, float]:
    """Return RA and Dec (degrees) of the target in the middle of an exposure."""
    hours = (exposure * (observation.exposure_time + OVERHEAD)) / 3600
    east, north = (rate * hours for rate in observation.motion)
    ra, dec = map(float, from_plane(east, north, observation.ra, observation.dec))
    return ra, dec


def pointed_at(
    observation: Observation, exposure: int, dither: tuple[float, float]
) -> tuple[float, float]:
    """Return RA and Dec (degrees) that the middle of the detectors is meant to see."""
    row = apertures.imaging_aperture(observation.detectors[0])
    angle = np.radians(observation.roll + row.v3yangle)
    x, y = dither
    east = -x * np.cos(angle) + y * np.sin(angle)
    north = x * np.sin(angle) + y * np.cos(angle)
    ra, dec = map(float, from_plane(east, north, *target_position(observation, exposure)))
    return ra, dec


def random_sources(observation: Observation, frames: list[Frame]) -> Table:
    """Draw the catalogue that covers all frames."""
    plane = middle(frames)
    outlines = np.array([to_plane(*frame.corners(), *plane) for frame in frames])
    low, high = outlines.min(axis=(0, 2)) - SCENE_MARGIN, outlines.max(axis=(0, 2)) + SCENE_MARGIN
    xi, eta = (low + high) / 2
    ra, dec = map(float, from_plane(xi, eta, *plane))
    x, y = outlines[0]
    frame_area = 0.5 * abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))
    frames_in_scene = np.prod(high - low) / frame_area
    return scene.random_catalog(
        np.random.default_rng([observation.seed, int(observation.is_background)]),
        (ra, dec),
        tuple(high - low),
        stars=round(observation.stars * frames_in_scene),
        galaxies=round(observation.galaxies * frames_in_scene),
        faintest=FAINTEST[observation.instrument],
    )


def draw_truth(observation: Observation, exposure: int, frames: list[Frame]) -> Truth:
    """Draw an exposure's pointing error and sky level."""
    rng = _generator(observation, 1, exposure)
    east, north = rng.standard_normal(2) * observation.pointing_error / 1000
    roll = np.radians(rng.standard_normal() * observation.roll_error / 3600)
    sky = observation.sky
    if sky is None:
        sky = detector.FILTERS[observation.instrument][observation.filter].sky
    sky *= max(0.1, 1 + observation.sky_scatter * rng.standard_normal())
    c, s = float(np.cos(roll)), float(np.sin(roll))
    pointing = Correction(*middle(frames), ((c, s), (-s, c)), (float(east), float(north)))
    return Truth(pointing, float(sky))


def placed(observation: Observation, frame: Frame, truth: Truth) -> Truth:
    """Return the truth of one detector, which is not quite where it is believed to be."""
    if not observation.placement_error:
        return truth
    rng = np.random.default_rng([observation.seed, 7, crc32(frame.detector.encode())])
    *move, turn = rng.standard_normal(3) * observation.placement_error / 1000
    pointing = truth.pointing
    corners = np.stack(to_plane(*frame.corners(), pointing.ra0, pointing.dec0), -1)
    centre = corners.mean(axis=0)
    angle = turn / (np.hypot(*(corners - centre).T).mean() / np.sqrt(2))
    roll = np.radians(frame.wcsinfo["roll_ref"])
    axes = np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])  # V2, V3
    c, s = np.cos(angle), np.sin(angle)
    own, whole = np.array([[c, -s], [s, c]]), np.array(pointing.matrix)
    shift = whole @ (centre - own @ centre + axes @ move) + pointing.shift
    (a, b), (d, e) = (whole @ own).tolist()
    east, north = shift.tolist()
    moved = Correction(pointing.ra0, pointing.dec0, ((a, b), (d, e)), (east, north))
    return Truth(moved, truth.sky)


def middle(frames: list[Frame]) -> tuple[float, float]:
    """Return RA and Dec (degrees) of the mean of all corners."""
    corners = np.concatenate([unit_vectors(*frame.corners()) for frame in frames])
    x, y, z = corners.sum(axis=0)
    ra, dec = np.arctan2(y, x), np.arctan2(z, np.hypot(x, y))
    return float(np.degrees(ra)) % 360, float(np.degrees(dec))


def association(observation: Observation, members: list[str]) -> dict[str, Any]:
    """Return an image3 association as the archive makes it."""
    return {
        "asn_type": "image3",
        "asn_rule": "Asn_Lv3Image",
        "version_id": "20221118t120000",
        "code_version": "1.11.4",
        "degraded_status": "No known degraded exposures in association.",
        "program": f"{observation.program:05d}",
        "constraints": "DMSAttrConstraint({'name': 'program', 'sources': ['program'], "
        f"'value': '{observation.program}'}})",
        "asn_id": f"o{observation.number:03d}",
        "target": "t001",
        "asn_pool": f"jw{observation.program:05d}_20221118t120000_pool.csv",
        "products": [
            {
                "name": observation.product,
                "members": [
                    {
                        "expname": name,
                        "exptype": "science",
                        "exposerr": "null",
                        "asn_candidate": f"[('o{observation.number:03d}', 'observation')]",
                    }
                    for name in members
                ],
            }
        ],
    }


def _generator(observation: Observation, *key: int) -> np.random.Generator:
    return np.random.default_rng([observation.seed, observation.activity, *key])


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON for people too."""
    path.write_text(json.dumps(content, indent=4) + "\n", encoding="utf-8")
