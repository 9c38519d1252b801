"""Job crf: what all steps before resampling found out of an exposure, put into one file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
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
    exposure: str | Path,
    target: str | Path,
    *,
    facts: str | Path,
    alignment: str | Path,
    sky: str | Path | None = None,
    median: str | Path | None = None,
    step: Mapping[str, Any] = MappingProxyType({}),
    asn: Mapping[str, Any] | None = None,
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
    sky : path, optional
        What `snakewebb.jobs.skymatch.match_exposures` wrote; not if the step was skipped.
    median : path, optional
        The median of all exposures; not if outliers are not to be flagged.
    step : mapping, optional
        ``outlier_detection``: options of `snakewebb.mosaicking.outlier_detection.flag_outliers`;
        ``median``: those that the median was made with, for the record; ``sip``: options of
        `snakewebb.wcs.sip.sip_keywords`, None for no SIP keywords; ``subtract``: whether to
        subtract the sky.
    asn : mapping, optional
        For ``meta.asn``.

    Raises
    ------
    InputError
        A file cannot be used.
    """
    name = exposure_name(exposure)
    alignment = json.loads(Path(alignment).read_text())
    layout = Layout.from_dict(alignment["layout"])
    correction = layout.placements[name].correction
    aligned = alignment["exposures"][name]
    aligner = alignment["step"]
    statuses = {aligner: aligned["status"]}
    provenance: dict[str, Any] = {aligner: aligned | {"parameters": alignment["parameters"]}}
    if alignment["islands"]:
        provenance[aligner]["reference_fit"] = alignment["islands"][aligned["island"]]
        provenance[aligner]["reference"] = alignment["reference"]
    header, geometry = parse_facts(Path(facts).read_bytes())
    subtract = step.get("subtract", False)
    check_subtraction(name, header["sky_subtracted"], subtract)
    matched = None
    if sky:
        result = json.loads(Path(sky).read_text())
        matched = result["exposures"][name]
        statuses["skymatch"] = matched["status"]
        provenance["skymatch"] = matched | {"parameters": result["parameters"]}
        matched["subtracted"], matched["method"] = subtract, result["skymethod"]
    else:
        statuses["skymatch"], provenance["skymatch"] = "SKIPPED", {"reason": "skip is set"}
    outliers = None
    groups = [placement.group for placement in layout.placements.values()]
    reason = "skip is set"
    flagging = step.get("outlier_detection", {})
    if median:
        reason = reason_to_skip(groups, resample_data=flagging.get("resample_data", True))
    planes = {} if reason else read_measured(exposure)
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
            partial(read_window, median),
            sky_in_pixels(header, matched),
            **flagging,
        )
        statuses["outlier_detection"] = "COMPLETE"
        provenance["outlier_detection"] = {"parameters": {**step.get("median", {}), **flagging}}
    write_crf(
        exposure,
        target,
        statuses=statuses,
        correction=correction,
        geometry=geometry,
        moving_target=aligner == "assign_mtwcs",
        sip=step.get("sip", {}),
        wcsinfo={key: aligned[key] for key in ("mt_avra", "mt_avdec") if key in aligned},
        sky=matched,
        outliers=outliers,
        asn=asn,
        provenance=provenance,
    )
