"""Count rates and reference files, small and made by hand, as stdatamodels writes them."""

import asdf
import numpy as np
from astropy.io import fits
from stdatamodels.jwst import datamodels

from snakewebb.io.dq import BITS, DO_NOT_USE
from snakewebb.simulate.apertures import Pointing, imaging_aperture, make_wcs, wcsinfo

INSTRUMENTS = {
    "NIRCAM": ("NRCALONG", "F356W", "CLEAR"),
    "MIRI": ("MIRIMAGE", "F1130W", None),
    "NIRISS": ("NIS", "F150W", "CLEARP"),
    "FGS": ("GUIDER1", None, None),
}
TYPES = {"NIRCAM": "NRC_IMAGE", "MIRI": "MIR_IMAGE", "NIRISS": "NIS_IMAGE", "FGS": "FGS_IMAGE"}
PHOTOM_MODELS = {
    "NIRCAM": datamodels.NrcImgPhotomModel,
    "MIRI": datamodels.MirImgPhotomModel,
    "NIRISS": datamodels.NisImgPhotomModel,
    "FGS": datamodels.FgsImgPhotomModel,
}
PLACE = (11, 21, 40, 30)
"""Subarray: corner from 1, size."""
EXPMID = 60250.25
DQ_DEF = [
    (0, 1, "DO_NOT_USE", "bad"),
    (1, 2, "NO_FLAT_FIELD", "none"),
    (2, 4, "UNRELIABLE_FLAT", "poor"),
    (3, 8, "NEVER_HEARD_OF", "dropped"),
]


def _instrument(meta, instrument):
    detector, band, pupil = INSTRUMENTS[instrument]
    meta.instrument.name, meta.instrument.detector = instrument, detector
    meta.instrument.filter, meta.instrument.pupil = band, pupil
    if instrument == "NIRCAM":
        meta.instrument.channel, meta.instrument.module = "LONG", "A"


def _subarray(meta, place, name="SUB64"):
    x, y, nx, ny = place
    meta.subarray.name = name
    meta.subarray.xstart, meta.subarray.ystart = x, y
    meta.subarray.xsize, meta.subarray.ysize = nx, ny


def write_rate(
    path, instrument="NIRCAM", place=PLACE, ints=None, seed=0, change=None, sky=1.0, variances=True
):
    """Write a rate; `change` is given the model before it is saved."""
    rng = np.random.default_rng(seed)
    shape = (place[3], place[2]) if ints is None else (ints, place[3], place[2])
    kind = datamodels.ImageModel if ints is None else datamodels.CubeModel
    model = kind(shape)
    poisson = rng.uniform(1e-3, 2e-3, shape).astype(np.float32)
    rnoise = rng.uniform(1e-3, 2e-3, shape).astype(np.float32)
    err = np.sqrt(poisson + rnoise)
    model.data = (sky + err * rng.standard_normal(shape)).astype(np.float32)
    model.err = err
    model.dq = np.zeros(shape, np.uint32)
    if variances:
        model.var_poisson, model.var_rnoise = poisson, rnoise
    model.dq[..., 3, 4] = DO_NOT_USE | BITS["DEAD"]
    model.dq[..., 5, 6] = BITS["JUMP_DET"]
    for plane in (model.data, model.err, *((poisson, rnoise) if variances else ())):
        plane[..., 3, 4] = np.nan
    meta = model.meta
    _instrument(meta, instrument)
    _subarray(meta, place)
    meta.telescope = "JWST"
    meta.exposure.type = TYPES[instrument]
    meta.exposure.mid_time = EXPMID
    meta.exposure.start_time, meta.exposure.end_time = EXPMID - 0.01, EXPMID + 0.01
    meta.exposure.nints = ints or 1
    meta.observation.date, meta.observation.time = "2023-11-02", "06:00:00"
    meta.bunit_data = meta.bunit_err = "DN/s"
    meta.cal_step.ramp_fit = "COMPLETE"
    meta.ref_file.gain.name = "crds://jwst_gain.fits"
    meta.wcsinfo.crpix1, meta.wcsinfo.crpix2 = 20.5, 15.5
    meta.wcsinfo.crval1, meta.wcsinfo.crval2 = 53.16, -27.79
    meta.wcsinfo.v2_ref, meta.wcsinfo.v3_ref, meta.wcsinfo.roll_ref = 86.1, -493.2, 30.0
    meta.wcsinfo.ra_ref, meta.wcsinfo.dec_ref = 53.16, -27.79
    meta.wcsinfo.v3yangle, meta.wcsinfo.vparity = -0.1, -1
    meta.velocity_aberration.scale_factor = 0.99995
    meta.wcsinfo.ctype1, meta.wcsinfo.ctype2 = "RA---TAN", "DEC--TAN"
    if ints is not None:
        times = np.zeros(ints, model.get_dtype("int_times"))
        times["integration_number"] = np.arange(1, ints + 1)
        model.int_times = times
    if change is not None:
        change(model)
    model.save(str(path))
    return path


