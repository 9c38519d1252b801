"""Exposures whose gWCS are those of a real survey, under a sky as the telescope sees it."""

import copy
import warnings

import asdf
import numpy as np

from snakewebb.simulate import observation as simulate
from snakewebb.simulate.model import Observation
from snakewebb.wcs.geometry import Correction
from snakewebb.wcs.sphere import from_plane, to_plane, unit_vectors

SAMPLES = np.array([(x, y) for x in (300.0, 1023.5, 1750.0) for y in (300.0, 1023.5, 1750.0)])


def read_survey(folder, exposure, detectors):
    """The gWCS and wcsinfo of detectors in an exposure of CEERS."""
    found = {}
    for detector in detectors:
        (path,) = folder.glob(f"*_{exposure}_{detector.lower()}_tweakreg.asdf")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tags of an older asdf
            with asdf.open(path, lazy_load=False) as tree:
                found[detector] = tree["wcs"], dict(tree["wcsinfo"])
    return found


def moved(wcs, info, east, north):
    """The same gWCS, pointed elsewhere; arcsec."""
    wcs, info = copy.deepcopy(wcs), dict(info)
    ra, dec = map(float, from_plane(east, north, info["ra_ref"], info["dec_ref"]))
    transform = wcs.pipeline[-2].transform
    (name,) = (
        name
        for name in transform.param_names
        if name.startswith("angles") and getattr(transform, name).value.size == 5
    )
    angles = np.array(getattr(transform, name).value)
    angles[3:] = angles[3] + dec - info["dec_ref"], angles[4] - (ra - info["ra_ref"])
    setattr(transform, name, angles)
    return wcs, {**info, "ra_ref": ra, "dec_ref": dec}


def rigid_offsets(exposure):
    """How far each detector is off a telescope whose detectors keep their places, arcsec.

    The telescope's pointing, roll and scale are those that suit all detectors of the exposure best.
    """
    place = next(iter(exposure.values()))[1]
    focal, sky = [], []
    for wcs, _ in exposure.values():
        x, y = SAMPLES.T
        v2, v3 = wcs.get_transform("detector", "v2v3")(x, y)
        focal.append(np.array([v2, v3]).T)
        ra, dec = wcs(x, y, with_bounding_box=False)
        sky.append(np.array(to_plane(ra, dec, place["ra_ref"], place["dec_ref"])).T)
    middle = np.mean(np.concatenate(focal), axis=0)
    v = [np.array(to_plane(*(f.T / 3600), *(middle / 3600))) for f in focal]
    plane = np.concatenate([a + 1j * b for a, b in v])
    seen = np.concatenate([s[:, 0] + 1j * s[:, 1] for s in sky])
    best = None
    for u in (plane, plane.conj()):
        terms = np.column_stack((np.ones(len(u)), u))
        rest = seen - terms @ np.linalg.lstsq(terms, seen, rcond=None)[0]
        best = rest if best is None or np.std(rest) < np.std(best) else best
    means = best.reshape(len(exposure), -1).mean(axis=1)
    return {d: (m.real, m.imag) for d, m in zip(exposure, means, strict=True)}


def write_survey(folder, exposures, *, stars, seed=1):
    """Write exposures of a sky that a rigid telescope sees, with the gWCS of a survey.

    Returns the files, in order, and by how much each is off, (n, 2), mas.
    """
    detectors = tuple(exposures[0])
    observation = Observation(
        detectors=detectors, filter="F200W", dithers=(), wcs=tuple(exposures), stars=stars,
        galaxies=0, cosmic_ray_rate=0.0, sky_scatter=0.0, seed=seed, program=1345,
    )  # fmt: skip
    frames = simulate.believed_frames(observation)
    sources = simulate.random_sources(observation, [f for each in frames for f in each])
    folder.mkdir(parents=True, exist_ok=True)
    paths, offsets = [], []
    for index, own in enumerate(frames):
        off = rigid_offsets(exposures[index])
        for frame in own:
            east, north = off[frame.detector]
            x, y, z = unit_vectors(*frame.corners()).mean(axis=0)
            middle = np.degrees(np.arctan2(y, x)) % 360, np.degrees(np.arctan2(z, np.hypot(x, y)))
            # what the gWCS has too far East the telescope sees farther West
            identity = ((1.0, 0.0), (0.0, 1.0))
            pointing = Correction(*map(float, middle), identity, (-east, -north))
            truth = simulate.Truth(pointing, 0.2)
            model, _ = simulate.simulate(observation, frame, truth, sources)
            name = simulate.exposure_name(observation, index, frame.detector)
            simulate.save_calibrated(model, folder, name)
            paths.append(folder / f"{name}_cal.fits")
            offsets.append((1000 * east, 1000 * north))
    return paths, np.array(offsets)
