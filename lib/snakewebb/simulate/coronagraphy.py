"""Coronagraphic observations: two rolls of a star with companions and a reference star, as files.

The optics are in ``snakewebb.simulate.coronagraph``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
from astropy.io import fits
from stdatamodels.jwst import datamodels

from snakewebb.dq import NON_SCIENCE
from snakewebb.geometry import Correction, from_plane
from snakewebb.simulate import apertures, detector, observation, scene
from snakewebb.simulate.coronagraph import ARCSEC, Coronagraph, Mask, Modes
from snakewebb.simulate.metadata import stage2_metadata
from snakewebb.simulate.observation import Frame, Observation

log = logging.getLogger(__name__)

RIPPLES = 30.0
"""Polishing errors of the mirrors, nm rms."""
WANDER = 0.15
"""Change of the wavefront from one integration to the next, as a fraction of the drift."""
LYOT_FIELD = 29.0
QUADRANT_FIELD = 23.8
"""Sides of MIRI's coronagraphic fields, arcsec."""


class Optics(NamedTuple):
    """What the files of a coronagraph are called, and its mask."""

    mask: Mask
    exposure_type: str
    coronagraph: str
    subarray: str
    field: float | None


OPTICS = {
    "NRCA5_MASK335R": Optics(
        Mask("round", 0.63, 0.6), "NRC_CORON", "MASKA335R", "SUB320A335R", None
    ),
    "MIRIM_MASK1140": Optics(
        Mask("4qpm", 0.0, 0.27), "MIR_4QPM", "4QPM_1140", "MASK1140", QUADRANT_FIELD
    ),
    "MIRIM_MASK1550": Optics(
        Mask("4qpm", 0.0, 0.27), "MIR_4QPM", "4QPM_1550", "MASK1550", QUADRANT_FIELD
    ),
    "MIRIM_MASKLYOT": Optics(
        Mask("spot", 2.16, 0.2), "MIR_LYOT", "LYOT_2300", "MASKLYOT", LYOT_FIELD
    ),
}
"""By SIAF aperture."""
SMALL_GRIDS = {5: "5-POINT-SMALL-GRID", 9: "9-POINT-SMALL-GRID"}


class Companion(NamedTuple):
    """A companion: arcsec, degrees East of North, and its flux over the star's."""

    separation: float
    position_angle: float
    contrast: float


@dataclass(frozen=True)
class CoronagraphicObservation:
    """All that decides the simulated files.

    Attributes
    ----------
    aperture : str
        A key of ``OPTICS``.
    filter : str
        A key of ``detector.FILTERS`` of the instrument.
    dithers : tuple of (x, y)
        Of the reference star: offsets of the pointing along the detector's axes, arcsec.
    companions : tuple of Companion
    rolls : tuple of float
        Position angles of V3 of the science exposures, degrees.
    reference_roll : float
    integrations, reference_integrations : int
        In each exposure.
    integration_time, reference_integration_time : float
        Seconds.
    star_flux, reference_flux : float
        Jy.
    seed : int
    npix : int, optional
        Side of a square about the mask; the coronagraph's subarray by default.
    ra, dec, reference_ra, reference_dec : float
        Of the stars, degrees.
    acquisition_error : float
        Of each visit, milliarcsec, rms of either axis.
    jitter : float
        Of each integration, the same.
    wavefront, drift : float
        Rms of the static wavefront error and of its change between visits, nm.
    cosmic_ray_rate : float
        Unnoticed cosmic rays in a million pixels of an integration.
    bad_fraction : float
        Share of dead and hot pixels.
    va_scale : float
        Velocity-aberration scale.
    program, number : int
        Program and number of the first observation; they decide the file names.
    """

    aperture: str
    filter: str
    dithers: tuple[tuple[float, float], ...]
    companions: tuple[Companion, ...] = ()
    rolls: tuple[float, ...] = (64.0, 74.0)
    reference_roll: float = 71.0
    integrations: int = 6
    reference_integrations: int = 3
    integration_time: float = 300.0
    reference_integration_time: float = 150.0
    star_flux: float = 0.7
    reference_flux: float = 1.4
    seed: int = 1
    npix: int | None = None
    ra: float = 311.2897
    dec: float = -31.3409
    reference_ra: float = 313.4
    reference_dec: float = -30.2
    acquisition_error: float = 10.0
    jitter: float = 1.0
    wavefront: float = 75.0
    drift: float = 8.0
    cosmic_ray_rate: float = 300.0
    bad_fraction: float = 0.002
    va_scale: float = 0.99995
    program: int = 1399
    number: int = 1

    @property
    def row(self) -> apertures.Aperture:
        """The aperture's place in the focal plane."""
        return apertures.apertures()[self.aperture]

    @property
    def product(self) -> str:
        """The association's product name."""
        instrument = self.row.instrument.lower()
        elements = [self.filter]
        if instrument == "nircam":
            elements.append("maskrnd")
        elements.append(f"sub{self.npix}" if self.npix else OPTICS[self.aperture].subarray)
        optics = "-".join(elements).lower()
        return f"jw{self.program:05d}-c1001_t001_{instrument}_{optics}"


