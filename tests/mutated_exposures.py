"""Mutations of stage-2 exposures: images, cubes of coronagraphy, and their gWCS."""

from __future__ import annotations

import gzip
import random
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from coronagraphs import speckles
from mutated_fits import (
    Hdu,
    cards,
    changed,
    harmless,
    header_bytes,
    joined,
    odd_headers,
    packed,
    parsed,
    place,
    raw,
    structure,
)
from mutations import Mutant, Reader, anything, bit, damage, within, words
from snakewebb.coronagraphy.stack_refs import read_cube, stack
from snakewebb.io.planes import PLANES, read_planes
from snakewebb.jobs.find_sources import sources_of_exposure
from snakewebb.jobs.find_stars import locate_stars
from snakewebb.mosaicking.weights import typical_weights
from snakewebb.sources.star_finders import FinderOptions
from snakewebb.wcs.exposure import locate

SIZE = 48
STARS = {"snr_threshold": 5.0, "kernel_fwhm": 2.5}


def simulated(folder: Path) -> list[Path]:
    """Return two small exposures of a field, simulated once for a folder."""
    from snakewebb.simulate import observation
    from snakewebb.simulate.presets import preset

    field = replace(preset("nircam-f356w", npix=SIZE), stars=60, galaxies=0, cosmic_ray_rate=0.0)
    if not (folder / "field").is_dir():
        observation.write(replace(field, dithers=field.dithers[:2]), folder / "field")
    return sorted((folder / "field").glob("*_cal.fits"))


def an_image(folder: Path) -> dict[str, Any]:
    """Return a valid exposure."""
    return {"hdus": parsed(simulated(folder)[0].read_bytes())}


def a_cube(folder: Path) -> dict[str, Any]:
    """Return a valid exposure of a star behind a coronagraph, of three integrations."""
    hdus = []
    rng = np.random.default_rng(5)
    star = speckles((SIZE, SIZE), (23.3, 23.6), reach=12.0)
    for hdu in an_image(folder)["hdus"]:
        if hdu.name in PLANES and hdu.name != "AREA":
            plane = np.stack([hdu.array()] * 3)
            if hdu.name == "SCI":
                plane = (star + 0.05 * rng.standard_normal((3, SIZE, SIZE))).astype(">f4")
            elif hdu.name == "ERR":
                plane = np.full_like(plane, 0.05)
            elif hdu.name == "DQ":
                plane = np.full_like(plane, -(2**31))
                plane[:, 5, 7] += 1
            hdu = hdu.pixels(plane)
        hdus.append(hdu)
    return {"hdus": hdus}


def content(valid: Mapping) -> bytes:
    """Return the valid file."""
    return joined(valid["hdus"])


# --- mutations of pixels --------------------------------------------------------------------------

OF_PLANE = {
    "SCI": ("sources", "star"),
    "ERR": ("star", "planes.SCI", "planes.DQ"),
    "DQ": ("sources", "weights", "star", "planes.SCI", "planes.ERR"),
    "VAR_RNOISE": ("weights",),
}
"""What of the result hangs on a plane, besides itself."""


def parts_of(name: str) -> set[str]:
    """Return the parts of a result that a plane touches, and those that a cube shares."""
    stars = ("star.center", "star.error", "star.correction", "star.roll", "star.pixel_scale")
    more = {"sources": ("sources",), "weights": ("weights.ivm", "weights.exptime"), "star": stars}
    parts = {f"planes.{name}"}
    for part in OF_PLANE.get(name, ()):
        parts |= set(more.get(part, (part,)))
    return parts


def values(rng: random.Random, valid: Mapping) -> Mutant:
    """Put values into a plane that are no measurements."""
    name = rng.choice([name for name in PLANES if name != "DQ"])
    if name not in {hdu.name for hdu in valid["hdus"]}:
        name = "SCI"
    value = rng.choice((np.nan, np.inf, -np.inf, 1e30, -1e30, 0.0, -1.0, 1e-40))
    share = rng.choice((0.001, 0.1, 0.9, 1.0))
    mask = np.random.default_rng(rng.getrandbits(32)).random((SIZE, SIZE)) < share

    def spoil(hdu):
        plane = hdu.array().copy()
        plane[..., mask] = value
        return hdu.pixels(plane)

    # In a cube bad pixels are bad in all planes.
    touched = set().union(*map(parts_of, PLANES)) if "SCI" in valid.get("cube", ()) else None
    return Mutant(
        f"{share:.1%} of {name} is {value}",
        changed(valid["hdus"], name, spoil),
        touched=touched or parts_of(name) | {"planes.SCI", "planes.ERR", "planes.DQ"},
    )


