"""Job crf: what all steps before resampling found out of an exposure, put into one file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from snakewebb.astrometry.alignment import AlignmentResult
from snakewebb.io.bands import read_window
from snakewebb.io.exposure_file import ExposureFile
from snakewebb.io.fits_structure import first_header
from snakewebb.io.names import exposure_name
from snakewebb.io.planes import has_plane, image_shape, map_plane
from snakewebb.io.provenance import Provenance
from snakewebb.jobs.options import options_of
from snakewebb.mosaicking.outlier_detection import OutlierOptions, flag_outliers, reason_to_skip
from snakewebb.mosaicking.sky_levels import SkyResult, check_subtraction, sky_in_pixels
from snakewebb.products.exposure_file import write_crf
from snakewebb.wcs.change import Pointing
from snakewebb.wcs.exposure import Exposure
from snakewebb.wcs.pixel_map import PixelMap

PIXELS = "DETECTOR", "SUBSTRT1", "SUBSTRT2"
"""Keywords that tell which pixels an exposure is of."""


def finish_exposure(
    exposure: str | Path,
    target: str | Path,
    *,
    facts: str | Path,
    alignment: str | Path,
    siblings: Sequence[str | Path] = (),
    sky: str | Path | None = None,
    median: str | Path | None = None,
    step: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Flag an exposure's outliers and write it with its alignment and sky level.

    Parameters
    ----------
    exposure, target : path
        The ``_cal`` and the ``_crf`` to write.
    facts : path
        What `snakewebb.jobs.find_sources.describe_exposure` wrote.
    alignment : path
        What `snakewebb.jobs.align.align_product` wrote.
    siblings : sequence of paths, optional
        Other exposures of the product, of which those of the same pixels tell their noise.
    sky : path, optional
        What `snakewebb.jobs.skymatch.match_exposures` wrote; not if the step was skipped.
    median : path, optional
        The median of all exposures; not if outliers are not to be flagged.
    step : mapping, optional
        ``outlier_detection``: options of `snakewebb.mosaicking.outlier_detection.OutlierOptions`;
        ``median``: those that the median was made with, for the record; ``sip``: options of
        `snakewebb.wcs.sip.sip_keywords`, None for no SIP keywords; ``subtract``: whether to
        subtract the sky; ``asn``: for ``meta.asn``.

    Raises
    ------
    InputError
        A file cannot be used.
    """
    name = exposure_name(exposure)
    result = AlignmentResult.read(alignment)
    layout, aligned = result.layout, result.exposures[name]
    correction = layout.placements[name].correction
    statuses: dict[str, str] = {result.step: aligned.status}
    notes = asdict(aligned) | {"parameters": result.parameters}
    if result.islands and aligned.island is not None:
        notes["reference_fit"] = asdict(result.islands[aligned.island])
        notes["reference"] = result.reference
    said: dict[str, Any] = {result.step: notes}
    known = Exposure.read(facts)
    subtract = step.get("subtract", False)
    check_subtraction(name, known.header.sky_subtracted, subtract)
    matched, background = None, None
    if sky:
        skies = SkyResult.read(sky)
        matched = skies.exposures[name]
        statuses["skymatch"] = matched.status
        said["skymatch"] = asdict(matched) | {"parameters": skies.parameters}
        background = {"level": matched.level, "subtracted": subtract, "method": skies.skymethod}
    else:
        statuses["skymatch"], said["skymatch"] = "SKIPPED", {"reason": "skip is set"}
    outliers = None
    reason: str | None = "skip is set"
    flagging = step.get("outlier_detection", {})
    how = options_of(OutlierOptions, flagging)
    if median:
        reason = reason_to_skip(result.groups, result.lost_target, resample_data=how.resample_data)
    source = ExposureFile(exposure)
    planes = {} if reason else source.measured()
    if not reason and planes["ERR"] is None:
        reason = "the exposure has neither errors nor variances"
    if reason or not median:
        statuses["outlier_detection"] = "SKIPPED"
        said["outlier_detection"] = {"reason": reason}
    else:
        planes["VAR_RNOISE"] = source.valid_planes.get("VAR_RNOISE")
        outliers = flag_outliers(
            planes,
            PixelMap(known.geometry.corrected(correction), layout.grid),
            partial(read_window, median),
            sky_in_pixels(known.header, matched),
            how,
            _others(exposure, siblings, "ERR" if planes["VAR_RNOISE"] is None else "VAR_RNOISE"),
            aligned.rms_after,
        )
        statuses["outlier_detection"] = "COMPLETE"
        said["outlier_detection"] = {"parameters": {**step.get("median", {}), **flagging}}
    write_crf(
        source,
        target,
        provenance=Provenance(statuses, said),
        pointing=Pointing(
            correction=correction,
            geometry=known.geometry,
            sip=step.get("sip", {}),
            moving_target=result.step == "assign_mtwcs",
            wcsinfo={key: notes[key] for key in ("mt_avra", "mt_avdec") if notes[key] is not None},
        ),
        sky=background,
        outliers=outliers,
        asn=step.get("asn"),
    )


def _others(
    exposure: str | Path, siblings: Sequence[str | Path], name: str
) -> Iterator[np.ndarray]:
    """Yield a plane of those siblings that have the same pixels of the same detector."""
    own, shape = first_header(exposure), image_shape(exposure)
    for sibling in siblings:
        header = first_header(sibling)
        same = all(header.get(key) == own.get(key) for key in PIXELS)
        if same and image_shape(sibling) == shape and has_plane(sibling, name):
            yield map_plane(sibling, name)
