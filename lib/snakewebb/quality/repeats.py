"""What exposures that see the same stars and the same sky say of each other.

All differences are from the mean of those that see a star, times the root of n / (n - 1): of
exposures that are independent, their scatter is that of one exposure, be n two or a hundred.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from snakewebb.kernels.repeats import pair_scatter, pair_up
from snakewebb.quality.sightings import Sightings
from snakewebb.wcs.sphere import mean_direction, to_plane, unit_vectors

SEPARATIONS = {5: (3.0, 7.0), 20: (16.0, 24.0), 60: (52.0, 68.0)}
"""Arcsec of pairs of stars: their nominal separation, and the least and the greatest."""
PARTNERS = 60
"""Stars that a star is paired with, at most, at each separation."""
FEWEST = 5
"""Stars or places, at least, of which something is said."""
BRIGHT = 50.0
"""Signal-to-noise ratio, in one exposure, of stars whose fluxes tell how well they repeat."""


@dataclass(frozen=True)
class Repeats:
    """Sightings of stars and of sky by all exposures, and how they differ from the mean.

    Attributes
    ----------
    star, exposure : (n,) int
        Sightings of what two exposures see at least, in order of stars and exposures.
    seen : (n, 2) float64
        Offset from the star's place in the mosaic to the East and North, mas; NaN where missing.
    offset : (n, 2) float64
        The same less the mean of the star's.
    pull : (n, 2) float64
        The same in units of its expected error.
    flux : (n,) float64
        Relative to the mean of the star's, less 1.
    flux_pull : (n,) float64
    snr : (n,) float64
        Of the light in the aperture.
    sky_exposure : (m,) int
    sky : (m,) float64
        Less the mean of the place's.
    """

    star: np.ndarray
    exposure: np.ndarray
    seen: np.ndarray
    offset: np.ndarray
    pull: np.ndarray
    flux: np.ndarray
    flux_pull: np.ndarray
    snr: np.ndarray
    sky_exposure: np.ndarray
    sky: np.ndarray


@dataclass(frozen=True)
class Number:
    """A measured number, of how many it is made, why there is none, and its standard error."""

    value: float = np.nan
    n: int = 0
    reason: str = ""
    error: float = np.nan


def compare(sightings: Sequence[Sightings]) -> Repeats:
    """Compare what exposures see.

    Parameters
    ----------
    sightings : sequence of Sightings
        One an exposure, in association order.
    """
    star = np.concatenate([s.star for s in sightings])
    exposure = np.repeat(np.arange(len(sightings)), [len(s.star) for s in sightings])
    order = np.lexsort((exposure, star))
    star, exposure = star[order], exposure[order]
    both = [np.concatenate([getattr(s, name) for s in sightings])[order] for name in (
        "offset", "offset_err", "flux", "flux_err"
    )]  # fmt: skip
    offset, offset_err, flux, flux_err = both
    moved = [deviations(star, offset[:, k], offset_err[:, k]) for k in (0, 1)]
    change, flux_pull, mean = deviations(star, flux, flux_err)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(mean > 0, change / mean, np.nan)
        snr = mean / flux_err
    place = np.concatenate([s.place for s in sightings])
    of_sky = np.repeat(np.arange(len(sightings)), [len(s.place) for s in sightings])
    sky = np.concatenate([s.sky for s in sightings])
    step, _, _ = deviations(place, sky, np.full(len(sky), np.nan))
    repeated = np.isfinite(change) | np.isfinite(moved[0][0])
    there = np.isfinite(step)
    return Repeats(
        star=star[repeated],
        exposure=exposure[repeated],
        seen=offset[repeated],
        offset=np.column_stack([d[0] for d in moved])[repeated],
        pull=np.column_stack([d[1] for d in moved])[repeated],
        flux=relative[repeated],
        flux_pull=flux_pull[repeated],
        snr=snr[repeated],
        sky_exposure=of_sky[there],
        sky=step[there],
    )


def deviations(
    key: np.ndarray, values: np.ndarray, errors: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return how values differ from the mean of all with the same key; see the module.

    Weights are inverse variances, where all errors of a key are known.

    Returns
    -------
    scaled, pull, mean : (n,) float64
        NaN where a value is, or is alone; `pull`, in units of the error that a difference from the
        mean has, also where an error is not known.
    """
    known = np.isfinite(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = 1.0 / errors**2
    inverse[~(np.isfinite(inverse) & (errors > 0))] = np.nan
    size = int(key.max()) + 1 if len(key) else 0
    lacking = np.bincount(key[known], np.isnan(inverse[known]), size) > 0
    weight = np.where(known, np.where(lacking[key], 1.0, inverse), 0.0) if size else inverse
    total = np.bincount(key, weight, size)
    number = np.bincount(key, known, size)[key]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = (np.bincount(key, weight * np.where(known, values, 0.0), size) / total)[key]
        change = np.where(number > 1, values - mean, np.nan)
        # The variance of a value's difference from a mean that it is part of.
        share = 1.0 - weight / total[key]
        scaled = change / np.sqrt(share)
        pull = np.where(lacking[key], np.nan, change * np.sqrt(inverse / share))
    return scaled, pull, mean


def scatter(values: np.ndarray) -> float:
    """Return the standard deviation about 0 of what is mostly Gaussian; NaN of nothing."""
    known = np.abs(values[np.isfinite(values)])
    return 1.4826 * float(np.median(known)) if known.size else np.nan


def median_error(values: np.ndarray, freedom: int) -> float:
    """Return the standard error of the median of values.

    Half of what lies between the values whose ranks are a standard deviation of the number below
    the median to both sides of it, whatever they are distributed as (David & Nagaraja 2003, Order
    Statistics, section 7.1).

    Parameters
    ----------
    values : (n,) float64
    freedom : int
        How many of them are independent.
    """
    if freedom < 1:
        return np.nan
    reach = min(0.5 / np.sqrt(freedom), 0.5)
    low, high = np.quantile(values, (0.5 - reach, 0.5 + reach))
    return float(high - low) / 2.0


def number_of(star: np.ndarray, values: np.ndarray, reason: str) -> Number:
    """Return the `scatter` of what exposures see of stars, or why there is too little.

    Parameters
    ----------
    star : (n,) int
    values : (n,) or (n, 2) float64
        Of each sighting, off the star's mean, which takes one degree of freedom.
    reason : str
    """
    known = np.isfinite(values)
    if known.sum() < FEWEST:
        return Number(reason=reason)
    columns = np.reshape(known, (len(known), -1)).T
    freedom = known.sum() - sum(len(np.unique(star[column])) for column in columns)
    error = 1.4826 * median_error(np.abs(values[known]), int(freedom))
    return Number(scatter(values), int(known.sum()), error=error)


def separation_scatter(
    repeats: Repeats, ra: np.ndarray, dec: np.ndarray, few: str
) -> dict[int, Number]:
    """Measure how far separations of pairs of stars scatter over exposures.

    That of a pair is a standard deviation, that of all their median, as LSST defines AM1 to AM3
    (LSST Science Requirements Document, LPM-17, at 5′, 20′ and 200′); of few exposures corrected
    for the median of a standard deviation being less than it.

    Parameters
    ----------
    repeats : Repeats
    ra, dec : (n,) float64
        Of stars, degrees.
    few : str
        Why there may be no pair.

    Returns
    -------
    dict
        By nominal separation, arcsec: the scatter in mas.
    """
    seen = np.flatnonzero(np.isfinite(repeats.offset).all(axis=1))
    present, index = np.unique(repeats.star[seen], return_inverse=True)
    xi, eta = _plane(ra[present], dec[present])
    order = np.argsort(eta, kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    by_star = np.lexsort((repeats.exposure[seen], rank[index]))
    start = np.searchsorted(rank[index][by_star], np.arange(len(present) + 1))
    exposure = np.ascontiguousarray(repeats.exposure[seen][by_star])
    east, north = (np.ascontiguousarray(c) for c in repeats.seen[seen][by_star].T)
    found = {}
    for nominal, (low, high) in SEPARATIONS.items():
        x, y = np.ascontiguousarray(xi[order]), np.ascontiguousarray(eta[order])
        first, second = np.empty((2, PARTNERS * len(x)), np.int64)
        number = pair_up(x, y, low, high, PARTNERS, first, second)
        first, second = first[:number].copy(), second[:number].copy()
        along = np.column_stack((x[second] - x[first], y[second] - y[first]))
        along /= np.hypot(*along.T)[:, None]
        std, count = np.empty(number), np.empty(number, np.int64)
        across, up = (np.ascontiguousarray(c) for c in along.T)
        pair_scatter(first, second, across, up, start, exposure, east, north, std, count)
        good = np.isfinite(std)
        # The median of chi-squared over its degrees of freedom (Wilson & Hilferty 1931).
        expected = (1.0 - 2.0 / (9.0 * np.maximum(count - 1, 1))) ** 1.5
        pairs = int(good.sum())
        # Of pairs that share stars no more are independent than there are stars.
        stars = len(np.unique((first[good], second[good])))
        if min(pairs, stars) < FEWEST:
            why = f"{pairs} pairs of {stars} stars that two exposures see"
            found[nominal] = Number(reason=few or why)
            continue
        values = (std / expected)[good]
        error = median_error(values, min(pairs, stars))
        found[nominal] = Number(float(np.median(values)), pairs, error=error)
    return found


@dataclass(frozen=True)
class ExposureRepeats:
    """What repeats say of each exposure: arrays (n,), NaN where it is not known.

    Attributes
    ----------
    stars : int
        That it shares with others.
    offset : (n, 2)
        Median offset of its stars to the East and North, mas.
    offset_err : (n, 2)
        That may come of the scatter of few stars.
    position_rms : (n,)
        Scatter of its stars about that, mas an axis.
    flux : (n,)
        Median of its bright stars' fluxes, relative, less 1.
    flux_err : (n,)
    sky, sky_err : (n,)
        Median of its sky less that of the others.
    """

    stars: np.ndarray
    offset: np.ndarray
    offset_err: np.ndarray
    position_rms: np.ndarray
    flux: np.ndarray
    flux_err: np.ndarray
    sky: np.ndarray
    sky_err: np.ndarray


def by_exposure(repeats: Repeats, number: int) -> ExposureRepeats:
    """Return what repeats say of each of a number of exposures."""
    east, east_err, east_rms, stars = _medians(repeats.exposure, repeats.offset[:, 0], number)
    north, north_err, north_rms, _ = _medians(repeats.exposure, repeats.offset[:, 1], number)
    bright = np.where(repeats.snr > BRIGHT, repeats.flux, np.nan)
    flux, flux_err, _, _ = _medians(repeats.exposure, bright, number)
    sky, sky_err, _, _ = _medians(repeats.sky_exposure, repeats.sky, number)
    return ExposureRepeats(
        stars=stars,
        offset=np.column_stack((east, north)),
        offset_err=np.column_stack((east_err, north_err)),
        position_rms=np.sqrt((east_rms**2 + north_rms**2) / 2.0),
        flux=flux,
        flux_err=flux_err,
        sky=sky,
        sky_err=sky_err,
    )


def _medians(
    key: np.ndarray, values: np.ndarray, number: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return median, its error, scatter about it, and number of the values of each key."""
    known = np.isfinite(values)
    key, values = key[known], values[known]
    order = np.argsort(key, kind="stable")
    edges = np.searchsorted(key[order], np.arange(number + 1))
    median, error, rms = np.full((3, number), np.nan)
    for k, (start, stop) in enumerate(pairwise(edges)):
        if stop - start < FEWEST:
            continue
        own = values[order[start:stop]]
        median[k] = np.median(own)
        rms[k] = scatter(own - median[k])
        error[k] = np.sqrt(np.pi / 2.0 / len(own)) * rms[k]
    return median, error, rms, np.diff(edges)


def rms_beyond(values: np.ndarray, errors: np.ndarray, reason: str) -> Number:
    """Return the root mean square of numbers, without what their own errors add to it."""
    known = np.isfinite(values) & np.isfinite(errors)
    if known.sum() < 2:
        return Number(reason=reason)
    square = float(np.mean(values[known] ** 2 - errors[known] ** 2))
    return Number(float(np.sqrt(max(square, 0.0))), int(known.sum()))


def detector_scatter(of_exposures: ExposureRepeats, groups: Sequence[str], reason: str) -> Number:
    """Measure how far detectors of one exposure are off each other, mas an axis.

    Parameters
    ----------
    of_exposures : ExposureRepeats
    groups : sequence of str
        All detectors of an exposure share one.
    reason : str
        Why there may be none.
    """
    _, group = np.unique(np.array(groups, str), return_inverse=True)
    change, error = [], []
    for k in (0, 1):
        values, errors = of_exposures.offset[:, k], of_exposures.offset_err[:, k]
        scaled, _, _ = deviations(group, values, np.full(len(values), np.nan))
        change.append(scaled)
        error.append(np.where(np.isfinite(scaled), errors, np.nan))
    return rms_beyond(np.ravel(change), np.ravel(error), reason)


def _plane(ra: np.ndarray, dec: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return stars on the tangent plane in their middle, arcsec."""
    if not len(ra):
        return np.empty(0), np.empty(0)
    xi, eta = to_plane(ra, dec, *mean_direction(unit_vectors(ra, dec)))
    return np.asarray(xi), np.asarray(eta)
