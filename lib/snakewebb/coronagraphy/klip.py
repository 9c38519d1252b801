"""klip: the star's light subtracted by projection on the principal components of references.

Soummer, Pueyo & Larkin 2012 (ApJ 755, L28). What is left may be taken off by its symmetry.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from snakewebb.coronagraphy.fourier import turn
from snakewebb.coronagraphy.star_light import StarLight
from snakewebb.coronagraphy.symmetry import LEAST_PIXELS, symmetric_part
from snakewebb.coronagraphy.zones import zones
from snakewebb.errors import InputError

log = logging.getLogger(__name__)

NULL = 1e-12
"""A mode with less than this share of the first one's power is the rounding of float32 pixels."""
SMOOTHING = 5
"""Side of the box, pixels, over which the PSF model's error is averaged."""


@dataclass(frozen=True, kw_only=True)
class KlipOptions:
    """Parameters of the step klip.

    Attributes
    ----------
    skip : bool
        Whether the star is left.
    truncate : int or sequence of int
        Numbers of modes to subtract; 0 only takes off the mean.
    annuli, subsections
        See `snakewebb.coronagraphy.zones.zones`.
    inner_radius, outer_radius : float
        Of the search region, arcsec. Without an outer one, the star's light is subtracted only
        where it is, if the frame is much larger; see
        `snakewebb.coronagraphy.star_light.find_light`.
    n_references : int or None
        Use only so many references in each zone: those that correlate most with the mean of the
        integrations. None for all.
    strategy : str
        One of `snakewebb.coronagraphy.strategy.STRATEGIES`.
    symmetry : bool
        Subtract what of the rest is point-symmetric about the star, too; see
        `snakewebb.coronagraphy.symmetry.symmetric_part`. Not for discs.
    """

    skip: bool = False
    truncate: int | Sequence[int] = 50
    annuli: int | Sequence[float] = 1
    inner_radius: float = 0.0
    n_references: int | None = None
    outer_radius: float | None = None
    strategy: str = "RDI"
    subsections: int = 1
    symmetry: bool = False

    @property
    def truncations(self) -> list[int]:
        """All numbers of modes, the headline first."""
        return [self.truncate] if isinstance(self.truncate, int) else list(self.truncate)

    @property
    def linear(self) -> bool:
        """Whether what is subtracted of a companion depends on nothing but the references."""
        return self.strategy == "RDI" and self.n_references is None and not self.symmetry


@dataclass(frozen=True)
class Subtracted:
    """A target without its star.

    Attributes
    ----------
    data : (T, ny, nx) float64
        NaN outside the search region.
    err : (T, ny, nx) float64 or None
        The target's own noise and the PSF model's error, in quadrature.
    model_err : (T, ny, nx) float64 or None
        The PSF model's error alone: common to all integrations, so no averaging lowers it.
    truncate : int
        What was asked for.
    modes : list of int
        Used in each zone, at most as many as the references' rank there.
    eigenvalues : list of (n,) float64
        Of the references' covariance in each zone, all that are not null, descending.
    references : list of (k,) int
        Those used in each zone.
    radius : float or None
        Beyond this distance from the star, pixels, only the level was taken off; None where its
        light was subtracted everywhere.
    """

    data: np.ndarray
    err: np.ndarray | None
    model_err: np.ndarray | None
    truncate: int
    modes: list[int]
    eigenvalues: list[np.ndarray]
    references: list[np.ndarray]
    radius: float | None = None


