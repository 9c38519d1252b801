"""The metadata of a stage-2 exposure as the archive delivers it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.time import Time

from snakewebb.simulate.apertures import Pointing
from snakewebb.simulate.detector import FILTERS
from snakewebb.simulate.guiding import Guiding
from snakewebb.simulate.model import optical_elements
from snakewebb.wcs.gwcs_library import sip_keywords
from snakewebb.wcs.sphere import s_region

if TYPE_CHECKING:
    from snakewebb.simulate.model import Frame, Observation

EXPOSURE_TYPE = {
    "NIRCAM": "NRC_IMAGE",
    "MIRI": "MIR_IMAGE",
    "NIRISS": "NIS_IMAGE",
    "FGS": "FGS_IMAGE",
}
READ_PATTERN = {
    "NIRCAM": ("MEDIUM8", 107.3677),
    "MIRI": ("FASTR1", 2.77504),
    "NIRISS": ("NIS", 42.94708),
    "FGS": ("FGSRAPID", 10.73677),
}
SCA_NUMBER = {
    **{f"NRC{module}{n}": 480 + 5 * (module == "B") + n for module in "AB" for n in range(1, 5)},
    "NRCALONG": 485,
    "NRCBLONG": 490,
    "MIRIMAGE": 493,
    "NIS": 496,
    "GUIDER1": 497,
    "GUIDER2": 498,
}
STEPS = (
    "assign_wcs",
    "dark_sub",
    "dq_init",
    "flat_field",
    "jump",
    "linearity",
    "photom",
    "ramp_fit",
    "saturation",
)
STEPS_OF = {
    "NIRCAM": ("charge_migration", "refpix", "superbias"),
    "MIRI": ("emicorr", "firstframe", "lastframe", "reset", "rscd"),
    "NIRISS": ("charge_migration", "refpix", "superbias"),
    "FGS": ("refpix", "superbias"),
}
REFERENCE_FILES = {
    "area": "fits",
    "dark": "fits",
    "distortion": "asdf",
    "filteroffset": "asdf",
    "flat": "fits",
    "gain": "fits",
    "linearity": "fits",
    "mask": "fits",
    "photom": "fits",
    "readnoise": "fits",
    "saturation": "fits",
}
MICROJANSKY_PER_SQUARE_ARCSEC = 23.50443
"""In one MJy/sr."""


def stage2_metadata(
    observation: Observation,
    frame: Frame,
    pixel_area: float,
    target: tuple[float, float],
    start: float,
) -> dict[str, Any]:
    """Return the ``meta`` tree of an exposure, but for the WCS itself.

    Parameters
    ----------
    observation : Observation
    frame : Frame
    pixel_area : float
        Nominal, steradians.
    target : (ra, dec)
        Degrees, in the middle of the exposure.
    start : float
        MJD.
    """
    instrument = observation.instrument
    subarray = "GENERIC" if observation.npix else "FULL"
    pointing = Pointing(
        *(frame.wcsinfo[name] for name in ("ra_ref", "dec_ref", "roll_ref", "v2_ref", "v3_ref"))
    )
    meta: dict[str, Any] = {
        "telescope": "JWST",
        "origin": "STSCI",
        "time_sys": "UTC",
        "time_unit": "s",
        "data_processing_software_version": "2022_4a",
        "prd_software_version": "PRDOPSSOC-059",
        "calibration_software_version": "1.11.4",
        "calibration_software_revision": "RELEASE",
        "bunit_data": "MJy/sr",
        "bunit_err": "MJy/sr",
        "asn": {
            "pool_name": f"jw{observation.program:05d}_20221118t120000_pool.csv",
            "table_name": f"jw{observation.program:05d}-o{observation.number:03d}_"
            f"20221118t120000_image2_{frame.exposure + 1:05d}_asn.json",
        },
        "program": {"title": "Simulated by snakewebb", "pi_name": "Webb, James", "category": "GO"},
        "observation": _observation(observation, frame, start),
        "visit": {
            "engineering_quality": "OK",
            "engdb_pointing_quality": "CALCULATED_TRACK_TR_202111",
            "type": "PRIME_TARGETED_MOVING" if observation.moving else "PRIME_TARGETED_FIXED",
            "start_time": "2022-11-17 11:00:00.0000000",
            "status": "SUCCESSFUL",
            "internal_target": False,
            "too_visit": False,
            "tsovisit": False,
            "crowded_field": False,
        },
        "target": {
            "proposer_name": "SIMULATED-FIELD",
            "catalog_name": "SIMULATED FIELD",
            "type": "MOVING" if observation.moving else "FIXED",
            "ra": target[0],
            "dec": target[1],
            "proper_motion_ra": 0.0,
            "proper_motion_dec": 0.0,
            "proposer_ra": observation.ra,
            "proposer_dec": observation.dec,
        },
        "instrument": _instrument(observation, frame.detector),
        "exposure": _exposure(observation, frame, start),
        "subarray": {
            "name": subarray,
            "xstart": frame.start[0],
            "ystart": frame.start[1],
            "xsize": frame.size[0],
            "ysize": frame.size[1],
            "fastaxis": -1 if instrument == "NIRCAM" else 1,
            "slowaxis": 2,
        },
        "dither": _dither(observation, frame.exposure),
        "ephemeris": {"reference_frame": "EME2000", "type": "Definitive"},
        "guidestar": {"gs_order": 1, "gs_id": "S1RC029711", "gs_pcs_mode": "FINEGUIDE"},
        "aperture": {
            "name": f"{frame.detector.replace('LONG', '5')}_{subarray}",
            "position_angle": (frame.wcsinfo["roll_ref"] + frame.wcsinfo["v3yangle"]) % 360,
        },
        "pointing": dict(zip(("ra_v1", "dec_v1", "pa_v3"), pointing.at(0, 0), strict=True)),
        "velocity_aberration": {"scale_factor": frame.va_scale},
        "coordinates": {"reference_frame": "ICRS"},
        "photometry": {
            "conversion_megajanskys": FILTERS[instrument][observation.filter].conversion,
            "conversion_microjanskys": FILTERS[instrument][observation.filter].conversion
            * MICROJANSKY_PER_SQUARE_ARCSEC,
            "pixelarea_steradians": pixel_area,
            "pixelarea_arcsecsq": pixel_area * np.degrees(3600.0) ** 2,
        },
        "wcsinfo": _wcsinfo(observation, frame, target),
        "cal_step": dict.fromkeys(STEPS + STEPS_OF[instrument], "COMPLETE"),
        "ref_file": {
            "crds": {"sw_version": "11.17.0", "context_used": "jwst_1100.pmap"},
            **{
                kind: {"name": f"crds://jwst_{instrument.lower()}_{kind}_0001.{extension}"}
                for kind, extension in REFERENCE_FILES.items()
                if (instrument, kind) != ("FGS", "filteroffset")
            },
        },
    }
    if observation.dva_pivot:
        for name, keywords in Guiding.of(observation).keywords().items():
            meta[name] |= keywords
    return meta


def _observation(observation: Observation, frame: Frame, start: float) -> dict[str, Any]:
    begin, end = (
        Time(mjd, format="mjd").isot for mjd in (start, start + observation.exposure_time / 86400)
    )
    visit = f"{observation.program:05d}{observation.number:03d}001"
    return {
        "date": begin[:10],
        "time": begin[11:],
        "date_beg": begin,
        "date_end": end,
        "obs_id": f"V{visit}P0000000021{observation.activity:02d}",
        "visit_id": visit,
        "program_number": f"{observation.program:05d}",
        "observation_number": f"{observation.number:03d}",
        "visit_number": "001",
        "visit_group": "02",
        "sequence_id": "1",
        "activity_id": f"{observation.activity:02d}",
        "exposure_number": str(frame.exposure + 1),
        "bkgdtarg": observation.is_background,
        "template": f"{observation.instrument.replace('NIRCAM', 'NIRCam')} Imaging",
        "observation_label": "simulated",
    }


def _instrument(observation: Observation, detector: str) -> dict[str, Any]:
    filter_name, pupil = optical_elements(observation.instrument, observation.filter)
    keywords = {"name": observation.instrument, "detector": detector, "lamp_mode": "NONE"}
    if filter_name:
        keywords["filter"] = filter_name
    if pupil:
        keywords["pupil"] = pupil
    if observation.instrument == "NIRCAM":
        keywords["module"] = detector[3]
        keywords["channel"] = "LONG" if detector.endswith("LONG") else "SHORT"
    return keywords


def _exposure(observation: Observation, frame: Frame, start: float) -> dict[str, Any]:
    time = observation.exposure_time
    middle, end = start + time / 2 / 86400, start + time / 86400
    pattern, group_time = READ_PATTERN[observation.instrument]
    return {
        "count": frame.exposure + 1,
        "prime_parallel": "PRIME",
        "type": EXPOSURE_TYPE[observation.instrument],
        "start_time": start,
        "start_time_mjd": start,
        "mid_time": middle,
        "mid_time_mjd": middle,
        "end_time": end,
        "end_time_mjd": end,
        "readpatt": pattern,
        "nints": 1,
        "ngroups": max(2, round(time / group_time)),
        "nframes": 1,
        "groupgap": 0,
        "nsamples": 1,
        "group_time": group_time,
        "integration_time": time,
        "exposure_time": time,
        "effective_exposure_time": time,
        "measurement_time": time,
        "duration": time,
        "elapsed_exposure_time": time,
        "nresets_at_start": 1,
        "zero_frame": False,
        "data_problem": False,
        "sca_num": SCA_NUMBER[frame.detector],
        "psf_reference": False,
    }


def _dither(observation: Observation, exposure: int) -> dict[str, Any]:
    if observation.wcs is not None:
        return {"position_number": exposure + 1, "total_points": len(observation.wcs)}
    x, y = observation.dithers[exposure]
    return {
        "position_number": exposure + 1,
        "total_points": len(observation.dithers),
        "x_offset": x,
        "y_offset": y,
    }


def _wcsinfo(observation: Observation, frame: Frame, target: tuple[float, float]) -> dict[str, Any]:
    keywords = {
        name: frame.wcsinfo[name]
        for name in (
            "v2_ref",
            "v3_ref",
            "vparity",
            "v3yangle",
            "ra_ref",
            "dec_ref",
            "roll_ref",
            "crpix1",
            "crpix2",
        )
    }
    keywords["siaf_xref_sci"] = keywords["crpix1"]
    keywords["siaf_yref_sci"] = keywords["crpix2"]
    sip = sip_keywords(frame.wcs, keywords)
    keywords |= {name.lower(): value for name, value in sip.items()}
    keywords["s_region"] = s_region(*frame.corners())
    if observation.moving:
        keywords["mt_ra"], keywords["mt_dec"] = target
    return keywords
