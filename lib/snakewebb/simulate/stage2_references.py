"""Reference files of stage 2 for a simulated detector, in the formats of CRDS.

They are made so that what they do is seen: where one is ignored or misread, exposures that were
made with `snakewebb.simulate.stage2` do not come back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from stdatamodels.jwst import datamodels

from snakewebb.io.dq import BITS, DO_NOT_USE, NON_SCIENCE
from snakewebb.simulate import apertures, detector, scene
from snakewebb.simulate.distortion import distortion
from snakewebb.simulate.model import optical_elements

SQUARE_ARCSEC = np.radians(1 / 3600) ** 2
ILLUMINATION = 0.04
"""Of the flat: how much brighter corners are."""
PIXEL_RESPONSE = 0.01
"""Of the flat: scatter from pixel to pixel."""
FLAT_CODES = ("DO_NOT_USE", "NON_SCIENCE", "UNRELIABLE_FLAT", "NO_FLAT_FIELD")
"""Meaning of the bits of the flat's DQ, from the lowest; those of exposures are others."""
OFFSET = {"NIRCAM": 0.2, "MIRI": 0.6, "NIRISS": 0.1}
"""Of filters: the largest, pixels."""
FILTEROFFSETS = ("", "SHORTA", "SHORTB", "LONGA", "LONGB")
"""The numbers of their files: one for all detectors behind the same optics."""
STOPS = ("C", "MASKRND")
"""How names of filters or pupils of coronagraphs end: their offsets are ten times larger."""
OTHER_ROWS = 1.7
"""Conversion factors of other subarrays and pupils in units of the right one."""
TIME_COEFFICIENTS: dict[str, dict[str, dict[str, float]]] = {
    "NIRCAM": {},
    "MIRI": {
        "exponential": {"t0": 59720.0, "amplitude": 0.12, "tau": 90.0, "const": 0.88},
        "linear": {"t0": 59720.0, "lossperyear": 0.01},
    },
    "NIRISS": {"powerlaw": {"t0": 59720.0, "year1value": 0.98, "tsoft": 1.0, "alpha": -0.01}},
    "FGS": {"linear": {"t0": 59720.0, "lossperyear": 0.02}},
}
PHOTOM_MODELS = {
    "NIRCAM": datamodels.NrcImgPhotomModel,
    "MIRI": datamodels.MirImgPhotomModel,
    "NIRISS": datamodels.NisImgPhotomModel,
    "FGS": datamodels.FgsImgPhotomModel,
}


@dataclass(frozen=True)
class ReferenceSet:
    """The reference files of a detector with one filter, and what is in them.

    Attributes
    ----------
    names : dict
        File by reference type.
    instrument : dict
        ``meta.instrument`` of the exposures.
    exposure_type : str
    subarray : str
        SUBARRAY of the flat.
    corner : (x, y)
        First pixel of ``flat`` on the detector, 1-based.
    flat, flat_err : (ny, nx) float32
        1 and 0 where the flat is of no use.
    flat_dq : (ny, nx) uint32
        As it comes to an exposure.
    area : (ny, nx) float32
        Of the whole detector, mean 1.
    pixel_area : float
        The mean, steradians.
    conversion : callable
        MJy/sr per DN/s at an MJD.
    """

    names: dict[str, str]
    instrument: dict[str, Any]
    exposure_type: str
    subarray: str
    corner: tuple[int, int]
    flat: np.ndarray
    flat_err: np.ndarray
    flat_dq: np.ndarray
    area: np.ndarray
    pixel_area: float
    conversion: Callable[[float], float]