def flags(rng: random.Random, valid: Mapping) -> Mutant:
    """Store DQ in another way."""
    hdus = valid["hdus"]
    dq = hdus[place(hdus, "DQ")].array().astype(np.int64) + 2**31
    kind = rng.choice(("u1", ">i2", ">i4", ">i8", ">f4", ">f8", "all bad", "nan"))

    def store(hdu):
        plain = hdu.card("BZERO", None).card("BSCALE", None)
        if kind == "all bad":
            return hdu.pixels(np.full_like(hdu.array(), 1 - 2**31))
        if kind == "nan":
            return plain.pixels(np.where(dq > 0, np.nan, 0).astype(">f4"))
        return plain.pixels((dq & 127).astype(kind))

    parts = set().union(*map(parts_of, ("SCI", "ERR", "DQ", "VAR_RNOISE")))
    return Mutant(f"DQ is {kind}", changed(hdus, "DQ", store), touched=parts)


def shapes(rng: random.Random, valid: Mapping) -> Mutant:
    """Give a plane another shape, or none."""
    hdus = valid["hdus"]
    name = rng.choice([hdu.name for hdu in hdus if hdu.name in PLANES])
    kinds = {
        "a row less": lambda array: array[..., :-1, :],
        "columns less": lambda array: array[..., :-7],
        "one axis": lambda array: array.reshape(-1),
        "an axis more": lambda array: array[None],
        "two of it": lambda array: np.stack([array] * 2),
        "one image of it": lambda array: array[0] if array.ndim > 2 else array[0, :],
        "one pixel": lambda array: array[..., :1, :1],
        "nothing": lambda array: array[..., :0, :0],
    }
    what = rng.choice(list(kinds))

    def shape(hdu):
        return hdu.pixels(np.ascontiguousarray(kinds[what](hdu.array())))

    verdict = "refused" if name == "SCI" and what in ("one axis", "one pixel") else "either"
    touched = parts_of(name) | (
        {"planes.SCI", "planes.ERR", "planes.DQ"} if name == "DQ" else set()
    )
    return Mutant(f"{name}: {what}", changed(hdus, name, shape), verdict, touched=touched)


def missing(rng: random.Random, valid: Mapping) -> Mutant:
    """Leave out an extension."""
    hdus = valid["hdus"]
    at = rng.randrange(len(hdus))
    name = hdus[at].name
    left = joined([*hdus[:at], *hdus[at + 1 :]])
    verdict = "refused" if not at or name in ("SCI", "ASDF") else "either"
    touched = parts_of(name) | ({"planes.SCI", "planes.ERR"} if name == "DQ" else set())
    return Mutant(f"no {name or 'primary header'}", left, verdict, touched=touched)


def stored(rng: random.Random, valid: Mapping) -> Mutant:
    """Store an image in another way of FITS, to the same values."""
    hdus = valid["hdus"]
    name = rng.choice(("SCI", "ERR", "VAR_RNOISE", "VAR_FLAT"))
    name = name if name in {hdu.name for hdu in hdus} else "SCI"
    kind = rng.choice(("double", "packed", "scaled", "gzip"))
    if kind == "packed":
        made = packed(hdus, name)
    elif kind == "gzip":
        made = gzip.compress(joined(hdus), mtime=0)
    elif kind == "double":
        made = changed(hdus, name, lambda hdu: hdu.pixels(hdu.array().astype(">f8")))
    else:
        made = changed(
            hdus,
            name,
            lambda hdu: hdu.pixels(hdu.array() / np.float32(2)).card("BSCALE", "2.0"),
        )
    # A correction of the pointing or a mosaic needs nothing else of it.
    return Mutant(f"{name}: {kind}", made, "same")


# --- mutations of the gWCS ------------------------------------------------------------------------

NUMBER = re.compile(rb"(?<=[ \[,])-?\d+\.\d+(?:e[-+]?\d+)?(?=[,\]\n])")
VALUES = (b".nan", b".inf", b"1.0e30", b"-1.0", b"0.0", b"text", b"[]", b"{}", b"null", b"'1.0'",
          b"1.0e400", b"[1.0, 2.0]", b"!core/ndarray-1.0.0 [1.0]", b"true")  # fmt: skip


def with_tree(hdus: list[Hdu], tree: bytes) -> bytes:
    """Return the file with another ASDF file in it."""

    def put(hdu):
        hdu = hdu.card("NAXIS1", str(len(tree))).card("TFORM1", f"'{len(tree)}B'")
        return replace(hdu, data=tree)

    return changed(hdus, "ASDF", put)


