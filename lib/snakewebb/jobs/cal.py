"""Job cal: a count rate, calibrated by all steps of stage 2 in one go."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from snakewebb.calibration.assign_wcs import WcsOptions, assign_wcs
from snakewebb.calibration.background import subtract
from snakewebb.calibration.exposures import check_setup
from snakewebb.calibration.flat_field import FlatFieldOptions, flat_field
from snakewebb.calibration.photom import CALIBRATED, COUNTED, PhotomOptions, photom
from snakewebb.errors import InputError
from snakewebb.io.dq import DO_NOT_USE
from snakewebb.io.exposure_file import ExposureFile
from snakewebb.io.names import exposure_name
from snakewebb.io.planes import Planes, left_out
from snakewebb.io.provenance import Provenance, read_notes
from snakewebb.jobs.options import options_of, record_of
from snakewebb.jobs.rate import check_rate
from snakewebb.products.exposure_copy import write_copy
from snakewebb.references.flat import FlatFile
from snakewebb.references.photom import Conversion, PixelArea, conversion_of, read_area
from snakewebb.references.subarrays import cut_out, subarray_of
from snakewebb.wcs.change import WcsChange

log = logging.getLogger(__name__)

STEPS = ("bkg_subtract", "assign_wcs", "flat_field", "photom")
COUNTED_TYPES = ("NIS_AMI",)
"""Exposures that stay in DN/s: interferometry asks for no more (jwst#4485)."""


def calibrate_exposure(
    exposure: str | Path,
    target: str | Path,
    *,
    references: Mapping[str, str | Path],
    names: Mapping[str, str] = MappingProxyType({}),
    background: str | Path | None = None,
    step: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    asn: Mapping[str, Any] | None = None,
) -> None:
    """Calibrate an exposure: background, WCS, flat field, units.

    Parameters
    ----------
    exposure, target : path
        The ``_rate`` or ``_rateints``, and the ``_cal`` or ``_calints`` to write.
    references : mapping
        Reference files by type: ``distortion``, ``filteroffset``, ``flat``, ``photom``, ``area``.
        A step without its own is skipped.
    names : mapping, optional
        What the product calls them, by type; by default their names without folder.
    background : path, optional
        What `snakewebb.jobs.background.combine_backgrounds` wrote.
    step : mapping, optional
        By step (``bkg_subtract``, ``assign_wcs``, ``flat_field``, ``photom``): ``skip``, and its
        options.
    asn : mapping, optional
        For ``meta.asn``.

    Raises
    ------
    InputError
        A file cannot be used.
    """
    work = _Calibration(exposure, references, names, step)
    work.metadata["asn"] = asn or {}
    # What can be wrong with small files is found before large ones are read.
    conversion = work.read_photom()
    wcs = work.assign_wcs()
    if background is not None:
        work.subtract_background(background)
    work.flat_field()
    work.photom(*conversion)
    work.write(target, wcs)


def subtract_background(
    exposure: str | Path,
    target: str | Path,
    *,
    background: str | Path,
    asn: Mapping[str, Any] | None = None,
) -> None:
    """Write an exposure as it is after the first step of stage 2, still a count rate.

    Parameters
    ----------
    exposure, target : path
        The ``_rate`` or ``_rateints``, and the ``_bsub`` or ``_bsubints`` to write.
    background, asn
        See `calibrate_exposure`.

    Raises
    ------
    InputError
        A file cannot be used.
    """
    work = _Calibration(exposure, {}, {}, {})
    work.metadata["asn"] = asn or {}
    work.subtract_background(background)
    work.write(target)


class _Calibration:
    """An exposure between its steps, and what is to be said of them."""

    def __init__(
        self,
        exposure: str | Path,
        references: Mapping[str, str | Path],
        names: Mapping[str, str],
        step: Mapping[str, Mapping[str, Any]],
    ) -> None:
        options = {name: dict(step.get(name, {})) for name in STEPS}
        self.skipped = {name for name in STEPS if options[name].pop("skip", False)}
        self.pointing = options["assign_wcs"]
        self.flat_options = options_of(FlatFieldOptions, options["flat_field"])
        self.photom_options = options_of(PhotomOptions, options["photom"])
        self.header = check_rate(exposure, calibrated=self.photom_options.inverse)
        self.source = ExposureFile(exposure)
        self.place = subarray_of(exposure)
        self.references, self.names = references, names
        self.statuses: dict[str, str] = {}
        self.notes: dict[str, Any] = {}
        self.metadata: dict[str, Any] = {"ref_file": {}}
        if reasons := left_out(exposure):
            log.warning("%s: %s: done without", exposure, "; ".join(reasons))
            self.notes["left_out"] = reasons

    @cached_property
    def planes(self) -> Planes:
        """Those that steps change, whatever has been written in between."""
        return self.source.planes

    def complete(self, step: str, *used: str, **notes: Any) -> None:
        """Say that a step was done, with which types of reference files."""
        self.statuses[step], self.notes[step] = "COMPLETE", notes
        self.use(*used)

    def use(self, *used: str) -> None:
        """Say that reference files of some types were used, if there are such."""
        for kind in used:
            if kind in self.references:
                name = self.names.get(kind, Path(self.references[kind]).name)
                self.metadata["ref_file"][kind] = {"name": name}

    def skip(self, step: str, reason: str = "skip is set") -> None:
        """Say that a step was not done, and why."""
        self.statuses[step], self.notes[step] = "SKIPPED", {"reason": reason}

    def can(self, step: str, reference: str) -> bool:
        """Return whether a step is to be done with a type of reference file; else say why not."""
        if step in self.skipped:
            self.skip(step)
        elif reference not in self.references:
            log.warning("%s: %s is skipped: no %s file", self.source, step, reference.upper())
            self.skip(step, f"there is no {reference.upper()} reference file (N/A)")
        return step not in self.statuses

    def subtract_background(self, background: str | Path) -> None:
        planes, step = self.planes, "bkg_subtract"
        if step in self.skipped:
            self.skip(step)
            return
        if is_series(self.header, planes["SCI"].shape):
            self.skip(step, "the exposure is a time series")
            return
        if self.header.get("S_BKDSUB") == "COMPLETE":
            raise InputError(f"{self.source}: has no background any more: give it none")
        notes = read_notes(background).get(step)
        if notes is None:
            raise InputError(f"{background}: is no combined background: remove it and run again")
        check_setup(background, check_rate(background), self.source.path, self.header)
        name = exposure_name(self.source.path)
        if name in notes["exposures"]:
            raise InputError(f"{self.source}: is among its own background exposures: leave it out")
        remedy = "give backgrounds that cover the exposure's subarray"
        rows, columns = cut_out(background, self.place, remedy)
        known = {k: v[rows, columns] for k, v in ExposureFile(background).planes.items()}
        lost = (known["DQ"] & DO_NOT_USE) & ~planes["DQ"]
        subtract(planes, known)
        lacking = int(np.count_nonzero(lost))
        if lacking:
            log.warning("%s: %d good pixels have no background", self.source, lacking)
        self.complete(step, **notes, pixels_lost=lacking)

    def assign_wcs(self) -> WcsChange | None:
        if not self.can("assign_wcs", "distortion"):
            return None
        options = options_of(WcsOptions, self.pointing)
        offset = self.references.get("filteroffset")
        wcs, notes = assign_wcs(self.source, self.references["distortion"], offset, options)
        if wcs is None:
            self.skip("assign_wcs", notes["reason"])
        else:
            notes["parameters"] = record_of(options)
            self.complete("assign_wcs", "distortion", "filteroffset", **notes)
        return wcs

    def flat_field(self) -> None:
        if not self.can("flat_field", "flat"):
            return
        if self.header.get("S_FLAT") == "COMPLETE" and not self.flat_options.inverse:
            raise InputError(
                f"{self.source}: is divided by a flat field already: set image2.flat_field.inverse "
                "or skip"
            )
        flat = FlatFile(self.references["flat"], self.place)
        flat_field(self.planes, flat, self.flat_options.inverse)
        flat.check()
        notes = {"unknown_errors": flat.unknown_errors, "parameters": record_of(self.flat_options)}
        self.complete("flat_field", "flat", **notes)

    def read_photom(self) -> tuple[Conversion | None, PixelArea | None]:
        if not self.can("photom", "photom"):
            return None, None
        path, how = self.references["photom"], self.photom_options
        area = read_area(self.references.get("area"), path, self.place)
        self.use("photom", "area")
        if self.header.get("EXP_TYPE") in COUNTED_TYPES:
            self.skip("photom", f"{self.header['EXP_TYPE']} stays in {COUNTED}")
            return None, area
        return conversion_of(path, self.header, how.apply_time_correction), area

    def photom(self, conversion: Conversion | None, area: PixelArea | None) -> None:
        known: dict[str, Any] = {}
        if conversion is not None:
            inverse = self.photom_options.inverse
            photom(self.planes, conversion.mjsr, inverse)
            known["conversion_megajanskys"] = conversion.mjsr
            known["conversion_microjanskys"] = conversion.microjanskys
            unit = COUNTED if inverse else CALIBRATED
            self.metadata |= {"bunit_data": unit, "bunit_err": unit}
            parameters = record_of(self.photom_options)
            self.complete("photom", **conversion.notes, parameters=parameters)
        if area is not None:
            known["pixelarea_steradians"] = area.steradians
            known["pixelarea_arcsecsq"] = area.square_arcsec
            if area.plane is not None:
                self.planes["AREA"] = area.plane
        self.metadata["photometry"] = known

    def write(self, target: str | Path, wcs: WcsChange | None = None) -> None:
        """Write the exposure as it is now, and what is said of its steps."""
        statuses = {name: self.statuses[name] for name in STEPS if name in self.statuses}
        write_copy(
            self.source,
            target,
            self.planes,
            provenance=Provenance(statuses, self.notes),
            metadata=self.metadata,
            wcs=wcs,
        )


def is_series(header: Mapping[str, str], shape: tuple[int, ...]) -> bool:
    """Return whether an exposure is a time series, of which no background is subtracted."""
    kind = header.get("EXP_TYPE") == "NRC_TSIMAGE" or header.get("TSOVISIT") == "T"
    return kind and len(shape) == 3 and shape[0] > 1