@dataclass(frozen=True)
class Exposure:
    """One exposure with what the observer does not know of it.

    Attributes
    ----------
    name : str
        Root of the file name.
    exptype : str
        "science" or "psf".
    observation : Observation
        As if it were an image; for the metadata.
    frame : Frame
        As the observer believes it to be.
    start : float
        MJD.
    integrations : int
    time : float
        Of an integration, seconds.
    dither : (x, y)
        Of the pointing along the detector's axes, arcsec.
    star : (integrations, 2)
        Where the star falls, 0-based x and y.
    companions : (m, 2)
        Where the companions fall; they are painted at the mean pointing.
    flux : float
        Of the star, Jy.
    coefficients : (integrations, modes)
        Of the wavefront's change since the first integration of all, nm.
    """

    name: str
    exptype: str
    observation: Observation
    frame: Frame
    start: float
    integrations: int
    time: float
    dither: tuple[float, float]
    star: np.ndarray
    companions: np.ndarray
    flux: float
    coefficients: np.ndarray


class Telescope(NamedTuple):
    """What all exposures share: optics, shapes of the wavefront, its static part, flaws."""

    optics: Coronagraph
    modes: Modes
    static: np.ndarray
    flaws: detector.Flaws


def write(coronagraphic: CoronagraphicObservation, folder: str | Path) -> Path:
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
        model.save(folder / f"{exposure.name}_calints.fits")
        np.savez_compressed(truth / f"{exposure.name}_cosmic_rays.npz", **rays)
        log.info("%s simulated", exposure.name)

    throughput = optics.throughput_map()
    name = coronagraphic.product
    fits.writeto(truth / f"{name}_throughput.fits", throughput, overwrite=True)
    wavefronts = [static + modes.wavefront(e.coefficients.mean(axis=0)) for e in exposures]
    fits.writeto(truth / f"{name}_wavefront.fits", np.float32(wavefronts), overwrite=True)
    write_psfmask(coronagraphic, throughput, flaws, folder / "references" / "psfmask.fits")
    content = _truth(coronagraphic, exposures, optics, modes, static)
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
    center = _center(frame)
    return Coronagraph(
        OPTICS[coronagraphic.aperture].mask,
        band.wavelength * 1e-6,
        band.bandwidth * 1e-6,
        frame.size[::-1],
        center,
        _scale(frame, center),
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
    rays = {
        name: np.concatenate([getattr(ray, name) for ray in struck])
        for name in ("x", "y", "brightness", "significance")
    }
    rays["integration"] = np.repeat(np.arange(len(struck)), [len(ray.x) for ray in struck])
    meta = metadata(coronagraphic, exposure, nominal_area)
    model = datamodels.CubeModel(
        {
            **cubes,
            "area": area / np.float32(nominal_area),
            "int_times": integration_times(exposure),
            "meta": {**meta, "wcs": frame.wcs},
        }
    )
    return model, rays


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


def metadata(
    coronagraphic: CoronagraphicObservation, exposure: Exposure, pixel_area: float
) -> dict[str, Any]:
    """Return the ``meta`` tree of an exposure, but for the WCS itself."""
    optics, instrument = OPTICS[coronagraphic.aperture], coronagraphic.row.instrument
    image = exposure.observation
    meta = stage2_metadata(image, exposure.frame, pixel_area, (image.ra, image.dec), exposure.start)
    science = exposure.exptype == "science"
    star = "SIMULATED-STAR" if science else "REFERENCE-STAR"
    meta["target"] |= {"proposer_name": star, "catalog_name": star.replace("-", " ")}
    meta["instrument"] |= {"coronagraph": optics.coronagraph}
    if instrument == "NIRCAM":
        meta["instrument"] |= {"pupil": "MASKRND"}
    meta["exposure"] |= {
        "type": optics.exposure_type,
        "nints": exposure.integrations,
        "integration_start": 1,
        "integration_end": exposure.integrations,
        "integration_time": exposure.time,
        "ngroups": max(2, round(exposure.time / meta["exposure"]["group_time"])),
        "psf_reference": not science,
    }
    if not coronagraphic.npix:
        meta["subarray"] |= {"name": optics.subarray}
    meta["aperture"] |= {"name": coronagraphic.aperture, "pps_name": coronagraphic.aperture}
    meta["observation"] |= {
        "template": f"{instrument.replace('NIRCAM', 'NIRCam')} Coronagraphic Imaging"
    }
    meta["dither"]["primary_type"] = SMALL_GRIDS.get(len(image.dithers), "NONE")
    return meta


def write_psfmask(
    coronagraphic: CoronagraphicObservation,
    throughput: np.ndarray,
    flaws: detector.Flaws,
    path: Path,
) -> None:
    """Write the reference file PSFMASK: weights by throughput, 0 where no light falls."""
    weights = throughput * ((flaws.dq & NON_SCIENCE) == 0)
    optics, row = OPTICS[coronagraphic.aperture], coronagraphic.row
    meta = {
        "telescope": "JWST",
        "reftype": "psfmask",
        "pedigree": "DUMMY",
        "author": "snakewebb",
        "description": "Throughput of a simulated coronagraph",
        "useafter": "2022-01-01T00:00:00",
        "instrument": {
            "name": row.instrument,
            "detector": row.detector,
            "filter": coronagraphic.filter,
            "coronagraph": optics.coronagraph,
        },
        "exposure": {"type": optics.exposure_type},
        "subarray": {"name": "GENERIC" if coronagraphic.npix else optics.subarray},
    }
    model = datamodels.PsfMaskModel({"data": weights.astype(np.float32), "meta": meta})
    model.save(path)


def association(
    coronagraphic: CoronagraphicObservation, exposures: list[Exposure]
) -> dict[str, Any]:
    """Return a coron3 association as the archive makes it."""
    return {
        "asn_type": "coron3",
        "asn_rule": "candidate_Asn_Lv3Coron",
        "version_id": "20221118t120000",
        "code_version": "1.11.4",
        "degraded_status": "No known degraded exposures in association.",
        "program": f"{coronagraphic.program:05d}",
        "constraints": "No constraints",
        "asn_id": "c1001",
        "target": "t001",
        "asn_pool": f"jw{coronagraphic.program:05d}_20221118t120000_pool.csv",
        "products": [
            {
                "name": coronagraphic.product,
                "star_flux": coronagraphic.star_flux,
                "members": [
                    {"expname": f"{exposure.name}_calints.fits", "exptype": exposure.exptype}
                    for exposure in exposures
                ],
            }
        ],
    }


def _truth(
    coronagraphic: CoronagraphicObservation,
    exposures: list[Exposure],
    optics: Coronagraph,
    modes: Modes,
    static: np.ndarray,
) -> dict[str, Any]:
    peak = optics.image(np.rint(optics.center), static, masked=False).max()
    return {
        "star": {
            "ra": coronagraphic.ra,
            "dec": coronagraphic.dec,
            "flux": coronagraphic.star_flux,
        },
        "reference": {
            "ra": coronagraphic.reference_ra,
            "dec": coronagraphic.reference_dec,
            "flux": coronagraphic.reference_flux,
        },
        "companions": [
            {**companion._asdict(), "flux": companion.contrast * coronagraphic.star_flux}
            for companion in coronagraphic.companions
        ],
        "mask": {"x": optics.center[0], "y": optics.center[1]},
        "unocculted_peak": float(peak),
        "exposures": {
            exposure.name: {
                "exptype": exposure.exptype,
                "roll": exposure.frame.wcsinfo["roll_ref"],
                "dither": exposure.dither,
                "star": exposure.star.tolist(),
                "companions": exposure.companions.tolist(),
                "wavefront_rms": [
                    modes.rms(static + modes.wavefront(row)) for row in exposure.coefficients
                ],
                "wavefront_change_rms": [
                    modes.rms(modes.wavefront(row)) for row in exposure.coefficients
                ],
            }
            for exposure in exposures
        },
    }


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
        program=coronagraphic.program,
        number=coronagraphic.number,
    )


