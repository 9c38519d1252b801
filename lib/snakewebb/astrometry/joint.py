"""From detections to the joint adjustment, and what it tells of exposures."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from snakewebb.astrometry.joining import MAS, Detections, adopt, mean_places
from snakewebb.astrometry.matching import Affine
from snakewebb.astrometry.network import adjust
from snakewebb.astrometry.precision import common_motion, pivots, standard_errors
from snakewebb.astrometry.reference import compass, parallax_factors
from snakewebb.astrometry.residuals import residual_notes
from snakewebb.astrometry.rigid import apply_fits
from snakewebb.astrometry.unknowns import Exposures, KnownStars, Measurements, Prior, maps
from snakewebb.astrometry.visits import NEAR, Inherited, inherited, map_of, pose_of, seen_again
from snakewebb.wcs.exposure import Exposure
from snakewebb.wcs.sphere import to_plane

NETWORK_GEOMETRIES = ("shift", "rshift")
"""Values of ``fitgeometry`` that say what an attitude is; others are of rigid groups."""
WCSINFO = ("ra_ref", "dec_ref", "roll_ref", "v2_ref", "v3_ref")
ROLL = 0.1
"""Radians: standard deviation of rolls, which is no constraint."""
SAME_ROLL = np.radians(1.0)
"""Rolls nearer than this do not tell a detector's placement from its attitude."""


@dataclass(frozen=True)
class Frame:
    """What an adjustment needs to know of an exposure besides its stars.

    Attributes
    ----------
    detector, optics : str
        Its detector, its filter and pupil.
    visit : str or None
    epoch : float or None
        Decimal year.
    wcsinfo : mapping
        ra_ref, dec_ref and roll_ref: where it looks, and the position angle of V3; degrees. v2_ref
        and v3_ref: the same in the focal plane, arcsec.
    half : float
        Half the side of its image, arcsec.
    placement_error : float
        Standard deviation of its detector's placement, mas; 0: it is where it should be.
    """

    detector: str
    optics: str
    visit: str | None
    epoch: float | None
    wcsinfo: Mapping[str, float]
    half: float
    placement_error: float

    @classmethod
    def of(cls, exposure: Exposure, placement_error: float) -> Frame:
        """Return that of an exposure."""
        header, geometry = exposure.header, exposure.geometry
        wcsinfo = {name: getattr(geometry, name) for name in WCSINFO}
        half = 1800.0 * geometry.pixel_scale * max(geometry.shape)
        optics = " ".join(filter(None, (header.filter, header.pupil)))
        return cls(
            str(header.detector), optics, header.visit, header.epoch, wcsinfo, half, placement_error
        )

    @property
    def placement(self) -> str:
        """What its detector's placement is called."""
        return f"{self.detector} {self.optics}".strip()


def mean_epoch(frames: Iterable[Frame]) -> float | None:
    """Return the mean of those that are known, decimal year."""
    known = [frame.epoch for frame in frames if frame.epoch is not None]
    return float(np.mean(known)) if known else None


@dataclass(frozen=True)
class Placement:
    """Where a detector was found beside where it should be.

    Attributes
    ----------
    name : str
        Detector, filter and pupil.
    v2, v3, error, prior : float
        By how much its image moves, the standard error of either, and that before anything was
        measured, mas.
    roll : float
        By how much it turns, arcsec.
    n_matches : int
    """

    name: str
    v2: float
    v3: float
    error: float
    prior: float
    roll: float
    n_matches: int


@dataclass(frozen=True)
class Joint:
    """The result for an island.

    Attributes
    ----------
    maps, attitudes : dict of int to Affine
        By exposure; by attitude, without the placements of detectors.
    errors, pulls : dict of int to float
        Standard error of its centre, mas, either axis; root mean square of its residuals over
        their errors, NaN without any.
    placements : list of Placement
    noise : dict of str to float
        Of positions by filter, mas.
    chi_square, freedom, known_pull : float
        See `snakewebb.astrometry.network.Adjustment`; the last is the root of half the mean square,
        NaN without a catalogue.
    residuals : dict
        See `snakewebb.astrometry.residuals.residual_notes`.
    """

    maps: dict[int, Affine]
    attitudes: dict[int, Affine]
    errors: dict[int, float]
    pulls: dict[int, float]
    placements: list[Placement]
    noise: dict[str, float]
    chi_square: float
    freedom: float
    known_pull: float
    residuals: dict[str, Any] = field(default_factory=dict)

    def notes(self) -> dict[str, Any]:
        """Return what is noted of the adjustment beside its exposures."""
        return {
            "placements": [vars(placement) for placement in self.placements],
            "noise": self.noise,
            "chi_square": self.chi_square,
            "freedom": self.freedom,
            "reference_pull": self.known_pull if np.isfinite(self.known_pull) else None,
            "residuals": self.residuals,
        }


