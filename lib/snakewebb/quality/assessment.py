"""What a product is worth: all numbers, and those of each exposure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from snakewebb.products.input_quality import outlying, standing_out
from snakewebb.quality.blank_sky import Apertures, depth, depth_map, noise_ratio
from snakewebb.quality.metrics import Metric, Thresholds, judge
from snakewebb.quality.repeats import (
    BRIGHT,
    FEWEST,
    ExposureRepeats,
    Number,
    Repeats,
    by_exposure,
    detector_scatter,
    median_error,
    number_of,
    rms_beyond,
    separation_scatter,
)
from snakewebb.quality.stars import Stars, psf_shape
from snakewebb.wcs.grid import Grid

MAG = 2.5 / np.log(10.0)
LEAST_OFFSET, LEAST_FLUX, LEAST_STEP = 1.0, 0.005, 0.05
"""Standard deviations of exposures are not taken for less: mas, relative, noise of a pixel."""
MOVING = "the target moves, stars are not where they were"


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a product is judged by.

    Attributes
    ----------
    exposures, groups : sequence of str
        Names, in association order; all detectors of an exposure share a group.
    unit : str
        Of their pixels.
    headers : mapping
        See `snakewebb.products.input_quality.header_numbers`.
    moving : bool
        Whether the target moves.
    stars : Stars
        Of the mosaic.
    repeats : Repeats
    noises : (n,) float64
        Of a pixel of each exposure.
    blank : Apertures
    has_errors : bool
        Whether the mosaic has.
    flaw : str
        Why light in apertures tells no magnitudes, else "".
    grid : Grid
        The mosaic's.
    """

    exposures: Sequence[str]
    groups: Sequence[str]
    unit: str
    headers: dict[str, np.ndarray]
    moving: bool
    stars: Stars
    repeats: Repeats
    noises: np.ndarray
    blank: Apertures
    has_errors: bool
    flaw: str
    grid: Grid


@dataclass(frozen=True)
class Assessment:
    """What a product is worth.

    Attributes
    ----------
    metrics : list of Metric
    exposures : dict
        Columns, a row an exposure: numbers, and under ``outlying`` why it stands out.
    depth, depth_grid : (ny, nx) float32, Grid
        Map of the depth, AB magnitudes.
    stars : Stars
    repeats : Repeats
    """

    metrics: list[Metric]
    exposures: dict[str, Any]
    depth: np.ndarray
    depth_grid: Grid
    stars: Stars
    repeats: Repeats

    @property
    def status(self) -> str:
        """WARN if any number is, else OK."""
        return "WARN" if any(metric.status == "WARN" for metric in self.metrics) else "OK"


def assess(evidence: Evidence, thresholds: Thresholds) -> Assessment:
    """Judge a product.

    Parameters
    ----------
    evidence : Evidence
    thresholds : Thresholds
    """
    own = by_exposure(evidence.repeats, len(evidence.exposures))
    reasons = _outlying(evidence, own, thresholds.outlying_sigma)
    ratio = noise_ratio(evidence.blank, evidence.has_errors)
    deep, each = depth(evidence.blank, ratio, evidence.flaw)
    numbers = {
        **_of_repeats(evidence, own),
        "noise_ratio": ratio,
        "depth": deep,
        **_of_stars(evidence),
        **_of_headers(evidence, reasons),
    }
    worst = [f"{n}: {why}" for n, why in zip(evidence.exposures, reasons, strict=True) if why]
    image, grid = depth_map(evidence.blank, each, evidence.grid)
    columns = {
        "exposure": list(evidence.exposures),
        "group": list(evidence.groups),
        "stars": own.stars,
        "offset_east": own.offset[:, 0],
        "offset_north": own.offset[:, 1],
        "offset_err": np.sqrt(np.mean(own.offset_err**2, axis=1)),
        "position_rms": own.position_rms,
        "flux_offset": -MAG * np.log1p(own.flux),
        "flux_offset_err": MAG * own.flux_err,
        "sky_step": own.sky,
        "sky_step_err": own.sky_err,
        "noise": evidence.noises,
        **evidence.headers,
        "outlying": reasons,
    }
    return Assessment(
        metrics=judge(numbers, thresholds, evidence.unit, worst),
        exposures=columns,
        depth=image,
        depth_grid=grid,
        stars=evidence.stars,
        repeats=evidence.repeats,
    )