def tree_values(rng: random.Random, valid: Mapping) -> Mutant:
    """Change a number of the gWCS."""
    hdus = valid["hdus"]
    tree = hdus[place(hdus, "ASDF")].data
    start = tree.index(b"\n  wcs:")
    found = rng.choice(list(NUMBER.finditer(tree, start)))
    value = rng.choice(VALUES)
    line = tree[tree.rfind(b"\n", 0, found.start()) + 1 : found.end()].decode().strip()
    made = tree[: found.start()] + value + tree[found.end() :]
    return Mutant(f"{value.decode()} in {line!r}", with_tree(hdus, made), touched=WCS_PARTS)


def tree_lines(rng: random.Random, valid: Mapping) -> Mutant:
    """Leave out, double or change lines of the ASDF tree."""
    hdus = valid["hdus"]
    head, end, blocks = hdus[place(hdus, "ASDF")].data.partition(b"\n...\n")
    lines = head.split(b"\n")
    start = next(k for k, line in enumerate(lines) if line.startswith(b"  wcs:"))
    at = rng.randrange(start if rng.random() < 0.8 else 0, len(lines))
    kinds = {
        "lost": [],
        "doubled": [lines[at]] * 2,
        "indented": [b"   " + lines[at]],
        "of another tag": [re.sub(rb"!\S+", b"!core/odd-1.0.0", lines[at])],
        "without a tag": [re.sub(rb"!\S+ ?", b"", lines[at])],
        "of another version": [re.sub(rb"-1\.\d+\.\d+", b"-9.9.9", lines[at])],
        "deep": [lines[at] + b" " + b"[" * 800 + b"]" * 800],
        "a tab": [lines[at].replace(b"  ", b"\t", 1)],
        "an alias": [lines[at].partition(b":")[0] + b": *nowhere"],
        "not of UTF-8": [lines[at] + b" \xff"],
    }
    what = rng.choice(list(kinds))
    made = b"\n".join([*lines[:at], *kinds[what], *lines[at + 1 :]]) + end + blocks
    shown = lines[at].strip().decode()[:60]
    return Mutant(f"line {shown!r} {what}", with_tree(hdus, made), touched=WCS_PARTS)


def tree_bytes(rng: random.Random, valid: Mapping) -> Mutant:
    """Damage the ASDF file within the FITS file."""
    hdus = valid["hdus"]
    tree = hdus[place(hdus, "ASDF")].data
    what, made = damage(tree, rng) if rng.random() < 0.5 else bit(tree, rng)
    return Mutant(f"ASDF: {what}", with_tree(hdus, made), touched=WCS_PARTS)


# --- readers --------------------------------------------------------------------------------------

KEYWORDS = {
    **{key: ["group_id", "visit"] for key in ("PROGRAM", "OBSERVTN", "VISIT")},
    **{key: ["group_id"] for key in ("VISITGRP", "ACT_ID")},
    "EXPMID": ["epoch"],
    "TARGTYPE": ["target_type", "sources"],
    "MT_RA": ["mt_ra"],
    "MT_DEC": ["mt_dec"],
    "TMEASURE": ["measurement_time", "weights.exptime"],
    "XPOSURE": ["exposure_time", "weights.exptime"],
    "INSTRUME": ["instrument"],
    "FILTER": ["filter"],
    "PUPIL": ["pupil"],
    "BUNIT": ["bunit"],
    "BKGLEVEL": ["sky_level", "remaining_sky"],
    "BKGSUB": ["sky_subtracted", "remaining_sky"],
    "V2_REF": ["wcsinfo.v2_ref"],
    "V3_REF": ["wcsinfo.v3_ref"],
    "ROLL_REF": ["wcsinfo.roll_ref"],
    "RA_REF": ["wcsinfo.ra_ref", "geometry.pixel_scale"],
    "DEC_REF": ["wcsinfo.dec_ref", "geometry.pixel_scale"],
    "V3I_YANG": ["wcsinfo.v3yangle"],
    "VPARITY": ["wcsinfo.vparity"],
}
EXTREMES = ("400.0", "-95.0", "1E5", "2", "100000.0", "'MOVING'", "233.5", "F")
WCS_PARTS = {
    *("sources", "geometry.box", "geometry.pixel_scale", "geometry.ra", "geometry.dec"),
    *("star.correction", "star.pixel_scale"),
}
SCALE = 0.063 / 3600
"""Degrees; of NIRCam's long-wavelength pixels."""