class Library:
    """References of one exposure, ready to have their light taken from its integrations.

    Parameters
    ----------
    references : (K, ny, nx)
        Finite, aligned.
    err : (K, ny, nx), optional
        Their errors. Without, no errors are computed.
    groups : sequence of K hashables, optional
        Which exposure each is from; those of one exposure are alike, and left out together where
        the library is tested on itself. By default each is by itself.
    options : KlipOptions, optional
    center, mask
        See `zones`.
    light : StarLight, optional
        Where the star's light is, if that is not everywhere: beyond, only the median is taken off;
        other stars are not looked at to find out how much of the references to subtract.

    Raises
    ------
    InputError
        There is no reference, or no pixel in the search region.
    """

    def __init__(
        self,
        references: np.ndarray,
        err: np.ndarray | None = None,
        options: KlipOptions = KlipOptions(),
        *,
        groups: Sequence[Hashable] | None = None,
        center: tuple[float, float] | None = None,
        mask: np.ndarray | None = None,
        light: StarLight | None = None,
    ) -> None:
        count, *shape = references.shape
        if not count:
            raise InputError("klip: there are no references: name psf members in the association")
        self.shape, self.options = tuple(shape), options
        middle = ((shape[1] - 1) / 2, (shape[0] - 1) / 2)
        self.center = middle if center is None else center
        near, alone, self.outside, self.radius = mask, None, np.empty(0, int), None
        if light is not None:
            near = light.near if mask is None else light.near & mask
            beyond = ~light.near if mask is None else ~light.near & mask
            alone, self.outside, self.radius = (
                light.alone.ravel(),
                np.flatnonzero(beyond),
                light.radius,
            )
        pixels = zones(
            self.shape,
            self.center,
            annuli=options.annuli,
            subsections=options.subsections,
            mask=near,
        )
        if not pixels:
            raise InputError(
                "klip: the search region holds no pixel: check inner_radius, outer_radius, annuli"
            )
        flat = references.reshape(count, -1)
        errors = None if err is None else err.reshape(count, -1)
        names: list[Hashable] = list(range(count)) if groups is None else list(groups)
        numbers = np.array([names.index(name) for name in names])
        self.zones = [
            _Zone(
                p,
                flat[:, p],
                None if errors is None else errors[:, p],
                numbers,
                None if alone is None else alone[p],
            )
            for p in pixels
        ]

    def subtract(self, target: np.ndarray, err: np.ndarray | None = None) -> list[Subtracted]:
        """Subtract the star's light from all integrations of an exposure.

        Parameters
        ----------
        target : (T, ny, nx)
            Finite.
        err : (T, ny, nx), optional
            Without, or without the references' errors, no errors are computed.

        Returns
        -------
        list of Subtracted
            One for each number of modes.
        """
        count, symmetry = len(target), self.options.symmetry
        flat = np.asarray(target, np.float64).reshape(count, -1)
        bases = [zone.basis(flat[:, zone.pixels], self.options.n_references) for zone in self.zones]
        variance = None if err is None else np.asarray(err, np.float64).reshape(count, -1) ** 2
        if any(zone.variance is None for zone in self.zones):
            variance = None
        centred = [_centred(flat[:, zone.pixels], zone.fitted) for zone in self.zones]
        parts = [
            (zone.pixels, basis, light, basis.coefficients(light))
            for zone, basis, light in zip(self.zones, bases, centred, strict=True)
        ]
        results = []
        for number in self.options.truncations:
            data = np.full(flat.shape, np.nan)
            own, noise, excess = (np.full(flat.shape, np.nan) for _ in range(3))
            used = []
            for p, basis, light, coefficients in parts:
                k = min(number, len(basis.modes))
                used.append(k)
                data[:, p] = light - coefficients[:k].T @ basis.modes[:k]
                if variance is not None:
                    own[:, p] = basis.remaining_noise(variance[:, p], k)
                    noise[:, p], excess[:, p] = basis.model_variance(light, k)
            if self.outside.size:
                beyond = flat[:, self.outside]
                data[:, self.outside] = beyond - np.median(beyond, axis=1, keepdims=True)
                if variance is not None:
                    own[:, self.outside] = variance[:, self.outside]
            full, model, share = None, None, np.zeros(self.shape)
            shape = (count, *self.shape)
            data, own, noise, excess = (a.reshape(shape) for a in (data, own, noise, excess))
            if symmetry:
                part, share = symmetric_part(data.mean(axis=0), self.center)
                data = data - part
            if variance is not None:
                squares = noise + _smoothed(excess) * (1 - share**2)
                squares.reshape(count, -1)[:, self.outside] = 0.0
                if symmetry:
                    other = turn(np.nan_to_num([own.mean(axis=0) / count]), self.center)[0]
                    squares += share**2 * np.maximum(other, 0.0)
                full, model = np.sqrt(own + squares), np.sqrt(squares)
            results.append(
                Subtracted(
                    data,
                    full,
                    model,
                    number,
                    used,
                    [basis.eigenvalues for basis in bases],
                    [basis.chosen for basis in bases],
                    self.radius,
                )
            )
        for result in results:
            log.info(
                "truncate %d: %s modes of %d references",
                result.truncate,
                ", ".join(map(str, sorted(set(result.modes)))),
                len(self.zones[0].references),
            )
        return results


class _Zone:
    """A zone's pixels, its references there less their means, and the products of these."""

    def __init__(
        self,
        pixels: np.ndarray,
        references: np.ndarray,
        err: np.ndarray | None,
        groups: np.ndarray,
        alone: np.ndarray | None,
    ) -> None:
        self.pixels = pixels
        self.fitted: np.ndarray | slice = slice(None)
        if alone is not None and np.count_nonzero(alone) >= LEAST_PIXELS:
            self.fitted = np.flatnonzero(alone)
        self.references = _centred(references, self.fitted)
        self.variance = None if err is None else np.asarray(err, np.float64) ** 2
        self.groups = groups
        fitted = self.references[:, self.fitted]
        self.gram = fitted @ fitted.T
        self._whole: _Basis | None = None

    def basis(self, target: np.ndarray, n_references: int | None) -> _Basis:
        """Return the basis from all references or those most like the target."""
        count = len(self.references)
        if n_references is not None and n_references < count:
            power = np.sqrt(np.maximum(np.diag(self.gram), np.finfo(float).tiny))
            wanted = _centred(target, self.fitted).mean(axis=0)[self.fitted]
            likeness = self.references[:, self.fitted] @ wanted / power
            return _Basis(self, np.sort(np.argsort(-likeness, kind="stable")[:n_references]))
        if self._whole is None:
            self._whole = _Basis(self, np.arange(count))
        return self._whole


