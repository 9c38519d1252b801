"""Where the star is behind a coronagraph: the point about which its light is most symmetric."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from snakewebb.coronagraphy.point_symmetry import Fit, Light, Undetermined

REACH = 2.0
"""Pixels from CRPIX within which target acquisition puts the star: where it may be found."""
SMOOTHING = 0.7
"""Sigma in pixels of the Gaussian that noise is smoothed by; speckles are no finer."""
MENDS = 2
"""How often bad pixels get what stands on the other side, which was itself turned before."""
COMMON = 3.0
"""What the scatter among these is multiplied by: aberrations and mask move all parts together."""
LEAST_ERROR = 0.025
"""Pixels by which low aberrations shift the light without a trace in its symmetry."""
OFF_AXIS = 0.04
"""Share of the distance from the mask by which its own diffraction may draw the place."""
MOST_ERROR = 0.1
"""Pixels, in x and y together: what is less certain is not determined. The edges of a 4QPM draw the
light of a star beside them to wrong places, where it is symmetric, but not by much."""
SYMMETRIC = 0.2
"""Correlation of the light with itself turned, below which nothing is a point of symmetry."""
RIVAL = 0.05, 0.3
"""Another start's end this close in quality (log of scatter) and this far (pixels) is a rival."""
ROOM = 1.0
"""Pixels from the place found beyond which no half pixel may be a rival: a place that is drawn away
lies in a valley that may lead to none."""
ROLLS = 1.0
"""Pixels between pointings of one target that acquisition anew explains."""
EMPTY = "has no good pixel"


class Sight(NamedTuple):
    """An exposure as `find_star` takes it; the image is None where no pixel is good."""

    image: np.ndarray | None
    guess: tuple[float, float]
    good: np.ndarray | None = None


@dataclass(frozen=True)
class Star:
    """Where a star is.

    Attributes
    ----------
    center, error : (2,) float64
        (x, y), 0-based pixels.
    reason : str
        Why it was not found; the center is then what was given, and the errors are NaN.
    """

    center: np.ndarray
    error: np.ndarray
    reason: str = ""


def find_star(
    image: np.ndarray, guess: tuple[float, float], good: np.ndarray | None = None
) -> Star:
    """Find the star behind a coronagraph: the point about which its light is most symmetric.

    The diffraction of a real pupil mask is point-symmetric whatever the pupil looks like. The image
    is compared with itself turned by 180 degrees about every half pixel near the guess; from the
    best of these, weighted least squares go on to fractions of a pixel, turning about the last
    place found. A ring's weight is by the scatter of the differences on it; those far out of it, a
    companion's, count little or not at all (biweight; Beaton & Tukey 1974, Technometrics 16, 147).

    Parameters
    ----------
    image : (ny, nx) array
        Finite, bad pixels repaired.
    guess : (x, y)
        0-based pixels: where the mask is (CRPIX), and within `REACH` the star.
    good : (ny, nx) bool, optional
        False where a pixel was repaired; it is left out.

    Returns
    -------
    Star
        Not found, with the reason, if the light is not symmetric enough, or about two places, or
        about one that is out of reach, or if the error is too large. The error is from the scatter
        between parts of the light (sandwich estimate; White 1980, Econometrica 48, 817), by how far
        smoothing moves the place, and from simulations of what parts have in common.

    Notes
    -----
    Coma shifts light without making it less symmetric about where it is then. What is common in
    simulations is in the error; it is the same in all exposures of a telescope that did not change.
    """
    try:
        light = Light(image, guess, good, SMOOTHING)
        best = _best(light, _refined(light, light.starts()))
        # Undersampled light moves by what smooths it, so the last word has the image itself.
        light = Light(image, guess, good)
        for _ in range(MENDS):
            light.mend(best.center)
        (fit,) = _refined(light, [best.center])
        return _star(light, best, fit)
    except Undetermined as failure:
        return _lost(guess, str(failure))