def write_references(
    meta: dict[str, Any], row: apertures.Aperture, folder: Path, *, number: int = 1, seed: int = 1
) -> ReferenceSet:
    """Write DISTORTION, FILTEROFFSET, FLAT, PHOTOM and AREA for a detector and a filter.

    Parameters
    ----------
    meta : dict
        Metadata of one of the exposures.
    row : Aperture
        Where they look.
    folder : path
        Gets the files, named as those of CRDS.
    number : int
        In the files' names.
    seed : int
        Of the flat's noise.

    Returns
    -------
    ReferenceSet
    """
    folder.mkdir(parents=True, exist_ok=True)
    instrument, exposure_type = meta["instrument"], meta["exposure"]["type"]
    stem = f"jwst_{instrument['name'].lower()}"
    kinds = {"distortion": "asdf", "flat": "fits", "photom": "fits", "area": "fits"}
    names = {kind: f"{stem}_{kind}_{number:04d}.{end}" for kind, end in kinds.items()}
    head = _Head(instrument, exposure_type)

    place = (0.0, 0.0)
    if "filter" in instrument:
        offsets = filter_offsets(instrument)
        own = next(row for row in offsets if _elements(row) == _elements(instrument))
        place = own["column_offset"], own["row_offset"]
        arm = FILTEROFFSETS.index(_arm(instrument))
        names["filteroffset"] = f"{stem}_filteroffset_{arm + 1:04d}.asdf"
        _write_filteroffset(offsets, head, folder / names["filteroffset"])
    _write_distortion(row, place, head, folder / names["distortion"])
    # MIRI's coronagraphs have flats of their own, of the size of their subarrays
    whole = instrument["name"] != "MIRI" or row.size == row.full_size
    corner, size = ((1, 1), row.full_size) if whole else (row.start, row.size)
    flat, err, dq = make_flat(row, corner, size, seed)
    subarray = {"name": "GENERIC" if whole else meta["subarray"]["name"]}
    subarray |= {"xstart": corner[0], "ystart": corner[1], "xsize": size[0], "ysize": size[1]}
    subarray |= {name: meta["subarray"][name] for name in ("fastaxis", "slowaxis")}
    _write_flat((flat, err, dq), head, subarray, folder / names["flat"])
    area, pixel_area = make_area(row)
    _write_area(area, pixel_area, head, folder / names["area"])
    conversion = _write_photom(meta["subarray"]["name"], pixel_area, head, folder / names["photom"])
    nothing = ~np.isfinite(flat) | (flat == 0)
    dq = dq | np.where(nothing, np.uint32(BITS["NO_FLAT_FIELD"]), np.uint32(0))
    dq |= np.where(dq & BITS["NO_FLAT_FIELD"], np.uint32(DO_NOT_USE), np.uint32(0))
    unused = (dq & DO_NOT_USE) != 0
    return ReferenceSet(
        names,
        instrument,
        exposure_type,
        subarray["name"],
        corner,
        np.where(unused, np.float32(1), flat),
        np.where(unused, np.float32(0), err),
        dq,
        area,
        pixel_area,
        conversion,
    )


