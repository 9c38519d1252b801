"""The numbers that a product is judged by, against what the user asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from snakewebb.quality.repeats import Number


@dataclass(frozen=True)
class Thresholds:
    """What makes a product WARN; None for nothing.

    Attributes
    ----------
    max_separation_rms : float or None
        mas, at each separation.
    max_offset : float or None
        mas, an axis, of exposures and of detectors.
    max_repeatability : float or None
        mag.
    max_pull : float or None
        Of fluxes and of positions.
    max_noise_ratio : float or None
    max_sky_step : float or None
        Over the noise of a pixel of one exposure.
    max_flagged : float or None
        Fraction of the pixels of an exposure.
    outlying_sigma : float or None
        Standard deviations by which exposures stand out.
    min_depth : float or None
        AB magnitude.
    max_fwhm : float or None
        Arcsec.
    max_ellipticity : float or None
    """

    max_separation_rms: float | None = 15.0
    max_offset: float | None = 5.0
    max_repeatability: float | None = 0.03
    max_pull: float | None = 2.0
    max_noise_ratio: float | None = 1.3
    max_sky_step: float | None = 0.2
    max_flagged: float | None = 0.1
    outlying_sigma: float | None = 5.0
    min_depth: float | None = None
    max_fwhm: float | None = None
    max_ellipticity: float | None = 0.1


METRICS = {
    "separation_rms_5": ("mas", "max_separation_rms", "scatter of separations of stars 5″ apart"),
    "separation_rms_20": ("mas", "max_separation_rms", "scatter of separations of stars 20″ apart"),
    "separation_rms_60": ("mas", "max_separation_rms", "scatter of separations of stars 60″ apart"),
    "exposure_offset": ("mas", "max_offset", "rms offset of exposures from each other, an axis"),
    "detector_offset": (
        "mas",
        "max_offset",
        "rms offset of the detectors of an exposure from each other, an axis",
    ),
    "position_pull": ("", "max_pull", "scatter of repeated positions over their errors"),
    "flux_repeatability": (
        "mag",
        "max_repeatability",
        "scatter of repeated fluxes of bright stars",
    ),
    "flux_pull": ("", "max_pull", "scatter of repeated fluxes over their errors"),
    "sky_step": ("{unit}", None, "rms step of the sky from an exposure to others"),
    "sky_step_over_noise": ("", "max_sky_step", "the same over the noise of a pixel"),
    "noise_ratio": ("", "max_noise_ratio", "noise in blank apertures over what errors predict"),
    "depth": ("mag", "min_depth", "5-sigma depth in the standard aperture, AB"),
    "psf_fwhm": ("arcsec", "max_fwhm", "FWHM of stars in the mosaic"),
    "psf_ellipticity": ("", "max_ellipticity", "ellipticity of the PSF of the mosaic"),
    "alignment_rms": ("mas", None, "median rms of stars after the alignment"),
    "flagged": ("", "max_flagged", "highest fraction of flagged pixels of an exposure"),
    "outlying_exposures": ("", "outlying_sigma", "exposures that stand out"),
}
"""Unit, threshold and meaning of each."""


@dataclass(frozen=True)
class Metric:
    """A number and what is thought of it.

    Attributes
    ----------
    name, unit, description : str
    value, error : float
        NaN where it could not be measured; its standard error, NaN where it is not known.
    n : int
        Of how many stars, pairs, apertures, … it is made.
    threshold : float or None
    status : {"OK", "WARN", "ABSENT"}
    reason : str
        Why not OK.
    """

    name: str
    unit: str
    description: str
    value: float
    error: float
    n: int
    threshold: float | None
    status: str
    reason: str


def judge(
    numbers: Mapping[str, Number],
    thresholds: Thresholds,
    unit: str,
    outlying: Sequence[str] = (),
) -> list[Metric]:
    """Compare numbers with what is asked for; a threshold is passed by more than the error.

    Parameters
    ----------
    numbers : mapping
        By name, of those in ``METRICS``.
    thresholds : Thresholds
    unit : str
        Of the exposures' pixels.
    outlying : sequence of str
        What stands out, and why.
    """
    found = []
    for name, (units, key, description) in METRICS.items():
        number = numbers[name]
        threshold = getattr(thresholds, key) if key else None
        status, reason = "OK", ""
        if not np.isfinite(number.value):
            status, reason = "ABSENT", number.reason
        elif name == "outlying_exposures":
            status, reason = ("WARN", "; ".join(outlying)) if number.value else (status, reason)
        elif threshold is not None:
            reason = _trouble(number, str(key), threshold)
            status = "WARN" if reason else "OK"
        found.append(
            Metric(
                name=name,
                unit=units.format(unit=unit),
                description=description,
                value=number.value,
                error=number.error,
                n=number.n,
                threshold=threshold,
                status=status,
                reason=reason,
            )
        )
    return found


def _trouble(number: Number, key: str, threshold: float) -> str:
    """Return what is wrong with a number, "" if nothing is or its error may be why."""
    known = np.isfinite(number.error)
    margin, told = (number.error, f" ± {number.error:.2g}") if known else (0.0, "")
    least = key.startswith("min_")
    beyond = threshold - number.value if least else number.value - threshold
    word = "less" if least else "more"
    return f"{number.value:.4g}{told} is {word} than {key} {threshold:g}" if beyond > margin else ""