def find_stars(exposures: Iterable[Sight], names: Sequence[str]) -> list[Star]:
    """Find one star in several exposures through the same mask of the same instrument.

    Parameters
    ----------
    exposures : iterable of Sight
    names : sequence of str
        Of the exposures, for the reasons.

    Returns
    -------
    list of Star
        Those that contradict more exposures than they agree with are not found. Two agree if the
        star is at the same place, on the detector or relative to the guess, within the errors and
        what a new target acquisition changes.
    """
    guesses, stars = [], []
    for image, guess, good in exposures:
        guesses.append(np.asarray(guess, np.float64))
        stars.append(_lost(guess, EMPTY) if image is None else find_star(image, guess, good))
    found = [k for k, star in enumerate(stars) if not star.reason]
    against: dict[int, list[str]] = {k: [] for k in found}
    for one, other in combinations(found, 2):
        apart = stars[one].center - stars[other].center
        moved = apart - (guesses[one] - guesses[other])
        error = np.hypot(*np.hypot(stars[one].error, stars[other].error))
        if min(np.hypot(*apart), np.hypot(*moved)) > ROLLS + 3 * error:
            against[one].append(names[other])
            against[other].append(names[one])
    result = list(stars)
    for k, others in against.items():
        if len(others) > len(found) - 1 - len(others):
            places = ", ".join(
                f"{names[j]} at {x:.2f}, {y:.2f}"
                for j in found
                if j == k or names[j] in others
                for x, y in [stars[j].center]
            )
            result[k] = _lost(guesses[k], f"exposures contradict each other: {places}")
    return result


def _lost(guess: ArrayLike, reason: str) -> Star:
    return Star(np.asarray(guess, np.float64), np.full(2, np.nan), reason)


def _refined(light: Light, starts: Iterable[np.ndarray]) -> list[Fit]:
    """Return the fits that starts lead to, without those that the light does not determine."""
    fits = []
    for start in starts:
        with contextlib.suppress(np.linalg.LinAlgError):
            fits.append(light.refine(start))
    if not fits:
        raise Undetermined("its light has no pixels that are good on both sides")
    return fits


def _check_reach(light: Light, fit: Fit) -> None:
    x, y = fit.center + light.corner
    distance = float(np.hypot(*(fit.center - light.guess)))
    if distance > REACH:
        raise Undetermined(
            f"the light is most symmetric about {x:.1f}, {y:.1f}, {distance:.1f} pixels from CRPIX"
        )


def _best(light: Light, fits: Sequence[Fit]) -> Fit:
    """Return the best fit, if the light is symmetric about one place that is within reach."""
    fit = min(fits, key=lambda fit: fit.quality)
    _check_reach(light, fit)
    x, y = fit.center + light.corner
    symmetry = light.symmetry(fit)
    if symmetry < SYMMETRIC:
        raise Undetermined(f"the light is not symmetric about {x:.1f}, {y:.1f}: {symmetry:.2f}")
    for other in fits:
        apart = np.hypot(*(other.center - fit.center))
        if other.quality < fit.quality + RIVAL[0] and apart > RIVAL[1]:
            u, v = other.center + light.corner
            raise Undetermined(
                f"the light is as symmetric about {x:.1f}, {y:.1f} as about {u:.1f}, {v:.1f}"
            )
    return fit


def _star(light: Light, best: Fit, fit: Fit) -> Star:
    """Return the star of the last fit, if it agrees with the best one before and is certain."""
    _check_reach(light, fit)
    x, y = fit.center + light.corner
    if fit.step > LEAST_ERROR:
        raise Undetermined(f"no place about {x:.1f}, {y:.1f} is the most symmetric one")
    moved = np.hypot(*(fit.center - best.center))
    if moved > RIVAL[1]:
        u, v = best.center + light.corner
        raise Undetermined(f"smoothed light has it at {u:.2f}, {v:.2f}, not at {x:.2f}, {y:.2f}")
    places, quality = light.half_pixels()
    quality = np.where(np.hypot(*(places - fit.center).T).T > ROOM, quality, np.inf)
    other = np.unravel_index(np.argmin(quality), quality.shape)
    if quality[other] < fit.quality + RIVAL[0]:
        u, v = places[other] + light.corner
        raise Undetermined(
            f"the light is as symmetric about {u:.1f}, {v:.1f} as about the place found, "
            f"{x:.2f}, {y:.2f}"
        )
    error = COMMON * light.error(fit)
    if not np.hypot(*error) < MOST_ERROR:
        raise Undetermined(
            f"its place, {x:.2f}, {y:.2f}, is uncertain by {np.hypot(*error):.2f} pixels"
        )
    distance = np.hypot(*(fit.center - light.guess))
    common = np.linalg.norm((LEAST_ERROR, OFF_AXIS * distance, moved))
    return Star(fit.center + light.corner, np.hypot(error, common))