IMAGE_BOUNDS = {
    "": words,
    "epoch": within(1990, 2100, none=True),
    "mt_ra": within(-360, 360, none=True),
    "mt_dec": within(-90, 90, none=True),
    "measurement_time": within(0, 1e7, none=True),
    "exposure_time": within(0, 1e7, none=True),
    "sky_level": within(-1e9, 1e9, none=True),
    "remaining_sky": within(-1e9, 1e9, none=True),
    "sky_subtracted": lambda value: value is None or isinstance(value, bool),
    "dimensions": within(2, 3),
    "wcsinfo": within(-1e4, 1e4),
    "wcsinfo.ra_ref": within(-360, 360),
    "wcsinfo.dec_ref": within(-90, 90),
    "wcsinfo.roll_ref": within(-360, 360),
    "wcsinfo.v3yangle": within(-360, 360),
    "wcsinfo.vparity": lambda value: value in (-1, 1),
    "geometry.pixel_scale": within(0.5 * SCALE, 2 * SCALE),
    "geometry.box": within(-1e4, 1e4),
    "geometry.ra": within(0, 360),
    "geometry.dec": within(-90, 90),
    "weights": within(0, 1e30),
    "weights.exptime": within(0, 1e7),
    "sources": within(-1e4, 1e4),
    "planes": lambda plane: plane is None or plane.dtype.type in (np.float32, np.uint32),
    "planes.SCI": lambda plane: plane.shape == (SIZE, SIZE) and plane.dtype == np.float32,
}


def read_image(path: Path, _: Any) -> dict[str, Any]:
    """Do what the first jobs of an exposure do."""
    known, sky = locate(path)
    weights = typical_weights(path, known.header)
    found = sources_of_exposure(path, known, sky, how=FinderOptions(**STARS))
    planes = read_planes(path)
    geometry, header = known.geometry, vars(known.header)
    spread = np.linspace(0, len(geometry.x_nodes) - 1, 5).astype(int)
    return {
        "exposure": known.name,
        "dimensions": known.dimensions,
        **{name: value for name, value in header.items() if name != "wcsinfo"},
        "remaining_sky": known.header.remaining_sky,
        **{f"wcsinfo.{name}": value for name, value in header["wcsinfo"].items()},
        "geometry.box": geometry.bounding_box,
        "geometry.pixel_scale": geometry.pixel_scale,
        "geometry.ra": geometry.ra[np.ix_(spread, spread)],
        "geometry.dec": geometry.dec[np.ix_(spread, spread)],
        **{f"weights.{name}": value for name, value in weights.items()},
        "sources": np.column_stack([found[name] for name in ("x", "y", "RA", "DEC")]),
        **{f"planes.{name}": plane for name, plane in planes.items()},
    }


def read_star(path: Path, _: Any) -> dict[str, Any]:
    """Do what the first jobs of a coronagraphic exposure do."""
    cube = read_cube(path)
    stack([path, path])
    (star,) = locate_stars([path]).values()
    return {
        **{f"planes.{name}": plane for name, plane in zip(("SCI", "DQ", "ERR"), cube, strict=True)},
        **{f"star.{name}": getattr(star, name) for name in ("center", "roll", "pixel_scale")},
        # Of a star that was not found there is none.
        "star.error": [0.0, 0.0] if star.reason else star.error,
        "star.correction": star.correction.shift,
    }


def is_cube(plane: Any) -> bool:
    """Return whether a plane is of three integrations, or repeats one."""
    return plane.shape in ((3, SIZE, SIZE), (1, SIZE, SIZE))


CUBE_BOUNDS = {
    "planes": is_cube,
    "star.center": within(0, SIZE - 1),
    "star.error": within(0, SIZE),
    "star.correction": within(-SIZE, SIZE),
    "star.roll": within(-360, 360),
    "star.pixel_scale": within(0.5 * 3600 * SCALE, 2 * 3600 * SCALE),
    "": anything,
}
STAR = ["star.center", "star.error", "star.correction"]

EXPOSURES = Reader(
    "exposures", "jw01234001001_02101_00001_nrcalong_cal.fits", 190, an_image, content,
    (raw, structure, values, flags, shapes, missing, stored, harmless, cards, header_bytes),
    read_image, IMAGE_BOUNDS,
)  # fmt: skip
KEYS = Reader(
    "headers", "jw01234001001_02101_00001_nrcalong_cal.fits", 160, an_image, content,
    (odd_headers(KEYWORDS, EXTREMES),), read_image, IMAGE_BOUNDS,
)  # fmt: skip
TREES = Reader(
    "gwcs", "jw01234001001_02101_00001_nrcalong_cal.fits", 90, an_image, content,
    (tree_values, tree_lines, tree_bytes), read_image, IMAGE_BOUNDS,
)  # fmt: skip
CUBES = Reader(
    "cubes", "jw01234001001_02101_00001_nrcalong_a3001_crfints.fits", 90, a_cube, content,
    (
        *(raw, structure, values, flags, shapes, missing, stored, harmless, cards, header_bytes),
        odd_headers(
            {"CRPIX1": STAR, "CRPIX2": STAR, "ROLL_REF": ["star.roll"], "VPARITY": []},
            ("400.0", "-95.0", "1.0", "49.0"),
        ),
    ),
    read_star, CUBE_BOUNDS,
)  # fmt: skip