class _Basis:
    """Principal components of some references in a zone, and what is known of their errors."""

    def __init__(self, zone: _Zone, chosen: np.ndarray) -> None:
        self.chosen = chosen
        self.references = zone.references[chosen]
        self.fitted = zone.fitted
        self.variance = None if zone.variance is None else zone.variance[chosen]
        self.groups = zone.groups[chosen]
        self.gram = zone.gram[np.ix_(chosen, chosen)]
        self.values, self.vectors = _eigen(self.gram)
        self.eigenvalues = self.values / max(self.references[:, self.fitted].shape[1] - 1, 1)
        modes = (self.vectors / np.sqrt(self.values)).T @ self.references
        # Rounding in weak modes leaves them askew; this makes them orthogonal, each to those
        # before it.
        fitted = modes[:, self.fitted]
        lower = np.linalg.cholesky(fitted @ fitted.T)
        self.modes = np.linalg.inv(lower) @ modes
        self._noise: dict[int, np.ndarray] = {}

    def coefficients(self, target: np.ndarray) -> np.ndarray:
        """Return how much of each mode is in a target (T, n), less its mean; (k, T)."""
        return self.modes[:, self.fitted] @ target[:, self.fitted].T

    def remaining_noise(self, variance: np.ndarray, k: int) -> np.ndarray:
        """Return what the projection leaves of the target's own variance, (T, n)."""
        modes = self.modes[:k]
        fitted = modes[:, self.fitted]
        mixed = (fitted * variance.mean(axis=0)[self.fitted]) @ fitted.T
        taken = np.zeros(modes.shape[1])
        taken[self.fitted] = np.einsum("kn,kn->n", fitted, fitted)
        spread = np.einsum("kn,kn->n", modes, mixed @ modes)
        return np.maximum(variance * (1 - 2 * taken) + spread, 0.0)

    def model_variance(self, target: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the variance of the model of a target, (T, n) each: by noise, and beyond it.

        The model is a weighted sum of references, whose noise it has. How far it misses the
        target besides is seen by predicting each reference from those of other exposures: the
        squares of what this leaves, less those that noise explains, in units of the light.
        """
        inverse = self.vectors[:, :k] / self.values[:k] @ self.vectors[:, :k].T
        light = target[:, self.fitted]
        products = light @ self.references[:, self.fitted].T
        noise = (products @ inverse) ** 2 @ self.variance
        squares = self._prediction_excess(k)
        power = np.trace(self.gram)
        scale = np.einsum("tn,tn->t", light, light) / (power if power > 0 else np.inf)
        return noise, scale[:, None] * squares

    def _prediction_excess(self, k: int) -> np.ndarray:
        """Return the sum over references of squared errors of prediction beyond noise, (n,)."""
        count = len(self.references)
        weights = np.zeros((count, count))
        if len(set(self.groups)) == 1:
            if count == 1:
                return np.zeros(self.references.shape[1])
            groups = np.arange(count)
        else:
            groups = self.groups
        if k not in self._noise:
            for group in np.unique(groups):
                out, rest = np.flatnonzero(groups == group), np.flatnonzero(groups != group)
                values, vectors = _eigen(self.gram[np.ix_(rest, rest)])
                inverse = vectors[:, :k] / values[:k] @ vectors[:, :k].T
                weights[np.ix_(out, rest)] = self.gram[np.ix_(out, rest)] @ inverse
            missed = self.references - weights @ self.references
            expected = (1 + (weights**2).sum(axis=0)) @ self.variance
            self._noise[k] = np.einsum("kn,kn->n", missed, missed) - expected
        return self._noise[k]


def _centred(images: np.ndarray, fitted: np.ndarray | slice) -> np.ndarray:
    """Return images (k, n) less their means over the fitted pixels, float64."""
    images = np.asarray(images, np.float64)
    return images - images[:, fitted].mean(axis=1, keepdims=True)


def _eigen(gram: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return eigenvalues, descending, and eigenvectors of a Gram matrix, without the null ones."""
    values, vectors = np.linalg.eigh(gram)
    values, vectors = values[::-1], vectors[:, ::-1]
    rank = int(np.count_nonzero(values > NULL * max(values[0], 0.0)))
    return values[:rank], vectors[:, :rank]


def _smoothed(squares: np.ndarray) -> np.ndarray:
    """Return images averaged over a box, of pixels that are there, and not below 0."""
    there = np.isfinite(squares)
    total, count = _box_sums(np.where(there, squares, 0.0)), _box_sums(there.astype(float))
    mean = np.divide(total, count, out=np.zeros_like(total), where=count > 0.5)
    return np.where(there, np.maximum(mean, 0.0), np.nan)


def _box_sums(images: np.ndarray) -> np.ndarray:
    """Return the sum over a box round each pixel of images (n, ny, nx)."""
    half = SMOOTHING // 2
    padded = np.pad(images, ((0, 0), (half, half), (half, half)))
    ny, nx = images.shape[1:]
    columns = sum((padded[:, :, k : k + nx] for k in range(SMOOTHING)), np.zeros(()))
    return sum((columns[:, k : k + ny] for k in range(SMOOTHING)), np.zeros(()))