class Network:
    """The exposures of a product or field on their plane.

    Parameters
    ----------
    frames : sequence of Frame
        One an exposure.
    attitude : (m,) int
        Which exposures share an attitude.
    plane : (ra0, dec0)
        Degrees.
    rolls : bool
        Whether attitudes have an error of roll.
    """

    def __init__(
        self,
        frames: Sequence[Frame],
        attitude: np.ndarray,
        plane: tuple[float, float],
        rolls: bool,
    ) -> None:
        self._rolls = rolls
        visits = {int(p): frame.visit for p, frame in zip(attitude, frames, strict=True)}
        self._visits = [visits[p] for p in range(len(visits))]
        self.names = list(dict.fromkeys(frame.placement for frame in frames))
        self._optics = list(dict.fromkeys(frame.optics for frame in frames))
        self.epoch = mean_epoch(frames)
        middle = self.epoch if self.epoch is not None else 0.0
        epochs = np.array([middle if f.epoch is None else f.epoch for f in frames])
        ra, dec = (np.array([f.wcsinfo[key] for f in frames]) for key in ("ra_ref", "dec_ref"))
        factors = parallax_factors(ra, dec, epochs)
        factors[[frame.epoch is None for frame in frames]] = 0.0  # nobody knows which way
        sky = compass(ra, dec, *plane)
        roll = np.radians([frame.wcsinfo["roll_ref"] for frame in frames])
        c, s = np.cos(roll), np.sin(roll)
        turn = np.moveaxis(np.array([[c, s], [-s, c]]), 2, 0)
        self._places = np.array([(f.wcsinfo["v2_ref"], f.wcsinfo["v3_ref"]) for f in frames])
        self._half = np.array([frame.half for frame in frames])
        self._error = np.array([frame.placement_error for frame in frames]) / MAS
        self.seen = Exposures(
            pose=np.asarray(attitude),
            placement=np.array([self.names.index(frame.placement) for frame in frames]),
            noise=np.array([self._optics.index(frame.optics) for frame in frames]),
            epoch=epochs - middle,
            centre=np.stack(to_plane(ra, dec, *plane), -1),
            axes=sky @ turn,
            parallax=np.einsum("mij,mj->mi", sky, factors),
        )

    def solve(
        self,
        detections: Detections,
        fits: Mapping[int, Affine],
        reach: float,
        known: KnownStars | None = None,
        believed: Mapping[int, tuple[Affine, np.ndarray]] = MappingProxyType({}),
    ) -> Joint:
        """Adjust the attitudes of an island.

        Parameters
        ----------
        detections : Detections
            With the stars they are of. ``used``, ``before`` and ``after`` are set.
        fits : mapping of int to Affine
            Maps of its attitudes to start from. The first of which nothing is believed keeps its
            pointing, as a whole, unless stars are known.
        reach : float
            Standard deviation of pointings, arcsec.
        known : KnownStars, optional
            Those of a catalogue, by `detections.star`.
        believed : mapping of int to (Affine, (3,) array), optional
            What is known of attitudes beforehand, see `snakewebb.astrometry.visits.inherited`.
        """
        poses = sorted(fits)
        frame = next(k for k, pose in enumerate(poses) if pose not in believed)
        exposures = np.flatnonzero(np.isin(self.seen.pose, poses))
        adopt(detections, {int(e): fits[self.seen.pose[e]] for e in exposures}, NEAR)
        inside = np.isin(detections.exposure, exposures) & (detections.star >= 0)
        if detections.weight is not None:
            inside &= detections.weight > 0
        rows = np.flatnonzero(inside)
        stars, star = np.unique(detections.star[rows], return_inverse=True)
        if known is not None:
            chosen = np.isin(known.star, stars)
            numbers = np.searchsorted(stars, known.star[chosen])
            known = KnownStars(numbers, known.mean[chosen], known.covariance[chosen])
        seen = self._part(exposures, poses)
        prior = self._prior(seen, exposures, len(poses), reach, known)
        prior = replace(prior, scaled=detections.weight is not None)
        for pose, (fit, sigma) in believed.items():
            at = poses.index(pose)
            prior.pose_mean[at] = pose_of(fit, prior.pivot[at])
            prior.pose_sigma[at] = np.where(prior.pose_sigma[at] > 0, sigma, 0.0)
        if known is None:
            prior.pose_sigma[frame] = 0.0
        measured = Measurements(
            detections.points[rows],
            detections.variance[rows],
            np.searchsorted(exposures, detections.exposure[rows]),
            star,
        )
        start = np.array(
            [pose_of(fits[pose], about) for pose, about in zip(poses, prior.pivot, strict=True)]
        )
        found = adjust(measured, seen, prior, start)
        made = matrix, shift = maps(found.poses, found.placements, seen, prior.pivot)
        own = measured.exposure
        corrected = np.einsum("nij,nj->ni", matrix[own], measured.points) + shift[own]
        used = (found.weight > 0.5) & np.isfinite(found.pull)
        detections.used[rows] = used
        detections.after[rows] = np.hypot(*found.residual.T)
        detections.before[rows] = np.hypot(*(measured.points - corrected + found.residual).T)
        at = frame if known is None else None
        told = self._told(found, measured, seen, exposures, used, at, made)
        told = replace(told, attitudes=dict(zip(poses, told.attitudes.values(), strict=True)))
        flux, half = detections.flux[rows], self._half[exposures]
        spots = self._places[exposures]
        dated = replace(seen, epoch=seen.epoch + (self.epoch or np.nan))
        left = residual_notes(found, measured, dated, flux, half, spots, self.names)
        return replace(told, residuals=left)

    def inherited(
        self, detections: Detections, joint: Joint, lost: Collection[int]
    ) -> dict[int, Inherited]:
        """Return what the attitudes of an island tell of others; see `Inherited`."""
        centres = pivots(self.seen, len(self._visits))
        believed = inherited(joint.attitudes, lost, self._visits, centres)
        if not believed:
            return {}
        others = np.array(sorted(joint.maps))
        rows = np.flatnonzero(np.isin(detections.exposure, others) & (detections.star >= 0))
        number = np.searchsorted(others, detections.exposure[rows])
        points = apply_fits([joint.maps[e] for e in others], detections.points[rows], number)
        star = np.unique(detections.star[rows], return_inverse=True)[1]
        stars, _ = mean_places(star, points)
        found = {}
        for g, (fit, sigma) in believed.items():
            own = np.flatnonzero(self.seen.pose == g)
            sources = fit(detections.points[np.isin(detections.exposure, own)])
            again = seen_again(sources, stars, self.seen, self._half, own, others)
            found[g] = Inherited(fit, sigma, *again)
        return found

    def _part(self, exposures, poses):
        """Return the exposures of an island, poses numbered among its own."""
        part = {name: column[exposures] for name, column in vars(self.seen).items()}
        return Exposures(**part | {"pose": np.searchsorted(poses, part["pose"])})

    def _prior(self, seen, exposures, n_poses, reach, known):
        """Return what is believed of an island."""
        pose_sigma = np.full((n_poses, 3), [reach, reach, ROLL * self._rolls])
        placement_sigma = np.zeros((len(self.names), 3))
        half, error = np.zeros(len(self.names)), np.zeros(len(self.names))
        half[seen.placement], error[seen.placement] = self._half[exposures], self._error[exposures]
        present = half > 0
        turn = np.arctan2(seen.axes[:, 0, 1], seen.axes[:, 1, 1])
        turned = np.abs(np.angle(np.exp(1j * (turn - turn[0])))).max() > SAME_ROLL
        if present.sum() > 1 or turned:
            placement_sigma[:, :2] = error[:, None]
            placement_sigma[present, 2] = error[present] / half[present]
        settings = {} if known is None else {"stars": known}
        return Prior(
            pose_mean=np.zeros((n_poses, 3)),
            pose_sigma=pose_sigma,
            pivot=pivots(seen, n_poses),
            placement_sigma=placement_sigma,
            **settings,
        )

    def _told(self, found, measured, seen, exposures, used, frame, made):
        """Return what an adjustment tells of exposures, which have made these maps."""
        pivot = pivots(seen, len(found.poses))
        made = [Affine(*own) for own in zip(*made, strict=True)]
        attitudes = [map_of(pose, about) for pose, about in zip(found.poses, pivot, strict=True)]
        common = None
        if frame is not None:
            common = common_motion(seen, self._half[exposures], found.placements.size, frame)
            if found.placements.any():
                back = map_of(common @ found.placements.ravel(), pivot[frame]).inverse()
                made = [back.after(own) for own in made]
                attitudes = [back.after(own) for own in attitudes]
        counts = np.bincount(measured.exposure[used], minlength=len(exposures))
        squares = np.bincount(measured.exposure, found.weight * found.pull**2, len(exposures))
        totals = np.bincount(measured.exposure, found.weight, len(exposures))
        with np.errstate(invalid="ignore", divide="ignore"):
            pulls = np.sqrt(squares / totals / 2)
        errors = standard_errors(found, seen, common, frame)
        numbers = found.poses.size + np.arange(found.placements.size)
        spread = np.sqrt(np.diag(found.covariance(numbers))).reshape(-1, 3) * MAS
        of_placement = np.bincount(seen.placement, counts, len(self.names))
        return Joint(
            dict(zip(exposures.tolist(), made, strict=True)),
            dict(enumerate(attitudes)),
            dict(zip(exposures.tolist(), errors.tolist(), strict=True)),
            dict(zip(exposures.tolist(), pulls.tolist(), strict=True)),
            [
                Placement(
                    name,
                    *(found.placements[q, :2] * MAS).tolist(),
                    float(np.hypot(*spread[q, :2]) / np.sqrt(2)),
                    float(self._error[self.seen.placement == q][0] * MAS),
                    float(np.degrees(found.placements[q, 2]) * 3600.0),
                    int(of_placement[q]),
                )
                for q, name in enumerate(self.names)
                if spread[q, 0] > 0
            ],
            {
                name: float(np.sqrt(found.noise[k])) * MAS
                for k, name in enumerate(self._optics)
                if (seen.noise == k).any()
            },
            found.chi_square,
            found.freedom,
            float(np.sqrt(np.mean(found.known_pull**2) / 2)) if len(found.known_pull) else np.nan,
        )