def filter_offsets(instrument: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of FILTEROFFSET for a detector: every filter is offset."""
    name = instrument["name"]
    key = (name + _arm(instrument)).encode()
    rows = []
    for band in detector.FILTERS[name]:
        filter_name, pupil = optical_elements(name, band)
        pupils = [pupil, "MASKRND"] if name == "NIRCAM" else [pupil]
        for pupil in pupils:
            rng = np.random.default_rng([crc32(key), crc32(f"{filter_name}/{pupil}".encode())])
            largest = OFFSET[name] * (10 if (pupil or band).endswith(STOPS) else 1)
            column, line = np.round(largest * rng.uniform(-1, 1, 2), 3)
            rows.append(
                {
                    "filter": filter_name,
                    "pupil": pupil or "N/A",
                    "column_offset": float(column),
                    "row_offset": float(line),
                }
            )
    return rows


def make_flat(
    row: apertures.Aperture, corner: tuple[int, int], size: tuple[int, int], seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a flat, its error and its DQ, (ny, nx), with all kinds of bad pixels.

    Pixels without a flat are NaN, 0, or have a number that their flag NO_FLAT_FIELD forbids;
    others are only unreliable.
    """
    rng = np.random.default_rng([seed, crc32(row.detector.encode()), 1])
    nx, ny = size
    x = (np.arange(nx) + corner[0] - 0.5) / row.full_size[0] - 0.5
    y = (np.arange(ny)[:, None] + corner[1] - 0.5) / row.full_size[1] - 0.5
    flat = 1 + ILLUMINATION * (2 * (x**2 + y**2) - 1 / 3 + 0.5 * x * y + 0.3 * x)
    flat = (flat + PIXEL_RESPONSE * rng.standard_normal((ny, nx), np.float32)).astype(np.float32)
    err = detector.FLAT_ERROR * flat * rng.uniform(0.8, 1.2, (ny, nx)).astype(np.float32)
    dq = np.zeros((ny, nx), np.uint32)
    if row.instrument == "MIRI" and size == row.full_size:
        # the flat's own opinion of where the imager ends is a little wider
        pixels = np.arange(nx)
        dq[(pixels < 354) & ((pixels >= 285) | (np.arange(ny)[:, None] < 735))] = (
            DO_NOT_USE | NON_SCIENCE
        )
    lot = rng.random((ny, nx), np.float32) * 1e4
    flat[lot < 15] = 1.7
    flat[lot < 10] = 0
    flat[lot < 5] = np.nan
    err[lot < 5] = np.nan
    dq[(lot >= 10) & (lot < 15)] |= BITS["NO_FLAT_FIELD"]
    dq[lot > 9980] |= BITS["UNRELIABLE_FLAT"]
    return flat, err, dq


def make_area(row: apertures.Aperture) -> tuple[np.ndarray, float]:
    """Return the map of a detector's pixel areas in units of their mean, and that in steradians."""
    pointing = apertures.Pointing(0.0, 0.0, 0.0, row.v2_ref, row.v3_ref)
    info = apertures.wcsinfo(row, pointing)
    wcs = apertures.make_wcs(row, info, start=(1, 1), size=row.full_size, va_scale=1.0)
    area = scene.pixel_area(wcs, row.full_size[::-1])
    mean = float(area.mean(dtype=np.float64))
    return area / np.float32(mean), mean


def conversion_at(factor: float, coefficients: dict[str, dict[str, float]], t: float) -> float:
    """Return a conversion factor at an MJD.

    Source: JWST documentation, "photom: time-dependent corrections" (jwst-pipeline).
    """
    throughput = 1.0
    for kind, values in coefficients.items():
        c = {name: float(np.float32(value)) for name, value in values.items()}
        days = t - c["t0"]
        if kind == "linear":
            throughput *= 1 - c["lossperyear"] * days / 365
        elif kind == "exponential":
            throughput *= c["amplitude"] * np.exp(-days / c["tau"]) + c["const"]
        else:
            throughput *= c["year1value"] * ((days + c["tsoft"]) / (365 + c["tsoft"])) ** c["alpha"]
    return float(np.float32(factor)) / throughput


class _Head:
    """Makes the metadata of reference files."""

    def __init__(self, instrument: dict[str, Any], exposure_type: str) -> None:
        self.instrument, self.exposure_type = instrument, exposure_type

    def __call__(self, kind: str, *keys: str, **parts: Any) -> dict[str, Any]:
        names = ("name", *keys)
        return {
            "telescope": "JWST",
            "reftype": kind,
            "pedigree": "DUMMY",
            "author": "snakewebb",
            "description": "Simulated",
            "useafter": "2022-01-01T00:00:00",
            "instrument": {k: self.instrument[k] for k in names if k in self.instrument},
            "exposure": {"type": self.exposure_type},
            **parts,
        }


def _arm(instrument: dict[str, Any]) -> str:
    """Return channel and module of NIRCam, and nothing of other instruments."""
    return instrument.get("channel", "") + instrument.get("module", "")


def _elements(row: dict[str, Any]) -> tuple[str, str]:
    return row["filter"], row.get("pupil", "N/A")


def _write_distortion(
    row: apertures.Aperture, offset: tuple[float, float], head: _Head, path: Path
) -> None:
    meta = head("distortion", "detector", "channel", "module", "filter", "pupil")
    meta["exposure"]["p_exptype"] = f"{head.exposure_type}|"
    for name in ("filter", "pupil"):
        if name in head.instrument:
            meta["instrument"][f"p_{name}"] = f"{head.instrument[name]}|"
    model = datamodels.DistortionModel(
        model=distortion(row, offset), input_units="pixel", output_units="arcsec"
    )
    model.update({"meta": meta})
    model.save(path)


def _write_filteroffset(rows: list[dict[str, Any]], head: _Head, path: Path) -> None:
    keys = ("channel", "module") if "channel" in head.instrument else ("detector",)
    model = datamodels.FilteroffsetModel(filters=rows, instrument=head.instrument["name"])
    model.update({"meta": {**head("filteroffset", *keys), "input_units": "pixel"}})
    model.save(path)


def _write_flat(
    planes: tuple[np.ndarray, ...], head: _Head, subarray: dict[str, Any], path: Path
) -> None:
    data, err, dq = planes
    keys = ("detector", "channel", "module", "filter", "pupil")
    meta = head("flat", *keys, subarray=subarray)
    model = datamodels.FlatModel({"data": data, "err": err, "dq": dq, "meta": meta})
    model.dq_def = np.array(
        [(bit, 1 << bit, name, "") for bit, name in enumerate(FLAT_CODES)],
        dtype=model.get_dtype("dq_def"),
    )
    model.save(path)


def _write_area(area: np.ndarray, pixel_area: float, head: _Head, path: Path) -> None:
    photometry = {
        "pixelarea_steradians": pixel_area,
        "pixelarea_arcsecsq": pixel_area / SQUARE_ARCSEC,
    }
    meta = head("area", "detector", "filter", "pupil", photometry=photometry)
    datamodels.PixelAreaModel({"data": area, "meta": meta}).save(path)


def _write_photom(
    subarray: str, pixel_area: float, head: _Head, path: Path
) -> Callable[[float], float]:
    """Write PHOTOM; PIXAR there is 1 % larger than in AREA, which shows whose is used."""
    name = head.instrument["name"]
    photometry = {
        "pixelarea_steradians": 1.01 * pixel_area,
        "pixelarea_arcsecsq": 1.01 * pixel_area / SQUARE_ARCSEC,
    }
    meta = head("photom", "detector", photometry=photometry)
    model = PHOTOM_MODELS[name]({"meta": meta})
    rows: list[tuple[tuple[str, ...], float]] = []
    right = head.instrument.get("pupil", subarray)
    for band, properties in detector.FILTERS[name].items():
        filter_name, pupil = optical_elements(name, band)
        seconds = {pupil, right} if pupil else {right, "GENERIC", "SUB256"}
        if name == "NIRISS":
            rows.append(((filter_name, pupil), properties.conversion))
        elif name == "FGS":
            rows.append(((), properties.conversion))
        else:
            for second in sorted(seconds):
                factor = 1.0 if second == right else OTHER_ROWS
                rows.append(((filter_name, second), factor * properties.conversion))
    model.phot_table = np.array(
        [(*texts, value, 0.03 * value) for texts, value in rows],
        dtype=model.get_dtype("phot_table"),
    )
    coefficients = TIME_COEFFICIENTS[name]
    for kind, values in coefficients.items():
        kinds = model.get_dtype(f"timecoeff_{kind}")
        numbers = [values[column] for column in kinds.names if column in values]
        texts = [row[0][: len(kinds) - len(numbers)] for row in rows]
        table = np.array([(*text, *numbers) for text in texts], dtype=kinds)
        setattr(model, f"timecoeff_{kind}", table)
    model.save(path)
    own = (head.instrument["filter"], right) if "filter" in head.instrument else ()
    factor = next(value for texts, value in rows if texts == own)
    return lambda t: conversion_at(factor, coefficients, t)
