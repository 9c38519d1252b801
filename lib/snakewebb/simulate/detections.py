"""What star finders tell of many exposures, without their pixels; for tests of astrometry.

Light is aberrated exactly, about a guide star; detectors are not where the distortion has them;
pointings and rolls are off; stars move.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from snakewebb.astrometry.joint import WCSINFO, Frame
from snakewebb.astrometry.reference import parallax_factors
from snakewebb.simulate import apertures
from snakewebb.simulate.guiding import (
    GUIDE_STAR,
    aberrated,
    aberration_scale,
    turn_between,
    velocity,
)
from snakewebb.wcs.geometry import Correction
from snakewebb.wcs.sphere import from_plane, to_plane, unit_vectors

NIRCAM = tuple(f"NRC{m}{k}" for m in "AB" for k in ("1", "2", "3", "4", "LONG"))
SHORT, LONG = 0.031, 0.063
"""Arcsec a pixel."""


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What is observed, and how well.

    Attributes
    ----------
    dithers : sequence of ((float, float), int)
        Offsets, arcsec to the East and North, and the epoch of each exposure.
    epochs : sequence of (year, roll, va_scale)
        Decimal year; degrees; velocity-aberration scale.
    detectors : tuple of str
        Of NIRCam, at the same time.
    density : float
        Stars in a square arcsec, without those too faint.
    brightest : int
        So many of each detector's are found.
    noise, floor : (faintest, brightest), float
        Standard errors of positions that are told, and what adds to them, mas, either axis.
    pointing, roll, placement : float
        Standard deviations: mas, degrees, mas.
    guiding : float, optional
        Errors of pointing are those of an epoch, and differ by so much, mas, between its exposures;
        by default each exposure has its own.
    motion, parallax : float
        Of stars, mas a year and mas.
    outliers : float
        Share of positions that are off by 20 times their error.
    seed : int
    """

    dithers: tuple[tuple[tuple[float, float], int], ...]
    epochs: tuple[tuple[float, float, float], ...] = ((2022.6, 47.0, 0.99991),)
    detectors: tuple[str, ...] = NIRCAM
    density: float = 0.05
    brightest: int = 200
    noise: tuple[float, float] = (2.0, 0.2)
    floor: float = 0.3
    pointing: float = 80.0
    roll: float = 0.01
    placement: float = 1.5
    guiding: float | None = None
    motion: float = 4.0
    parallax: float = 0.1
    outliers: float = 0.0
    seed: int = 0
    ra: float = 53.16
    dec: float = -27.79

    @cached_property
    def rng(self) -> np.random.Generator:
        """The source of all that is drawn."""
        return np.random.default_rng(self.seed)


