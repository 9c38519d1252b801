"""Coronagraphic observations: two rolls of a star with companions and a reference star, as files.

The optics are in ``snakewebb.simulate.coronagraph``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from zlib import crc32

import numpy as np
from astropy.io import fits
from stdatamodels.jwst import datamodels

from snakewebb.simulate import apertures, detector, observation, scene
from snakewebb.simulate.coron_files import (
    association,
    center_of,
    metadata,
    scale_at,
    truth_of,
    write_psfmask,
)
from snakewebb.simulate.coron_model import (
    OPTICS,
    Companion,
    CoronagraphicObservation,
    Exposure,
    Telescope,
)
from snakewebb.simulate.coronagraph import ARCSEC, Coronagraph, Modes
from snakewebb.simulate.model import Frame, Observation
from snakewebb.wcs.geometry import Correction
from snakewebb.wcs.sphere import from_plane

log = logging.getLogger(__name__)

RIPPLES = 30.0
"""Polishing errors of the mirrors, nm rms."""
WANDER = 0.15
"""Change of the wavefront from one integration to the next, as a fraction of the drift."""


def write(
    coronagraphic: CoronagraphicObservation,
    folder: str | Path,
    *,
    save: observation.Save = observation.save_calibrated,
) -> Path:
    """Simulate a coronagraphic observation and write its files.

    Parameters
    ----------
    coronagraphic : CoronagraphicObservation
    folder : path
        Gets the ``_calints`` exposures, the association, ``references/psfmask.fits`` (for
        align_refs), and ``truth/`` with ``{product}.json`` (stars, companions, pointing and
        wavefront of every exposure), ``{product}_throughput.fits`` (share of the light that passes
        the mask, for a source at each pixel), ``{product}_wavefront.fits`` (nm over the pupil; one
        plane an exposure, its mean) and for each exposure ``{exposure}_cosmic_rays.npz`` (the
        arrays of `detector.CosmicRays` and ``integration``).
    save : callable, optional
        What saves an exposure.

    Returns
    -------
    Path
        The association.
    """
    folder = Path(folder)
    truth = folder / "truth"
    for path in (truth, folder / "references"):
        path.mkdir(parents=True, exist_ok=True)
    telescope = make_telescope(coronagraphic)
    optics, modes, static, flaws = telescope
    exposures = list(draw_exposures(coronagraphic, modes))
    for exposure in exposures:
        model, rays = simulate(coronagraphic, telescope, exposure)
        save(model, folder, exposure.name)
        np.savez_compressed(truth / f"{exposure.name}_cosmic_rays.npz", allow_pickle=False, **rays)
        log.info("%s simulated", exposure.name)

    throughput = optics.throughput_map()
    name = coronagraphic.product
    fits.writeto(truth / f"{name}_throughput.fits", throughput, overwrite=True)
    wavefronts = [static + modes.wavefront(e.coefficients.mean(axis=0)) for e in exposures]
    fits.writeto(truth / f"{name}_wavefront.fits", np.array(wavefronts, np.float32), overwrite=True)
    write_psfmask(coronagraphic, throughput, flaws, folder / "references" / "psfmask.fits")
    content = truth_of(coronagraphic, exposures, optics, modes, static)
    observation.write_json(truth / f"{name}.json", content)
    path = folder / (f"jw{coronagraphic.program:05d}-c1001_20221118t120000_coron3_00001_asn.json")
    observation.write_json(path, association(coronagraphic, exposures))
    return path


def make_telescope(coronagraphic: CoronagraphicObservation) -> Telescope:
    """Return what all exposures share."""
    optics = coronagraph(coronagraphic)
    modes = Modes(*optics.pupil)
    rng = _generator(coronagraphic, 0)
    static = modes.wavefront(modes.draw(rng, coronagraphic.wavefront))
    static += modes.ripples(rng, RIPPLES)
    return Telescope(optics, modes, static, make_flaws(coronagraphic, optics))


def coronagraph(coronagraphic: CoronagraphicObservation) -> Coronagraph:
    """Return the optics; the mask is centred on the aperture's reference point."""
    frame = _frame(coronagraphic, 0, coronagraphic.rolls[0], _science(coronagraphic))
    band = detector.FILTERS[coronagraphic.row.instrument][coronagraphic.filter]
    center = center_of(frame)
    return Coronagraph(
        OPTICS[coronagraphic.aperture].mask,
        band.wavelength * 1e-6,
        band.bandwidth * 1e-6,
        frame.size[::-1],
        center,
        scale_at(frame, center),
    )


