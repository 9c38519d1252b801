"""Exposures as they are before stage 2, with what stage 2 needs.

A simulated ``_cal`` is taken back to a ``_rate``: flat-fielding and photometric calibration are
undone with reference files that are made for it, and what stage 2 adds is left out.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from stdatamodels.jwst import datamodels

from snakewebb.io.dq import BITS, DO_NOT_USE
from snakewebb.simulate import apertures, coronagraphy, observation
from snakewebb.simulate.coron_model import CoronagraphicObservation
from snakewebb.simulate.crds_cache import write_cache
from snakewebb.simulate.model import Observation
from snakewebb.simulate.stage2_references import SQUARE_ARCSEC, ReferenceSet, write_references
from snakewebb.wcs.sphere import from_plane

MICROJANSKY_PER_SQUARE_ARCSEC = 1e12 * SQUARE_ARCSEC
"""In one MJy/sr."""
LOST = 5e-4
"""Share of pixels that are bad in one exposure only."""
PLANES = ("data", "err", "var_poisson", "var_rnoise", "var_flat")
STEPS = ("assign_wcs", "flat_field", "photom")
BACKGROUND_STEP = 10
"""Dithers of background exposures, in those of the field."""
POINTING = (
    "v2_ref",
    "v3_ref",
    "vparity",
    "v3yangle",
    "ra_ref",
    "dec_ref",
    "roll_ref",
    "siaf_xref_sci",
    "siaf_yref_sci",
    "crpix1",
    "crpix2",
    "s_region",
    "mt_ra",
    "mt_dec",
)
"""What stage 1 knows of the WCS."""


@dataclass
class Stage1:
    """Saves exposures of an observation as stage 1 leaves them, and their reference files.

    Attributes
    ----------
    rows : dict
        Where each detector looks.
    seed : int
    references : dict
        Those written so far, by detector.
    """

    rows: dict[str, apertures.Aperture]
    seed: int
    references: dict[str, ReferenceSet] = field(default_factory=dict)

    def save(self, model: datamodels.JwstDataModel, folder: Path, name: str) -> None:
        """Write ``{name}_rate.fits`` (or ``_rateints``), and what it shall become to ``truth/``."""
        meta = model.meta.instance
        detector = meta["instrument"]["detector"]
        if detector not in self.references:
            self.references[detector] = write_references(
                meta,
                self.rows[detector],
                folder / "references",
                number=len(self.references) + 1,
                seed=self.seed,
            )
        lose_pixels(model, np.random.default_rng([self.seed, crc32(name.encode())]))
        rate = uncalibrate(model, self.references[detector])
        suffix = "rate" if model.data.ndim == 2 else "rateints"
        rate.save(folder / f"{name}_{suffix}.fits")
        observation.save_calibrated(model, folder / "truth", name)


def write(observed: Observation | CoronagraphicObservation, folder: str | Path) -> Path:
    """Simulate an observation and write its files as they are before stage 2.

    Parameters
    ----------
    observed : Observation or CoronagraphicObservation
        If it does not say how its sky is aberrated, it is about the guide star.
    folder : path
        Gets the ``_rate`` or ``_rateints`` exposures, also of the background, if there is one;
        associations of stage 2, one an exposure, and that of stage 3, which names ``_cal`` that are
        to be made; ``references/``, and ``crds/``, a CRDS cache with them; ``truth/``, as
        `observation.write` and `coronagraphy.write` fill it, and with the ``_cal`` that stage 2
        shall make (without subtraction of the background).

    Returns
    -------
    Path
        The association of stage 3.

    Raises
    ------
    ValueError
        The observation has gWCS of its own: no DISTORTION is known that would give them.
    """
    if isinstance(observed, Observation) and observed.wcs is not None:
        raise ValueError("an observation with gWCS of its own cannot be taken back to stage 1")
    folder = Path(folder)
    observed = replace(observed, dva_pivot=observed.dva_pivot or "guide_star")
    if isinstance(observed, CoronagraphicObservation):
        stage1 = Stage1({observed.row.detector: observed.row}, observed.seed)
        path = coronagraphy.write(observed, folder, save=stage1.save)
        write_associations(path, [])
    else:
        rows = {name: apertures.imaging_aperture(name) for name in observed.detectors}
        stage1 = Stage1(rows, observed.seed)
        path = observation.write(observed, folder, save=stage1.save)
        sky = []
        if observed.background:
            beside = background_of(observed)
            sky = observation.write_exposures(beside, folder, stage1.save)
        write_associations(path, sky)
    write_cache(list(stage1.references.values()), folder / "references", folder / "crds")
    return path


def background_of(observed: Observation) -> Observation:
    """Return the observation beside a field: the same sky levels, other stars and noise.

    Its dithers are larger than its galaxies, as an observer would have them: what is in the same
    place in all exposures would be taken for background.
    """
    ra, dec = from_plane(*observed.background, observed.ra, observed.dec)
    return replace(
        observed,
        ra=float(ra),
        dec=float(dec),
        number=observed.number + 1,
        dithers=tuple((BACKGROUND_STEP * x, BACKGROUND_STEP * y) for x, y in observed.dithers),
        sources=None,
        is_background=True,
    )


def lose_pixels(
    model: datamodels.ImageModel | datamodels.CubeModel, rng: np.random.Generator
) -> None:
    """Make some pixels of an exposure bad: cosmic rays have saturated them from the start."""
    lost = rng.random(model.data.shape, np.float32) < LOST
    model.dq[lost] |= DO_NOT_USE | BITS["SATURATED"] | BITS["JUMP_DET"]
    for name in PLANES:
        getattr(model, name)[lost] = np.nan


def uncalibrate(
    model: datamodels.ImageModel | datamodels.CubeModel, references: ReferenceSet
) -> datamodels.ImageModel | datamodels.CubeModel:
    """Undo flat-fielding and photometric calibration, and what belongs to them.

    Parameters
    ----------
    model : ImageModel or CubeModel
        A simulated ``_cal`` or ``_calints``. It becomes what the reference pipeline makes of the
        result: pixels without a flat are bad, and VAR_FLAT is from the flat's error.
    references : ReferenceSet

    Returns
    -------
    ImageModel or CubeModel
        The ``_rate`` or ``_rateints``, DN/s.
    """
    meta = model.meta.instance
    subarray = meta["subarray"]
    here = _window(subarray, references.corner)
    flat = references.flat[here].astype(np.float64)
    factor = references.conversion(meta["exposure"]["mid_time"])
    planes = {
        name: (getattr(model, name) * (flat / factor) ** power).astype(np.float32)
        for name, power in (("data", 1), ("var_poisson", 2), ("var_rnoise", 2))
    }
    planes["err"] = np.sqrt(planes["var_poisson"] + planes["var_rnoise"])
    planes["dq"] = model.dq.copy()
    if model.data.ndim == 3:
        planes["int_times"] = model.int_times
    rate = type(model)({**planes, "meta": _stage1_meta(meta)})

    model.dq |= references.flat_dq[here]
    model.var_flat = (model.data * (references.flat_err[here] / flat)) ** 2
    model.err = np.sqrt(model.var_poisson + model.var_rnoise + model.var_flat)
    bad = (model.dq & DO_NOT_USE) != 0
    for name in PLANES:
        getattr(model, name)[bad] = np.nan
    model.area = references.area[_window(subarray, (1, 1))]
    photometry = {
        "conversion_megajanskys": factor,
        "conversion_microjanskys": factor * MICROJANSKY_PER_SQUARE_ARCSEC,
        "pixelarea_steradians": references.pixel_area,
        "pixelarea_arcsecsq": references.pixel_area / SQUARE_ARCSEC,
    }
    files = {kind: {"name": f"crds://{name}"} for kind, name in references.names.items()}
    model.update({"meta": {"photometry": photometry, "ref_file": files}})
    return rate


def _window(subarray: dict[str, Any], corner: tuple[int, int]) -> tuple[slice, slice]:
    """Return where a subarray is in a plane whose first pixel is ``corner`` (1-based)."""
    x, y = (subarray[name] - at for name, at in zip(("xstart", "ystart"), corner, strict=True))
    return slice(y, y + subarray["ysize"]), slice(x, x + subarray["xsize"])


def _stage1_meta(meta: dict[str, Any]) -> dict[str, Any]:
    """Return the metadata without what stage 2 adds."""
    left_out = ("wcs", "photometry", "asn", "filename", "model_type", "date")
    meta = copy.deepcopy({name: value for name, value in meta.items() if name not in left_out})
    meta["bunit_data"] = meta["bunit_err"] = "DN/s"
    for step in STEPS:
        del meta["cal_step"][step]
    for kind in ("area", "distortion", "filteroffset", "flat", "photom"):
        meta["ref_file"].pop(kind, None)
    known = meta["wcsinfo"]
    meta["wcsinfo"] = {name: known[name] for name in POINTING if name in known}
    scale = (
        float(np.hypot(known["cd1_1"], known["cd2_1"])),
        float(np.hypot(known["cd1_2"], known["cd2_2"])),
    )
    # Greisen & Calabretta 2002 (A&A 395, 1061); V3I_YANG turns with the parity of the axes
    angle = np.radians(known["roll_ref"] - known["vparity"] * known["v3yangle"])
    c, s = float(np.cos(angle)), float(np.sin(angle))
    parity = known["vparity"]
    meta["wcsinfo"] |= {
        "wcsaxes": 2,
        "ctype1": "RA---TAN",
        "ctype2": "DEC--TAN",
        "cunit1": "deg",
        "cunit2": "deg",
        "crval1": known["ra_ref"],
        "crval2": known["dec_ref"],
        "cdelt1": scale[0],
        "cdelt2": scale[1],
        "pc1_1": parity * c,
        "pc1_2": s,
        "pc2_1": -parity * s,
        "pc2_2": c,
    }
    return meta


def write_associations(stage3: Path, background: list[str]) -> None:
    """Write an association of stage 2 for each exposure, beside that of stage 3.

    Parameters
    ----------
    stage3 : path
        Its members, ``_cal`` or ``_calints``, are the exposures.
    background : list of str
        Roots of names of exposures of the background. Those, too, get associations, without
        background.
    """
    content = json.loads(stage3.read_text(encoding="utf-8"))
    members = [member["expname"] for member in content["products"][0]["members"]]
    kind = members[0].removesuffix(".fits").rpartition("_")[2].replace("cal", "rate")
    science = [name.rpartition("_")[0] for name in members]
    for index, name in enumerate([*science, *background], 1):
        program, number = name[2:7], f"o{name[7:10]}"
        detector = name.rpartition("_")[2]
        others = [n for n in background if n.endswith(detector)] if name in science else []
        exptypes = {name: "science", **dict.fromkeys(others, "background")}
        association = {
            **{key: value for key, value in content.items() if key != "products"},
            "asn_type": "image2",
            "asn_rule": "Asn_Lv2Image",
            "asn_id": number,
            "products": [
                {
                    "name": name,
                    "members": [
                        {"expname": f"{n}_{kind}.fits", "exptype": exptype, "exposerr": "null"}
                        for n, exptype in exptypes.items()
                    ],
                }
            ],
        }
        path = f"jw{program}-{number}_20221118t120000_image2_{index:05d}_asn.json"
        observation.write_json(stage3.parent / path, association)