@dataclass(frozen=True)
class Seen:
    """Exposures by name, as `snakewebb.astrometry.tweakreg.align` takes them, and their truth.

    Attributes
    ----------
    catalogs : dict of str to columns
        With ``star``, which one it is.
    groups : dict of str to str
    frames : dict of str to Frame
    believed, true : dict of str to (5, 2) arrays
        RA and Dec, degrees, of each detector's middle and corners.
    stars : dict of arrays
        ``RA``, ``DEC`` at 2016, ``pmra``, ``pmdec``, ``parallax``, and ``magnitude``.
    placements : dict of str to (v2, v3, roll)
        By how much detectors are off, arcsec and radians.
    exposures : dict of str to dict
        What makes an exposure's WCS: ``wcsinfo``, ``va_scale``, ``pivot`` (the guide star in V2 and
        V3).
    """

    catalogs: dict[str, dict[str, np.ndarray]]
    groups: dict[str, str]
    frames: dict[str, Frame]
    believed: dict[str, np.ndarray]
    true: dict[str, np.ndarray]
    stars: dict[str, np.ndarray]
    placements: dict[str, np.ndarray]
    exposures: dict[str, dict[str, Any]]

    def errors(self, corrections: dict[str, Correction | None]) -> dict[str, np.ndarray]:
        """Return by how much middles and corners of exposures are off, (5, 2) each, mas."""
        places = {}
        for name, correction in corrections.items():
            ra, dec = self.believed[name].T
            if correction is not None:
                ra, dec = correction.apply(ra, dec)
            places[name] = np.stack((ra, dec), -1)
        return self.errors_of_places(places)

    def errors_of_places(self, places: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return by how much RA and Dec, degrees, of these are off, (5, 2) each, mas."""
        found = {}
        for name, place in places.items():
            off = place - self.true[name]
            off[:, 0] *= np.cos(np.radians(self.true[name][:, 1]))
            found[name] = 3.6e6 * off
        return found


def draw_stars(survey: Survey, reach: float) -> dict[str, np.ndarray]:
    """Draw stars within `reach` arcsec of the middle of a survey, in either direction."""
    rng = survey.rng
    n = rng.poisson(survey.density * (2 * reach) ** 2)
    east, north = rng.uniform(-reach, reach, (2, n))
    ra, dec = from_plane(east, north, survey.ra, survey.dec)
    return {
        "RA": ra,
        "DEC": dec,
        "pmra": rng.normal(0, survey.motion, n),
        "pmdec": rng.normal(0, survey.motion, n),
        "parallax": np.abs(rng.normal(0, survey.parallax, n)),
        "magnitude": 26.0 - rng.exponential(1.8, n),
    }


def observe(survey: Survey, stars: dict[str, np.ndarray] | None = None) -> Seen:
    """Observe stars with all exposures of a survey."""
    rng = survey.rng
    rows = {name: apertures.imaging_aperture(name) for name in survey.detectors}
    v2, v3 = apertures.middle_of(survey.detectors)
    if stars is None:
        offsets = np.array([offset for offset, _ in survey.dithers])
        stars = draw_stars(survey, 180.0 + np.abs(offsets).max())
    placements = {}
    for name in survey.detectors:
        half = _scale(name) * 1024
        shift = rng.normal(0, survey.placement / 1000, 2)
        placements[name] = np.array([*shift, rng.normal(0, survey.placement / 1000 / half)])
    seen = Seen({}, {}, {}, {}, {}, stars, placements, {})
    plane = np.stack(to_plane(stars["RA"], stars["DEC"], survey.ra, survey.dec), -1)
    field = max(np.hypot(r.v2_ref - v2, r.v3_ref - v3) + 1600 * _scale(n) for n, r in rows.items())
    common = [_pointing_error(survey) for _ in survey.epochs]
    for number, (offset, epoch) in enumerate(survey.dithers):
        year, roll, va_scale = survey.epochs[epoch]
        middle = apertures.Pointing(survey.ra, survey.dec, roll, v2, v3)
        star_ra, star_dec, _ = middle.at(*GUIDE_STAR)
        motion = velocity(va_scale, survey.ra, survey.dec)
        ra, dec = from_plane(*offset, survey.ra, survey.dec)
        believed = apertures.Pointing(float(ra), float(dec), roll, v2, v3)
        star = unit_vectors(star_ra, star_dec)
        error = _pointing_error(survey)
        if survey.guiding is not None:
            shift, turn = common[epoch]
            error = shift + rng.normal(0, survey.guiding / 1000, 2), turn
        true = _tilt(believed, *error) @ turn_between(star, aberrated(star, motion))
        true = true @ believed.attitude
        # those that may be in the field, whose corners are 1448 pixels from its detectors' middles
        close = np.flatnonzero(np.abs(plane - offset).max(axis=1) < field)
        where = _positions({key: column[close] for key, column in stars.items()}, year)
        directions = aberrated(unit_vectors(*where), motion) @ true
        at = 3600 * np.degrees(
            np.stack(
                (np.arctan2(directions[:, 1], directions[:, 0]), np.arcsin(directions[:, 2])), -1
            )
        )
        pivot = np.array(believed.find(star_ra, star_dec))
        for name, row in rows.items():
            half = _scale(name) * 1024
            angle = np.radians(row.v3yangle)
            axes = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
            place = np.array([row.v2_ref, row.v3_ref])
            own = np.flatnonzero((np.abs((at - place) @ axes) < half).all(axis=1))
            own = own[np.argsort(stars["magnitude"][close[own]])[: survey.brightest]]
            inside, spot = close[own], at[own]
            info = apertures.wcsinfo(row, believed)
            scale = aberration_scale(motion, info["ra_ref"], info["dec_ref"])
            exposure = f"e{number:05d}_{name.lower()}"
            faint = 10 ** (0.4 * np.clip(stars["magnitude"][inside] - 26.0, -8, 0))
            told = np.maximum(survey.noise[0] * faint, survey.noise[1])
            noise = np.hypot(told, survey.floor) / 1000
            off = rng.normal(0, 1, (len(inside), 2)) * noise[:, None]
            bad = rng.random(len(inside)) < survey.outliers
            off[bad] += 20 * rng.normal(0, 1, (bad.sum(), 2)) * noise[bad, None]
            moved, turn = placements[name][:2], placements[name][2]
            own = _rotated(spot - place, -turn) + place - moved + off
            sky = _sky(believed.attitude, scale * own + (1 - scale) * pivot)
            seen.catalogs[exposure] = {
                "RA": sky[:, 0],
                "DEC": sky[:, 1],
                "flux": 10 ** (-0.4 * stars["magnitude"][inside]),
                "error": told / 1000,
                "star": inside,
            }
            spots = np.array([(0, 0), (-1, -1), (1, -1), (1, 1), (-1, 1)]) * half @ axes.T + place
            seen.believed[exposure] = _sky(believed.attitude, scale * spots + (1 - scale) * pivot)
            real = _rotated(spots + moved - place, turn) + place
            rays = unit_vectors(*(real / 3600).T) @ true.T
            real_sky = aberrated(rays, -motion)
            seen.true[exposure] = np.stack(
                (
                    np.degrees(np.arctan2(real_sky[:, 1], real_sky[:, 0])) % 360,
                    np.degrees(np.arctan2(real_sky[:, 2], np.hypot(*real_sky[:, :2].T))),
                ),
                -1,
            )
            seen.exposures[exposure] = {
                "wcsinfo": info,
                "va_scale": scale,
                "pivot": pivot.tolist(),
            }
            seen.groups[exposure] = f"group{number:05d}"
            long = name.endswith("LONG")
            seen.frames[exposure] = Frame(
                detector=name,
                optics="F356W CLEAR" if long else "F200W CLEAR",
                visit=f"visit{epoch}",
                epoch=year,
                wcsinfo={k: info[k] for k in WCSINFO},
                half=half,
                placement_error=2.0,
            )
    return seen


def _pointing_error(survey: Survey) -> tuple[np.ndarray, float]:
    """Draw a shift to the East and North, arcsec, and a roll, radians."""
    shift = survey.rng.normal(0, survey.pointing / 1000, 2)
    return shift, float(np.radians(survey.rng.normal(0, survey.roll)))


def _scale(detector: str) -> float:
    return LONG if detector.endswith("LONG") else SHORT


def _positions(stars: dict[str, np.ndarray], year: float) -> tuple[np.ndarray, np.ndarray]:
    """Return where stars are in a year."""
    ra, dec = stars["RA"], stars["DEC"]
    move = (year - 2016.0) * np.stack((stars["pmra"], stars["pmdec"]), -1)
    move = move + stars["parallax"][:, None] * parallax_factors(ra, dec, year)
    return ra + move[:, 0] / 3.6e6 / np.cos(np.radians(dec)), dec + move[:, 1] / 3.6e6


def _tilt(pointing: apertures.Pointing, shift: np.ndarray, roll: float) -> np.ndarray:
    """Return the small rotation of the sky that errors of pointing (arcsec) and roll are."""
    a, d = np.radians(pointing.ra), np.radians(pointing.dec)
    ahead = unit_vectors(pointing.ra, pointing.dec)
    east = np.array([-np.sin(a), np.cos(a), 0.0])
    north = np.array([-np.sin(d) * np.cos(a), -np.sin(d) * np.sin(a), np.cos(d)])
    x, y, z = (-shift[1] * east + shift[0] * north) * np.radians(1 / 3600) + roll * ahead
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + cross + cross @ cross / 2


def _rotated(points: np.ndarray, angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return points @ np.array([[c, s], [-s, c]])


def _sky(attitude: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return RA and Dec, degrees, of V2 and V3 (arcsec)."""
    x, y, z = (unit_vectors(*(places / 3600).T) @ attitude.T).T
    return np.stack(
        (np.degrees(np.arctan2(y, x)) % 360, np.degrees(np.arctan2(z, np.hypot(x, y)))), -1
    )