def make_flaws(coronagraphic: CoronagraphicObservation, optics: Coronagraph) -> detector.Flaws:
    """Return the detector's fixed flaws."""
    row = coronagraphic.row
    start, size = apertures.central_subarray(row, coronagraphic.npix)
    lit = None
    field = OPTICS[coronagraphic.aperture].field
    if field:
        x, y = (
            np.abs(np.arange(n) - c) * s < field / 2
            for n, c, s in zip(size, optics.center, optics.scale, strict=True)
        )
        lit = y[:, None] & x
    return detector.make_flaws(
        row.instrument,
        row.detector,
        row.full_size,
        start,
        size,
        coronagraphic.bad_fraction,
        coronagraphic.seed,
        lit=lit,
    )


def draw_exposures(coronagraphic: CoronagraphicObservation, modes: Modes) -> Iterator[Exposure]:
    """Yield the exposures: one for each roll, then one for each dither of the reference star.

    Each roll is an observation, and so is the reference star with all its dithers: the telescope
    acquires the star anew, and the wavefront has drifted.
    """
    reference = replace(
        _science(coronagraphic),
        ra=coronagraphic.reference_ra,
        dec=coronagraphic.reference_dec,
        number=coronagraphic.number + len(coronagraphic.rolls),
        dithers=coronagraphic.dithers,
        exposure_time=coronagraphic.reference_integrations
        * coronagraphic.reference_integration_time,
    )
    visits = [
        (roll, replace(_science(coronagraphic), number=coronagraphic.number + i))
        for i, roll in enumerate(coronagraphic.rolls)
    ]
    visits.append((coronagraphic.reference_roll, reference))
    start = observation.FIRST_EXPOSURE
    coefficients = np.zeros(len(modes.shapes))
    for visit, (roll, image) in enumerate(visits):
        rng = _generator(coronagraphic, 1, visit)
        if visit:
            coefficients = coefficients + modes.draw(rng, coronagraphic.drift)
        acquisition = rng.standard_normal(2) * coronagraphic.acquisition_error / 1000
        science = image is not reference
        n = coronagraphic.integrations if science else coronagraphic.reference_integrations
        for index, dither in enumerate(image.dithers):
            steps = [modes.draw(rng, WANDER * coronagraphic.drift) for _ in range(n)]
            walk = coefficients + np.cumsum(steps, axis=0)
            coefficients = walk[-1]
            jitter = rng.standard_normal((n, 2)) * coronagraphic.jitter / 1000
            frame = _frame(coronagraphic, index, roll, image)
            companions = coronagraphic.companions if science else ()
            star, planets = _positions(frame, image, companions, acquisition + jitter)
            yield Exposure(
                name=observation.exposure_name(image, index, coronagraphic.row.detector),
                exptype="science" if science else "psf",
                observation=image,
                frame=frame,
                start=start,
                integrations=n,
                time=image.exposure_time / n,
                dither=dither,
                star=star,
                companions=planets,
                flux=coronagraphic.star_flux if science else coronagraphic.reference_flux,
                coefficients=walk,
            )
            start += (image.exposure_time + observation.OVERHEAD) / 86400


