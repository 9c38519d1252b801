"""What a coronagraphic observation writes besides its exposures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from stdatamodels.jwst import datamodels

from snakewebb.io.dq import NON_SCIENCE
from snakewebb.simulate import detector, scene
from snakewebb.simulate.coron_model import OPTICS, SMALL_GRIDS, CoronagraphicObservation, Exposure
from snakewebb.simulate.coronagraph import Coronagraph, Modes
from snakewebb.simulate.metadata import stage2_metadata
from snakewebb.simulate.model import Frame
from snakewebb.wcs.geometry import Correction


def metadata(
    coronagraphic: CoronagraphicObservation, exposure: Exposure, pixel_area: float
) -> dict[str, Any]:
    """Return the ``meta`` tree of an exposure, but for the WCS itself."""
    optics, instrument = OPTICS[coronagraphic.aperture], coronagraphic.row.instrument
    image = exposure.observation
    meta = stage2_metadata(image, exposure.frame, pixel_area, (image.ra, image.dec), exposure.start)
    science = exposure.exptype == "science"
    star = "SIMULATED-STAR" if science else "REFERENCE-STAR"
    meta["target"] |= {"proposer_name": star, "catalog_name": star.replace("-", " ")}
    meta["instrument"] |= {"coronagraph": optics.coronagraph}
    if instrument == "NIRCAM":
        meta["instrument"] |= {"pupil": "MASKRND"}
    meta["exposure"] |= {
        "type": optics.exposure_type,
        "nints": exposure.integrations,
        "integration_start": 1,
        "integration_end": exposure.integrations,
        "integration_time": exposure.time,
        "ngroups": max(2, round(exposure.time / meta["exposure"]["group_time"])),
        "psf_reference": not science,
    }
    if not coronagraphic.npix:
        meta["subarray"] |= {"name": optics.subarray}
    meta["aperture"] |= {"name": coronagraphic.aperture, "pps_name": coronagraphic.aperture}
    meta["observation"] |= {
        "template": f"{instrument.replace('NIRCAM', 'NIRCam')} Coronagraphic Imaging"
    }
    meta["dither"]["primary_type"] = SMALL_GRIDS.get(len(image.dithers), "NONE")
    return meta


def write_psfmask(
    coronagraphic: CoronagraphicObservation,
    throughput: np.ndarray,
    flaws: detector.Flaws,
    path: Path,
) -> None:
    """Write the reference file PSFMASK: weights by throughput, 0 where no light falls."""
    weights = throughput * ((flaws.dq & NON_SCIENCE) == 0)
    optics, row = OPTICS[coronagraphic.aperture], coronagraphic.row
    meta = {
        "telescope": "JWST",
        "reftype": "psfmask",
        "pedigree": "DUMMY",
        "author": "snakewebb",
        "description": "Throughput of a simulated coronagraph",
        "useafter": "2022-01-01T00:00:00",
        "instrument": {
            "name": row.instrument,
            "detector": row.detector,
            "filter": coronagraphic.filter,
            "coronagraph": optics.coronagraph,
        },
        "exposure": {"type": optics.exposure_type},
        "subarray": {"name": "GENERIC" if coronagraphic.npix else optics.subarray},
    }
    model = datamodels.PsfMaskModel({"data": weights.astype(np.float32), "meta": meta})
    model.save(path)


def association(
    coronagraphic: CoronagraphicObservation, exposures: list[Exposure]
) -> dict[str, Any]:
    """Return a coron3 association as the archive makes it."""
    return {
        "asn_type": "coron3",
        "asn_rule": "candidate_Asn_Lv3Coron",
        "version_id": "20221118t120000",
        "code_version": "1.11.4",
        "degraded_status": "No known degraded exposures in association.",
        "program": f"{coronagraphic.program:05d}",
        "constraints": "No constraints",
        "asn_id": "c1001",
        "target": "t001",
        "asn_pool": f"jw{coronagraphic.program:05d}_20221118t120000_pool.csv",
        "products": [
            {
                "name": coronagraphic.product,
                "star_flux": coronagraphic.star_flux,
                "members": [
                    {"expname": f"{exposure.name}_calints.fits", "exptype": exposure.exptype}
                    for exposure in exposures
                ],
            }
        ],
    }


def truth_of(
    coronagraphic: CoronagraphicObservation,
    exposures: list[Exposure],
    optics: Coronagraph,
    modes: Modes,
    static: np.ndarray,
) -> dict[str, Any]:
    """Return what is true of an observation, to be written beside it."""
    peak = optics.image(np.rint(optics.center), static, masked=False).max()
    return {
        "star": {
            "ra": coronagraphic.ra,
            "dec": coronagraphic.dec,
            "flux": coronagraphic.star_flux,
        },
        "reference": {
            "ra": coronagraphic.reference_ra,
            "dec": coronagraphic.reference_dec,
            "flux": coronagraphic.reference_flux,
        },
        "companions": [
            {**companion._asdict(), "flux": companion.contrast * coronagraphic.star_flux}
            for companion in coronagraphic.companions
        ],
        "mask": {"x": optics.center[0], "y": optics.center[1]},
        "unocculted_peak": float(peak),
        "exposures": {
            exposure.name: {
                "exptype": exposure.exptype,
                "roll": exposure.frame.wcsinfo["roll_ref"],
                "dither": exposure.dither,
                "star": exposure.star.tolist(),
                "companions": exposure.companions.tolist(),
                "wavefront_rms": [
                    modes.rms(static + modes.wavefront(row)) for row in exposure.coefficients
                ],
                "wavefront_change_rms": [
                    modes.rms(modes.wavefront(row)) for row in exposure.coefficients
                ],
            }
            for exposure in exposures
        },
    }


def center_of(frame: Frame) -> tuple[float, float]:
    """Return the reference point, 0-based x and y."""
    return frame.wcsinfo["crpix1"] - 1, frame.wcsinfo["crpix2"] - 1


def scale_at(frame: Frame, center: tuple[float, float]) -> tuple[float, float]:
    """Return arcsec a pixel along x and y at the reference point."""
    ra, dec = map(float, frame.wcs(*center))
    here = Correction(ra, dec, ((1.0, 0.0), (0.0, 1.0)), (0.0, 0.0))
    at = np.array([ra]), np.array([dec])
    *_, jacobian = scene.locate(frame.wcs, frame.size[::-1], *at, here, 0.0)
    x, y = map(float, np.linalg.norm(jacobian[0], axis=0))
    return x, y
