"""Mutations of mosaics, and of the files that give a mosaic's grid."""

from __future__ import annotations

import io
import random
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mutated_exposures import simulated
from mutated_fits import (
    cards,
    changed,
    harmless,
    header_bytes,
    joined,
    odd_headers,
    parsed,
    raw,
    structure,
)
from mutated_tables import image_shapes, pixels, tree_words
from mutations import Mutant, Reader, bit, damage, within
from snakewebb.io.asdf_tree import created
from snakewebb.sources.mosaic import MosaicFile
from snakewebb.wcs import gwcs_yaml
from snakewebb.wcs.grid import Grid
from snakewebb.wcs.output_wcs import read_grid

SIDE = 0.063 / 3600
GRID = Grid((53.16, -27.79), (20.0, 15.0), SIDE, ((-0.8, 0.6), (0.6, 0.8)), (30, 40), 1.0)


def a_grid(_: Path) -> dict[str, Any]:
    """Return valid files of a grid: as this library writes it, and as asdf and gwcs do."""
    import asdf

    own = created({"wcs": gwcs_yaml.grid_wcs(GRID)})
    with asdf.open(io.BytesIO(own), lazy_load=False) as file:
        out = io.BytesIO()
        asdf.AsdfFile({"wcs": file["wcs"], "array_shape": [30, 40]}).write_to(out)
    return {"files": [own, out.getvalue()]}


def array_shape(rng: random.Random, valid: Mapping) -> Mutant:
    """Give the shape in odd ways."""
    key = rng.choice(("array_shape", "pixel_shape"))
    value = rng.choice(
        ("[0, 0]", "[-30, 40]", "[30]", "[30, 40, 50]", "[30.5, 40]", "text", "30", "null", "[]",
         "{a: 1}", "[a, b]", "[.nan, 40]", "[1.0e30, 1.0e30]", "[true, true]", "[[30], [40]]",
         "[null, 40]", "'[30, 40]'", "[.inf, 40]", "[30, 0]")
    )  # fmt: skip
    content = valid["files"][1]
    made = re.sub(rb"\narray_shape:.*(\n-.*)*", f"\n{key}: {value}".encode(), content)
    return Mutant(f"{key} is {value}", made, touched=None)


def grid_numbers(rng: random.Random, valid: Mapping) -> Mutant:
    """Change a number of the WCS."""
    content = rng.choice(valid["files"])
    number = re.compile(rb"(?<=[ \[,])-?\d+\.\d+(?:e[-+]?\d+)?(?=[,\]\n}])")
    found = rng.choice(list(number.finditer(content)))
    value = rng.choice((b".nan", b".inf", b"1.0e30", b"-1.0", b"0.0", b"text", b"[]", b"null"))
    made = content[: found.start()] + value + content[found.end() :]
    line = content[content.rfind(b"\n", 0, found.start()) + 1 : found.end()].decode().strip()
    return Mutant(f"{value.decode()} in {line!r}", made, touched=None)


def grid_bytes(rng: random.Random, valid: Mapping) -> Mutant:
    """Damage the file."""
    content = rng.choice(valid["files"])
    what, made = damage(content, rng) if rng.random() < 0.5 else bit(content, rng)
    return Mutant(what, made, touched=None)


def other_things(rng: random.Random, valid: Mapping) -> Mutant:
    """Put something else under the key."""
    import asdf

    value = rng.choice((3, "text", None, [1, 2], {"a": 1}, np.eye(2), True))
    out = io.BytesIO()
    asdf.AsdfFile({"wcs": value, "array_shape": [30, 40]}).write_to(out)
    return Mutant(f"wcs is {value!r}", out.getvalue(), "refused")


def as_result(grid: Grid) -> dict[str, Any]:
    """Return a grid, by part."""
    height, width = grid.shape
    far = np.subtract(grid.crpix, (width / 2, height / 2)) * grid.cdelt
    determinant = np.linalg.det(np.array(grid.pc))
    return {
        "crval": grid.crval[0] % 360.0, "dec": grid.crval[1], "cdelt": abs(grid.cdelt),
        "shape": grid.shape, "far": far, "ratio": grid.pixel_scale_ratio,
        "determinant": abs(determinant),
        "corners": np.array(grid.pixel_to_sky(np.array([0.0, 39.0]), np.array([29.0, 0.0]))),
    }  # fmt: skip


def is_shape(shape: Any) -> bool:
    """Return whether a shape is of two whole numbers of pixels."""
    return len(shape) == 2 and all(type(n) is int and 1 <= n <= 10**6 for n in shape)


