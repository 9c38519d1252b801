"""How good an alignment of simulated detections is; and catalogues like Gaia's of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from snakewebb.astrometry.tweakreg import Alignment
from snakewebb.simulate.detections import Seen
from snakewebb.wcs.sphere import to_plane

PLANE = (53.16, -27.79)
"""The tangent point, degrees: the middle of surveys."""


def places(seen: Seen) -> np.ndarray:
    """Return middles and corners of exposures on a plane, arcsec, (m, 5, 2)."""
    sky = np.array(list(seen.true.values()))
    return np.stack(to_plane(sky[..., 0], sky[..., 1], *PLANE), -1)


def errors_of(seen: Seen, alignment: Alignment) -> np.ndarray:
    """Return by how much these are off, mas, (m, 5, 2)."""
    corrections = {name: q.correction for name, q in alignment.exposures.items()}
    return np.array(list(seen.errors(corrections).values()))


def rigid_design(points: np.ndarray, about: np.ndarray | None = None) -> np.ndarray:
    """Return what a shift and a roll do to points, (2 n, 3)."""
    u = points.reshape(-1, 2) - (points.reshape(-1, 2).mean(axis=0) if about is None else about)
    design = np.zeros((2 * len(u), 3))
    design[0::2, 0] = design[1::2, 1] = 1
    design[0::2, 2], design[1::2, 2] = -u[:, 1], u[:, 0]
    return design


def without_rigid(errors: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Take off what errors have in common as a shift and a roll."""
    design, flat = rigid_design(points), errors.reshape(-1)
    return (flat - design @ np.linalg.lstsq(design, flat, rcond=None)[0]).reshape(errors.shape)


def rms(values: ArrayLike) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.mean(np.square(values))))


def relative(seen: Seen, alignment: Alignment) -> float:
    """Return the rms of errors, either axis, without what all have in common."""
    return rms(without_rigid(errors_of(seen, alignment), places(seen)))


def between_detectors(seen: Seen, alignment: Alignment) -> float:
    """Return the same within exposures, each without what its detectors have in common."""
    errors, points = errors_of(seen, alignment), places(seen)
    groups = np.array(list(seen.groups.values()))
    own = [without_rigid(errors[groups == g], points[groups == g]) for g in np.unique(groups)]
    return rms(np.concatenate(own))


def between_epochs(seen: Seen, alignment: Alignment) -> float:
    """Return the rms difference of detectors' mean errors in two epochs."""
    errors = without_rigid(errors_of(seen, alignment), places(seen)).mean(axis=1)
    visit = np.array([f.visit for f in seen.frames.values()])
    detector = np.array([f.detector for f in seen.frames.values()])
    means = [
        [errors[(visit == v) & (detector == d)].mean(axis=0) for d in np.unique(detector)]
        for v in np.unique(visit)
    ]
    one, other = means
    return rms(np.subtract(one, other))


def gaia(seen: Seen, rng: np.random.Generator, magnitude: float = 21.0) -> dict[str, np.ndarray]:
    """Return a catalogue of 2016 of the bright stars, with errors and correlations."""
    stars, n = seen.stars, len(seen.stars["RA"])
    sigma = np.array([0.3, 0.3, 0.3, 0.25, 0.25])
    correlation = np.eye(5)
    for i, j, value in ((0, 3, 0.3), (1, 4, -0.2), (0, 1, 0.1), (2, 3, 0.2)):
        correlation[i, j] = correlation[j, i] = value
    off = rng.multivariate_normal(np.zeros(5), correlation * np.outer(sigma, sigma), n).T
    columns = {
        "RA": stars["RA"] + off[0] / 3.6e6 / np.cos(np.radians(stars["DEC"])),
        "DEC": stars["DEC"] + off[1] / 3.6e6,
        "ref_epoch": np.full(n, 2016.0),
        "parallax": stars["parallax"] + off[2],
        "pmra": stars["pmra"] + off[3],
        "pmdec": stars["pmdec"] + off[4],
    }
    names = ("ra", "dec", "parallax", "pmra", "pmdec")
    columns |= {f"{name}_error": np.full(n, s) for name, s in zip(names, sigma, strict=True)}
    columns |= {
        f"{a}_{b}_corr": np.full(n, correlation[i, j])
        for i, a in enumerate(names)
        for j, b in enumerate(names)
        if i < j
    }
    bright = stars["magnitude"] < magnitude
    return {key: column[bright] for key, column in columns.items()}
