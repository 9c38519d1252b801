"""Sky levels of a product's exposures: what matching hands to the steps of each exposure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from snakewebb.errors import InputError
from snakewebb.io.headers import ExposureHeader
from snakewebb.io.records import read_record, write_record

VERSION = 1
"""Of the format of files."""


@dataclass(frozen=True)
class ExposureSky:
    """The sky of an exposure, in the units of its pixels.

    Attributes
    ----------
    group : str
        All detectors of one exposure share it, and a level.
    level : float or None
        The sky; None where there is none.
    delta : float or None
        What of it is still in the pixels of the file.
    status : {"COMPLETE", "SKIPPED", "FAILED"}
    reason : str
    """

    group: str
    level: float | None
    delta: float | None
    status: str
    reason: str


@dataclass(frozen=True)
class SkyPair:
    """Two groups that overlap.

    Attributes
    ----------
    groups : (str, str)
    difference, residual : float
        Of their skies in the overlap, and what of it the levels leave.
    npix : float
        Mean number of pixels, the weight.
    """

    groups: tuple[str, str]
    difference: float
    residual: float
    npix: float


@dataclass(frozen=True)
class SkyResult:
    """Sky levels of all exposures of a product.

    Attributes
    ----------
    skymethod : str
    exposures : dict of str to ExposureSky
        In association order.
    subsets : list of lists of str
        Of matching: groups that are tied together.
    pairs : list of SkyPair
        Of matching.
    rms : float or None
        Of the residuals, weighted by npix; None where there is no pair.
    parameters : mapping
        Those of the step.
    """

    skymethod: str
    exposures: dict[str, ExposureSky]
    subsets: list[list[str]] = field(default_factory=list)
    pairs: list[SkyPair] = field(default_factory=list)
    rms: float | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def write(self, path: str | Path) -> None:
        """Write the result as JSON."""
        write_record(path, asdict(self), VERSION)

    @classmethod
    def read(cls, path: str | Path) -> SkyResult:
        """Read what `write` wrote.

        Raises
        ------
        InputError
            See `snakewebb.io.records.parse_record`.
        """
        values = read_record(path, VERSION)
        values["exposures"] = {n: ExposureSky(**sky) for n, sky in values["exposures"].items()}
        values["pairs"] = [SkyPair(**{**p, "groups": tuple(p["groups"])}) for p in values["pairs"]]
        return cls(**values)


def sky_in_pixels(header: ExposureHeader, matched: ExposureSky | None) -> float | None:
    """Return the sky level in the pixels of a stage-2 exposure, in their units; None if unknown.

    Parameters
    ----------
    header : ExposureHeader
    matched : ExposureSky or None
        What was found of it; without that, its header counts.
    """
    return matched.delta if matched and matched.delta is not None else header.remaining_sky


def check_subtraction(name: str, before: bool | None, subtract: bool) -> None:
    """Raise where an earlier run treated an exposure's sky in the other way.

    Parameters
    ----------
    name : str
        The exposure.
    before : bool or None
        Whether an earlier run subtracted its sky; None if there was none.
    subtract : bool
        Whether this one is to.

    Raises
    ------
    InputError
    """
    if before is not None and before != subtract:
        did = "was" if before else "was not"
        raise InputError(
            f"{name}: its sky {did} subtracted by an earlier run but skymatch.subtract is "
            f"{subtract}: set it to {before} or start from a fresh stage-2 file"
        )
