"""The flagged exposure: what all steps before resampling found out, put into one file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from snakewebb.io.names import exposure_name
from snakewebb.io.planes import invalidate, read_measured, read_window
from snakewebb.mosaicking.outlier_detection import flag_outliers, reason_to_skip
from snakewebb.mosaicking.sky_levels import check_subtraction, sky_in_pixels
from snakewebb.products.exposure_file import write_crf
from snakewebb.wcs.exposure import parse_facts
from snakewebb.wcs.layout import Layout
from snakewebb.wcs.pixel_map import PixelMap


def finish_exposure(
    source: str | Path,
    target: str | Path,
    *,
    facts_file: str | Path,
    alignment_file: str | Path,
    sky_file: str | Path | None,
    median_file: str | Path | None,
    outlier_detection: Mapping[str, Any],
    median: Mapping[str, Any],
    sip: Mapping[str, Any] | None,
    subtract: bool,
    asn: Mapping[str, Any],
) -> None:
    """Flag an exposure's outliers and write it with its alignment and sky level.

    Parameters
    ----------
    source, target : path
        The ``_cal`` and the ``_crf`` to write.
    facts_file, alignment_file : path
        What `snakewebb.wcs.exposure.locate` and `snakewebb.jobs.align` found.
    sky_file : path or None
        What `snakewebb.mosaicking.skymatch` found; None if the step was skipped.
    median_file : path or None
        The median of all exposures; None if outliers are not to be flagged.
    outlier_detection : mapping
        Parameters of `snakewebb.mosaicking.outlier_detection.flag_outliers`.
    median : mapping
        Parameters that the median was made with; for the record.
    sip : mapping or None
        Parameters of `snakewebb.wcs.sip.sip_keywords`; None for no SIP keywords.
    subtract : bool
        Whether to subtract the sky.
    asn : mapping
        For ``meta.asn``.
    """
    name = exposure_name(source)
    alignment = json.loads(Path(alignment_file).read_text())
    layout = Layout.from_dict(alignment["layout"])
    correction = layout.placements[name].correction
    aligned = alignment["exposures"][name]
    step = alignment["step"]
    statuses = {step: aligned["status"]}
    provenance: dict[str, Any] = {step: aligned | {"parameters": alignment["parameters"]}}
    if alignment["islands"]:
        provenance[step]["reference_fit"] = alignment["islands"][aligned["island"]]
        provenance[step]["reference"] = alignment["reference"]
    facts, geometry = parse_facts(Path(facts_file).read_bytes())
    check_subtraction(name, facts["sky_subtracted"], subtract)
    sky = None
    if sky_file:
        matched = json.loads(Path(sky_file).read_text())
        sky = matched["exposures"][name]
        statuses["skymatch"] = sky["status"]
        provenance["skymatch"] = sky | {"parameters": matched["parameters"]}
        sky["subtracted"], sky["method"] = subtract, matched["skymethod"]
    else:
        statuses["skymatch"], provenance["skymatch"] = "SKIPPED", {"reason": "skip is set"}
    outliers = None
    reason = "skip is set"
    if median_file:
        reason = reason_to_skip(alignment, resample_data=outlier_detection["resample_data"])
    planes = {} if reason else read_measured(source)
    if not reason and planes["ERR"] is None:
        reason = "the exposure has neither errors nor variances"
    if reason:
        statuses["outlier_detection"] = "SKIPPED"
        provenance["outlier_detection"] = {"reason": reason}
    else:
        invalidate(planes)
        outliers = flag_outliers(
            planes,
            PixelMap(geometry.corrected(correction), layout.grid),
            partial(read_window, median_file),
            sky_in_pixels(facts, sky),
            **outlier_detection,
        )
        statuses["outlier_detection"] = "COMPLETE"
        provenance["outlier_detection"] = {"parameters": {**median, **outlier_detection}}
    moving = step == "assign_mtwcs"
    write_crf(
        source,
        target,
        statuses=statuses,
        correction=correction,
        geometry=geometry,
        moving_target=moving,
        sip=sip,
        wcsinfo={key: aligned[key] for key in ("mt_avra", "mt_avdec") if key in aligned},
        sky=sky,
        outliers=outliers,
        asn=asn,
        provenance=provenance,
    )