GRID_BOUNDS = {
    "crval": within(-360, 360), "dec": within(-90, 90), "cdelt": within(1e-8, 0.1),
    "shape": is_shape, "far": within(-90, 90), "ratio": within(1e-4, 1e4),
    "determinant": within(0.1, 10), "corners": within(-360, 360),
}  # fmt: skip

OUTPUT_WCS = Reader(
    "output_wcs", "grid.asdf", 120, a_grid, lambda valid: valid["files"][1],
    (array_shape, grid_numbers, grid_numbers, tree_words, grid_bytes, other_things),
    lambda path, _: as_result(read_grid(path, SIDE)), GRID_BOUNDS,
)  # fmt: skip


def a_mosaic(folder: Path) -> dict[str, Any]:
    """Return a mosaic of one exposure."""
    from snakewebb.io.names import exposure_name
    from snakewebb.jobs.align import align_product
    from snakewebb.jobs.find_sources import describe_exposure
    from snakewebb.jobs.i2d import write_mosaic

    path = simulated(folder)[0]
    facts = folder / f"{exposure_name(path)}_facts.json"
    alignment, archive = folder / "alignment.json", folder / "facts.zip"
    describe_exposure(path, facts)
    align_product([facts], alignment, archive, step={"tweakreg": {"skip": True}})
    mosaic = folder / "mosaic_i2d.fits"
    if not mosaic.exists():
        drizzle = {"pixfrac": 1.0, "kernel": "square", "fillval": "NAN", "weight_type": "ivm"}
        flagged = path.with_name(path.name.replace("_cal", "_o001_crf"))
        path.rename(flagged)
        write_mosaic([flagged], archive, alignment, mosaic, step={"drizzle": drizzle})
        flagged.rename(path)
    return {"hdus": parsed(mosaic.read_bytes()), "science": "SCI"}


def mosaic_content(valid: Mapping) -> bytes:
    """Return the valid mosaic."""
    return joined(valid["hdus"])


def mosaic_tree(rng: random.Random, valid: Mapping) -> Mutant:
    """Change a number or a line of the ASDF tree of a mosaic."""
    at = next(k for k, hdu in enumerate(valid["hdus"]) if hdu.name == "ASDF")
    tree = valid["hdus"][at].data
    start = tree.index(b"wcs:")
    mutate = rng.choice((grid_numbers, grid_bytes))
    part = mutate(rng, {"files": [tree[start:]]})
    made = tree[:start] + part.content

    def put(hdu):
        hdu = hdu.card("NAXIS1", str(len(made))).card("TFORM1", f"'{len(made)}B'")
        return replace(hdu, data=made)

    return Mutant(part.what, changed(valid["hdus"], "ASDF", put), touched=None)


OUTPUT_I2D = Reader(
    "output_wcs-i2d", "mosaic_i2d.fits", 60, a_mosaic, mosaic_content,
    (raw, structure, mosaic_tree, mosaic_tree, header_bytes),
    lambda path, _: as_result(read_grid(path, SIDE)), GRID_BOUNDS,
)  # fmt: skip


def read_mosaic(path: Path, _: Any) -> dict[str, Any]:
    """Read a mosaic as source_catalog does."""
    mosaic = MosaicFile(path)
    data, err, mask = mosaic.rows(0, mosaic.shape[0])
    return {
        **as_result(mosaic.grid),
        "mask": mask,
        "data": data,
        "err": err,
        "size": data.shape == mosaic.shape == mosaic.grid.shape,
    }


KEYWORDS = {
    "PIXAR_SR": ("data", "err"),
    "BUNIT": ("data", "err"),
    "PXSCLRT": ("ratio",),
    "CRVAL1": ("crval", "corners"),
    "CRVAL2": ("dec", "corners"),
    "CRPIX1": ("far", "corners"),
    "CRPIX2": ("far", "corners"),
    "CDELT1": ("cdelt", "far", "determinant", "corners", "ratio"),
    "CDELT2": ("cdelt", "far", "determinant", "corners", "ratio"),
    "PC1_1": ("determinant", "corners"),
    "PC2_2": ("determinant", "corners"),
    "CTYPE1": (),
}
MOSAIC = Reader(
    "mosaic", "mosaic_i2d.fits", 110, a_mosaic, mosaic_content,
    (raw, structure, pixels, image_shapes, harmless, cards, header_bytes)
    + (odd_headers(KEYWORDS),) * 3,
    read_mosaic,
    {
        **GRID_BOUNDS, "mask": lambda mask: mask.dtype == bool, "size": bool,
        "data": lambda data: data.dtype == np.float32,
        "err": lambda err: err.dtype == np.float32,
    },
)  # fmt: skip