def simulate(
    coronagraphic: CoronagraphicObservation, telescope: Telescope, exposure: Exposure
) -> tuple[datamodels.CubeModel, dict[str, np.ndarray]]:
    """Make one exposure and the list of its cosmic rays."""
    optics, modes, static, flaws = telescope
    rng = _generator(coronagraphic, 3, crc32(exposure.name.encode()))
    frame, instrument = exposure.frame, coronagraphic.row.instrument
    area = scene.pixel_area(frame.wcs, frame.size[::-1])
    nominal_area = float(optics.scale[0] * optics.scale[1] * ARCSEC**2)
    brightness = 1e-6 / nominal_area
    background = detector.FILTERS[instrument][coronagraphic.filter].sky + np.zeros(area.shape)
    wavefronts = [static + modes.wavefront(row) for row in exposure.coefficients]
    if len(exposure.companions):
        for companion, position in zip(coronagraphic.companions, exposure.companions, strict=True):
            flux = exposure.flux * companion.contrast * brightness
            background += flux * optics.image(position, np.mean(wavefronts, axis=0))
    planes, struck = [], []
    for position, wavefront in zip(exposure.star, wavefronts, strict=True):
        image = background + exposure.flux * brightness * optics.image(position, wavefront)
        integration, rays = detector.expose(
            rng,
            np.maximum(image, 0).astype(np.float32),
            instrument,
            coronagraphic.filter,
            exposure.time,
            flaws,
            coronagraphic.cosmic_ray_rate,
        )
        planes.append(integration)
        struck.append(rays)
    cubes = {name: np.stack([plane[name] for plane in planes]) for name in planes[0]}
    of_all = {
        name: np.concatenate([getattr(ray, name) for ray in struck])
        for name in ("x", "y", "brightness", "significance")
    }
    of_all["integration"] = np.repeat(np.arange(len(struck)), [len(ray.x) for ray in struck])
    meta = metadata(coronagraphic, exposure, nominal_area)
    model = datamodels.CubeModel(
        {
            **cubes,
            "area": area / np.float32(nominal_area),
            "int_times": integration_times(exposure),
            "meta": {**meta, "wcs": frame.wcs},
        }
    )
    return model, of_all


def integration_times(exposure: Exposure) -> np.ndarray:
    """Return the table INT_TIMES; the barycentre's clock is taken to be the telescope's."""
    n = exposure.integrations
    start = exposure.start + np.arange(n) * exposure.time / 86400
    times = [start + part * exposure.time / 86400 for part in (0, 0.5, 1)]
    columns = [
        f"int_{when}_{clock}"
        for clock in ("MJD_UTC", "BJD_TDB")
        for when in ("start", "mid", "end")
    ]
    kinds = [("integration_number", "i4"), *((name, "f8") for name in columns)]
    return np.array(list(zip(np.arange(1, n + 1), *times, *times, strict=True)), kinds)


def _science(coronagraphic: CoronagraphicObservation) -> Observation:
    return Observation(
        detectors=(coronagraphic.row.detector,),
        filter=coronagraphic.filter,
        dithers=((0.0, 0.0),),
        npix=coronagraphic.npix,
        ra=coronagraphic.ra,
        dec=coronagraphic.dec,
        exposure_time=coronagraphic.integrations * coronagraphic.integration_time,
        va_scale=coronagraphic.va_scale,
        dva_pivot=coronagraphic.dva_pivot,
        program=coronagraphic.program,
        number=coronagraphic.number,
    )


def _frame(
    coronagraphic: CoronagraphicObservation, index: int, roll: float, image: Observation
) -> Frame:
    """Return an exposure's frame: the dithered reference point sees the star."""
    row = coronagraphic.row

    def aimed(ra: float, dec: float) -> Frame:
        pointing = apertures.Pointing(ra, dec, roll, row.v2_ref, row.v3_ref)
        return observation.make_frame(image, index, row, pointing)

    frame = aimed(image.ra, image.dec)
    if not any(image.dithers[index]):
        return frame
    center = center_of(frame)
    offset = np.divide(image.dithers[index], scale_at(frame, center))
    return aimed(*map(float, frame.wcs(*(center + offset))))


def _positions(
    frame: Frame,
    image: Observation,
    companions: tuple[Companion, ...],
    errors: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return where star (each integration) and companions (on average) truly fall.

    ``errors`` (integrations, 2) are the star's offsets along the detector's axes, arcsec.
    """
    angle = np.radians([companion.position_angle for companion in companions])
    separation = np.array([companion.separation for companion in companions])
    ra, dec = from_plane(
        np.append(0.0, separation * np.sin(angle)),
        np.append(0.0, separation * np.cos(angle)),
        image.ra,
        image.dec,
    )
    here = Correction(image.ra, image.dec, ((1.0, 0.0), (0.0, 1.0)), (0.0, 0.0))
    margin = 1e6  # companions outside spill in
    _, x, y, _ = scene.locate(frame.wcs, frame.size[::-1], ra, dec, here, margin)
    offsets = errors / scale_at(frame, center_of(frame))
    believed = np.stack((x, y), axis=-1)
    return believed[0] + offsets, believed[1:] + offsets.mean(axis=0)


def _generator(coronagraphic: CoronagraphicObservation, *key: int) -> np.random.Generator:
    return np.random.default_rng([coronagraphic.seed, *key])