def write_flat(path, instrument="NIRCAM", place=PLACE, seed=1, dq_def=True, change=None):
    """Write a flat with one of each of its special pixels, in standard bits in `dq`."""
    rng = np.random.default_rng(seed)
    shape = place[3], place[2]
    model = datamodels.FlatModel()
    model.data = rng.uniform(0.8, 1.2, shape).astype(np.float32)
    model.err = rng.uniform(0.001, 0.01, shape).astype(np.float32)
    model.dq = np.zeros(shape, np.uint32)
    if dq_def:
        definition = np.zeros(len(DQ_DEF), model.get_dtype("dq_def"))
        for row, values in zip(definition, DQ_DEF, strict=True):
            row["BIT"], row["VALUE"], row["NAME"], row["DESCRIPTION"] = values
        model.dq_def = definition
    _instrument(model.meta, instrument)
    _subarray(model.meta, place)
    _reference(model.meta, "FLAT")
    if change is not None:
        change(model)
    model.save(str(path))
    return path


def write_distortion(path, detector="NRCALONG"):
    """Write a DISTORTION with the model of SIAF."""
    aperture = imaging_aperture(detector)
    info = wcsinfo(aperture, Pointing(0, 0, 0, 0, 0))
    model = make_wcs(aperture, info, start=(1, 1), size=aperture.size, va_scale=1.0)
    model = model.pipeline[0].transform
    del model.bounding_box
    asdf.AsdfFile({"model": model, "meta": {"reftype": "distortion"}}).write_to(path)
    return path


def _reference(meta, kind):
    meta.reftype, meta.description, meta.author = kind, "made for tests", "tests"
    meta.pedigree, meta.useafter = "DUMMY", "2022-01-01T00:00:00"
    meta.telescope = "JWST"


def write_photom(path, instrument="NIRCAM", rows=(), times=None, change=None):
    """Write a PHOTOM; rows: (filter, pupil or subarray, photmjsr), times: tables by name."""
    model = PHOTOM_MODELS[instrument]()
    table = np.zeros(len(rows), model.get_dtype("phot_table"))
    for row, values in zip(table, rows, strict=True):
        for name, value in values.items():
            row[name] = value
    model.phot_table = table
    for name, coefficients in (times or {}).items():
        records = np.zeros(len(rows), model.get_dtype(name))
        for row, record, values in zip(rows, records, coefficients, strict=True):
            for key, value in values.items():
                record[key] = value
            for key in set(records.dtype.names) & {"filter", "pupil", "subarray"}:
                record[key] = row.get(key, "")
        setattr(model, name, records)
    _instrument(model.meta, instrument)
    _reference(model.meta, "PHOTOM")
    model.meta.photometry.pixelarea_steradians = 1.0e-13
    model.meta.photometry.pixelarea_arcsecsq = 0.004
    if change is not None:
        change(model)
    model.save(str(path))
    return path


def write_area(path, place=PLACE, seed=2, pixar=True):
    """Write an AREA."""
    x, y, nx, ny = place
    plane = np.random.default_rng(seed).uniform(0.99, 1.01, (ny, nx)).astype(np.float32)
    primary = fits.PrimaryHDU()
    primary.header.update(TELESCOP="JWST", REFTYPE="AREA", DATAMODL="PixelAreaModel")
    primary.header.update(SUBSTRT1=x, SUBSTRT2=y, SUBSIZE1=nx, SUBSIZE2=ny)
    if pixar:
        primary.header.update(PIXAR_SR=1.01e-13, PIXAR_A2=0.00404)
    fits.HDUList([primary, fits.ImageHDU(plane, name="SCI")]).writeto(path, overwrite=True)
    return path
