"""How the exposures of a product were aligned: what joint steps hand to those of each exposure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from snakewebb.io.records import read_record, write_record
from snakewebb.wcs.geometry import Correction
from snakewebb.wcs.layout import Layout

Status = Literal["COMPLETE", "SKIPPED", "FAILED"]
VERSION = 2
"""Of the format of files."""


@dataclass(frozen=True, kw_only=True)
class ExposureAlignment:
    """How an exposure was aligned; of what its step does not tell, nothing.

    Attributes
    ----------
    group, island, relative, absolute, correction, rotation : optional
        Of tweakreg, see `snakewebb.astrometry.tweakreg.GroupAlignment` and ``ExposureQuality``.
    reason : str
        Why something was skipped or failed, or that the others are aligned with this exposure.
    offset : (float, float), optional
        By how much it was moved to the East and North, mas.
    status : {"COMPLETE", "SKIPPED", "FAILED"}
        FAILED where anything that was asked for failed.
    n_sources, n_matches, rms_before, rms_after, error, pull : optional
        Of tweakreg, see `snakewebb.astrometry.tweakreg.ExposureQuality`.
    mt_avra, mt_avdec : float, optional
        Of assign_mtwcs: the mean position of the target, degrees.
    """

    group: str | None = None
    island: int | None = None
    relative: Status | None = None
    absolute: Status | None = None
    reason: str
    correction: Correction | None = None
    offset: tuple[float, float] | None = None
    rotation: float | None = None
    status: Status
    n_sources: int | None = None
    n_matches: int | None = None
    rms_before: float | None = None
    rms_after: float | None = None
    error: float | None = None
    pull: float | None = None
    mt_avra: float | None = None
    mt_avdec: float | None = None


@dataclass(frozen=True)
class ReferenceFit:
    """The fit of an island to the reference catalogue.

    Attributes
    ----------
    status : {"COMPLETE", "FAILED"}
    reason : str
    n_references, n_matches : int
        Catalogue entries around the island, and those used in the fit.
    rms : float or None
        Root mean square distance of these from the stars, mas.
    """

    status: Status
    reason: str
    n_references: int
    n_matches: int = 0
    rms: float | None = None


@dataclass(frozen=True)
class Solution:
    """How the exposures of a product, or of all products of a field, were aligned by their stars.

    Attributes
    ----------
    exposures : dict of str to ExposureAlignment
    islands : tuple of ReferenceFit
        By number of island; empty without a reference catalogue.
    reference : mapping
        What is noted of that catalogue.
    network : tuple of mapping
        What joint adjustments found besides, see `snakewebb.astrometry.joint.Joint.notes`.
    """

    exposures: dict[str, ExposureAlignment]
    islands: tuple[ReferenceFit, ...] = ()
    reference: Mapping[str, Any] = field(default_factory=dict)
    network: tuple[Mapping[str, Any], ...] = ()

    def write(self, path: str | Path) -> None:
        """Write the solution as JSON."""
        write_record(path, _record(self), VERSION)

    @classmethod
    def read(cls, path: str | Path) -> Solution:
        """Read what `write` wrote.

        Raises
        ------
        InputError
            See `snakewebb.io.records.parse_record`.
        """
        return cls(**_from_record(read_record(path, VERSION)))


@dataclass(frozen=True)
class AlignmentResult:
    """How the exposures of a product were aligned, and where they lie now.

    Attributes
    ----------
    step : {"tweakreg", "assign_mtwcs"}
        The step that was run.
    parameters : mapping
        Those that it was run with.
    exposures : dict of str to ExposureAlignment
        In association order.
    islands : tuple of ReferenceFit
        By number of island; empty without a reference catalogue.
    reference : mapping
        What is noted of that catalogue.
    layout : Layout
        The corrected exposures on the grid on which they are compared.
    network : tuple of mapping
        What the joint adjustments of tweakreg found besides, see
        `snakewebb.astrometry.joint.Joint.notes`.
    """

    step: str
    parameters: Mapping[str, Any]
    exposures: dict[str, ExposureAlignment]
    islands: tuple[ReferenceFit, ...]
    reference: Mapping[str, Any]
    layout: Layout
    network: tuple[Mapping[str, Any], ...] = ()

    @property
    def groups(self) -> list[str]:
        """The groups of the exposures."""
        return [placement.group for placement in self.layout.placements.values()]

    @property
    def lost_target(self) -> str:
        """Why a moving target was not brought to rest on the sky; empty if there is none such."""
        if self.step != "assign_mtwcs":
            return ""
        return next((e.reason for e in self.exposures.values() if e.status == "FAILED"), "")

    def write(self, path: str | Path) -> None:
        """Write the result as JSON."""
        write_record(path, _record(self) | {"layout": self.layout.to_dict()}, VERSION)

    @classmethod
    def read(cls, path: str | Path) -> AlignmentResult:
        """Read what `write` wrote.

        Raises
        ------
        InputError
            See `snakewebb.io.records.parse_record`.
        """
        values = read_record(path, VERSION)
        return cls(**_from_record(values) | {"layout": Layout.from_dict(values["layout"])})


def _record(known: Solution | AlignmentResult) -> dict[str, Any]:
    """Return what JSON can hold of both."""
    return {
        **vars(known),
        "exposures": {name: asdict(found) for name, found in known.exposures.items()},
        "islands": [asdict(island) for island in known.islands],
    }


def _from_record(values: dict[str, Any]) -> dict[str, Any]:
    return {
        **values,
        "exposures": {name: _exposure(found) for name, found in values["exposures"].items()},
        "islands": tuple(ReferenceFit(**island) for island in values["islands"]),
        "network": tuple(values["network"]),
    }


def _exposure(values: dict[str, Any]) -> ExposureAlignment:
    correction, offset = values["correction"], values["offset"]
    values["correction"] = correction and Correction.from_dict(correction)
    values["offset"] = offset and tuple(offset)
    return ExposureAlignment(**values)