def _of_repeats(evidence: Evidence, own: ExposureRepeats) -> dict[str, Number]:
    """Return the numbers that exposures tell of each other."""
    repeats = evidence.repeats
    few = _why_no_repeats(evidence)
    stars = few or f"fewer than {FEWEST} stars that two exposures see"
    numbers = {
        f"separation_rms_{nominal}": number
        for nominal, number in separation_scatter(
            repeats, evidence.stars.ra, evidence.stars.dec, few
        ).items()
    }
    each = f"no two exposures with {FEWEST} stars that others see, too"
    offset, error = np.ravel(own.offset), np.ravel(own.offset_err)
    numbers["exposure_offset"] = rms_beyond(offset, error, few or each)
    one = len(set(evidence.groups)) == len(evidence.groups)
    no_detectors = "every exposure is of one detector" if one else each
    numbers["detector_offset"] = detector_scatter(own, evidence.groups, few or no_detectors)
    unknown = few or "errors are not known, or " + stars
    numbers["position_pull"] = number_of(repeats.star, repeats.pull, unknown)
    bright = repeats.snr > BRIGHT
    faint = few or f"fewer than {FEWEST} stars of signal-to-noise ratio {BRIGHT:g}"
    numbers["flux_repeatability"] = number_of(
        repeats.star[bright], MAG * repeats.flux[bright], faint
    )
    numbers["flux_pull"] = number_of(repeats.star, repeats.flux_pull, unknown)
    alone = "no two exposures see the same sky"
    step = rms_beyond(own.sky, own.sky_err, alone)
    numbers["sky_step"] = step
    noise = float(np.nanmedian(evidence.noises)) if np.isfinite(evidence.noises).any() else np.nan
    numbers["sky_step_over_noise"] = Number(step.value / noise, step.n, step.reason or alone)
    return numbers


def _why_no_repeats(evidence: Evidence) -> str:
    """Return why stars cannot be compared between exposures, "" if they can."""
    if evidence.moving:
        return MOVING
    if len(evidence.exposures) < 2:
        return "there is one exposure"
    if len(evidence.stars) < FEWEST:
        return f"{len(evidence.stars)} stars in the mosaic that are bright and alone"
    return ""


def _of_stars(evidence: Evidence) -> dict[str, Number]:
    """Return the numbers of the mosaic's PSF."""
    number = len(evidence.stars)
    if evidence.moving or number < FEWEST:
        few = f"{number} stars in the mosaic that are bright and alone"
        none = Number(reason=MOVING if evidence.moving else few)
        return {"psf_fwhm": none, "psf_ellipticity": none}
    fwhm, ellipticity, _ = psf_shape(evidence.stars)
    error = median_error(evidence.stars.fwhm, number)
    return {
        "psf_fwhm": Number(fwhm, number, error=error),
        "psf_ellipticity": Number(ellipticity, number),
    }


def _of_headers(evidence: Evidence, reasons: Sequence[str]) -> dict[str, Number]:
    """Return the numbers that headers tell, and how many exposures stand out."""
    numbers = {}
    for name, combine, why in (
        ("alignment_rms", np.median, "no exposure was aligned by its stars"),
        ("flagged", np.max, "outliers were not looked for"),
    ):
        values = evidence.headers[name]
        known = values[np.isfinite(values)]
        numbers[name] = (
            Number(float(combine(known)), len(known)) if len(known) else Number(reason=why)
        )
    count = sum(map(bool, reasons))
    numbers["outlying_exposures"] = Number(float(count), len(reasons))
    return numbers


def _outlying(evidence: Evidence, own: ExposureRepeats, sigmas: float | None) -> list[str]:
    """Return for each exposure why it stands out, "" if it does not."""
    if sigmas is None:
        return [""] * len(evidence.exposures)
    found = [[why] if why else [] for why in outlying(evidence.headers, sigmas)]
    noise = np.where(np.isfinite(evidence.noises), evidence.noises, 0.0)
    checks: Mapping[str, tuple[np.ndarray, np.ndarray, float | np.ndarray]] = {
        "its stars lie {:+.3g} mas East of those of others": (
            own.offset[:, 0], own.offset_err[:, 0], LEAST_OFFSET,
        ),
        "its stars lie {:+.3g} mas North of those of others": (
            own.offset[:, 1], own.offset_err[:, 1], LEAST_OFFSET,
        ),
        "its stars are brighter than those of others by {:+.3g}": (
            own.flux, own.flux_err, LEAST_FLUX,
        ),
        f"its sky is above that of others by {{:+.3g}} {evidence.unit}": (
            own.sky, own.sky_err, LEAST_STEP * noise,
        ),
    }  # fmt: skip
    for words, (values, errors, least) in checks.items():
        floor = np.maximum(np.nan_to_num(errors), least)
        for k in np.flatnonzero(standing_out(values, sigmas, floor)):
            found[k].append(words.format(values[k]))
    return ["; ".join(each) for each in found]
