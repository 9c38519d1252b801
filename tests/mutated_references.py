"""Mutations of DISTORTION and FILTEROFFSET reference files."""

from __future__ import annotations

import io
import random
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mutated_exposures import simulated
from mutated_tables import WORDS, tree_arrays, tree_damage, tree_words
from mutations import Mutant, Reader, within
from snakewebb.calibration.assign_wcs import assign_wcs
from snakewebb.io.exposure_file import ExposureFile
from snakewebb.references.distortion import read_filter_offset
from snakewebb.wcs.gwcs_eval import pixel_to_sky

ROWS = [
    {"filter": "F356W", "pupil": "CLEAR", "column_offset": 0.35, "row_offset": -1.25},
    {"filter": "F444W", "pupil": "CLEAR", "column_offset": 0.25, "row_offset": 2.5},
]


def distortions(folder: Path) -> dict[str, Any]:
    """Return valid files, coefficients inline and in blocks, and an exposure."""
    import asdf

    from snakewebb.simulate.apertures import Pointing, imaging_aperture, make_wcs, wcsinfo

    aperture = imaging_aperture("NRCALONG")
    info = wcsinfo(aperture, Pointing(0, 0, 0, 0, 0))
    wcs = make_wcs(aperture, info, start=(1, 1), size=aperture.size, va_scale=1.0)
    files = []
    for kind in ("inline", "internal"):
        out = io.BytesIO()
        asdf.AsdfFile({"model": wcs.pipeline[0].transform}).write_to(out, all_array_storage=kind)
        files.append(out.getvalue())
    return {"files": files, "exposure": ExposureFile(simulated(folder)[0])}


def coefficients(rng: random.Random, valid: Mapping) -> Mutant:
    """Change a number of the model."""
    content = valid["files"][0]
    found = rng.choice(list(re.finditer(rb"(?<=[ \[,])-?\d+\.\d+(?:e[-+]?\d+)?", content)))
    word = rng.choice((b".nan", b".inf", b"1.0e+300", b"-1.0", b"0.0", b"text", b"[]", b"null"))
    made = content[: found.start()] + word + content[found.end() :]
    return Mutant(f"{found[0].decode()} becomes {word.decode()}", made, touched=None)


def kinds(rng: random.Random, valid: Mapping) -> Mutant:
    """Make another kind of transform of one."""
    content = rng.choice(valid["files"])
    found = rng.choice(list(re.finditer(rb"!transform/[a-z_0-9]+", content)))
    names = b"scale identity affine remap_axes compose concatenate polynomial odd".split()
    word = b"!transform/" + rng.choice(names)
    made = content[: found.start()] + word + content[found.end() :]
    return Mutant(f"{found[0].decode()} becomes {word.decode()}", made, touched=None)


def as_result(path: Path, valid: Mapping) -> dict[str, Any]:
    """Return what an exposure's WCS becomes."""
    exposure = valid["exposure"]
    change, _ = assign_wcs(exposure, path)
    sky = pixel_to_sky(change.wcs, exposure.tree)
    x, y = np.meshgrid(*(np.linspace(*ends, 5) for ends in sky.bounding_box))
    ra, dec = sky.forward(x, y)
    return {"ra": ra, "dec": dec, "crval": change.keywords["CRVAL1"]}


DISTORTION = Reader(
    "distortion", "distortion.asdf", 180, distortions, lambda valid: valid["files"][1],
    (tree_words, tree_arrays, tree_damage, coefficients, kinds), as_result,
    {"ra": within(0, 360), "dec": within(-90, 90), "crval": within(0, 360)},
)  # fmt: skip


def offsets(_: Path) -> dict[str, Any]:
    """Return a valid FILTEROFFSET file."""
    import asdf

    out = io.BytesIO()
    asdf.AsdfFile({"filters": ROWS}).write_to(out)
    return {"files": [out.getvalue()]}


def numbers(rng: random.Random, valid: Mapping) -> Mutant:
    """Change an offset."""
    place, touched = rng.choice(((b"0.35", None), (b"-1.25", None), (b"2.5\n", ())))
    word = rng.choice((*WORDS, ".nan", ".inf", "1.0e+300", "'1.5'", "7.5")).encode()
    made = valid["files"][0].replace(place, word + b"\n" * place.endswith(b"\n"))
    return Mutant(f"{place.decode()} becomes {word.decode()}", made, touched=touched)


FILTEROFFSET = Reader(
    "filteroffset", "filteroffset.asdf", 120, offsets, lambda valid: valid["files"][0],
    (tree_words, tree_damage, numbers),
    lambda path, _: {"offset": read_filter_offset(path, "NIRCAM", "F356W", "CLEAR")},
    {"offset": within(-1e300, 1e300, none=True)},
)  # fmt: skip