def _frame(
    coronagraphic: CoronagraphicObservation, index: int, roll: float, image: Observation
) -> Frame:
    """Return an exposure's frame: the dithered reference point sees the star."""
    row = coronagraphic.row
    start, size = apertures.central_subarray(row, coronagraphic.npix)

    def aimed(ra: float, dec: float) -> Frame:
        info = apertures.wcsinfo(row, apertures.Pointing(ra, dec, roll, row.v2_ref, row.v3_ref))
        wcs = apertures.make_wcs(row, info, start=start, size=size, va_scale=image.va_scale)
        info["crpix1"], info["crpix2"] = (
            r - s + 1 for r, s in zip(row.reference, start, strict=True)
        )
        return Frame(index, row.detector, wcs, info, start, size)

    frame = aimed(image.ra, image.dec)
    if not any(image.dithers[index]):
        return frame
    center = _center(frame)
    offset = np.divide(image.dithers[index], _scale(frame, center))
    return aimed(*map(float, frame.wcs(*(center + offset))))


def _center(frame: Frame) -> tuple[float, float]:
    """Return the reference point, 0-based x and y."""
    return frame.wcsinfo["crpix1"] - 1, frame.wcsinfo["crpix2"] - 1


def _scale(frame: Frame, center: tuple[float, float]) -> tuple[float, float]:
    """Return arcsec a pixel along x and y at the reference point."""
    target = frame.wcs(*center)
    here = Correction(*map(float, target), ((1.0, 0.0), (0.0, 1.0)), (0.0, 0.0))
    *_, jacobian = scene.locate(frame.wcs, frame.size[::-1], *np.transpose([target]), here, 0.0)
    return tuple(map(float, np.linalg.norm(jacobian[0], axis=0)))


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
    offsets = errors / _scale(frame, _center(frame))
    believed = np.stack((x, y), axis=-1)
    return believed[0] + offsets, believed[1:] + offsets.mean(axis=0)


def _generator(coronagraphic: CoronagraphicObservation, *key: int) -> np.random.Generator:
    return np.random.default_rng([coronagraphic.seed, *key])
