"""Mutations of reference files and of catalogues of users."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.table import Table

from mutated_exposures import simulated
from mutated_fits import (
    cards,
    changed,
    harmless,
    header_bytes,
    joined,
    parsed,
    raw,
    structure,
)
from mutations import Mutant, Reader, bit, damage, within
from snakewebb.astrometry.catalogs import read_reference, read_sources
from snakewebb.coronagraphy.psf import read_psf
from snakewebb.io.tables import read_shares
from snakewebb.references.images import read_psfmask
from snakewebb.references.photometry import MissingRow, aperture_parameters, vega_offset

SIZE = 32
NIRCAM = {
    "name": "NIRCAM", "filter": "F356W", "pupil": "CLEAR", "detector": "NRCALONG",
    "subarray": "FULL",
}  # fmt: skip
ODD = (np.nan, np.inf, -np.inf, 1e30, -1e30, 0.0, -1.0, 1e5)
WORDS = ("nan", "inf", "1e30", "-1", "0", "text", "''", "[]", "null", "[1.0]", "true", "1e400")


def fits_bytes(*hdus: Any) -> bytes:
    """Return the bytes of a FITS file."""
    out = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(out)
    return out.getvalue()


def as_table(table: Table, name: str) -> bytes:
    """Return a table as FITS."""
    return fits_bytes(fits.BinTableHDU(table, name=name))


# --- images ---------------------------------------------------------------------------------------


def an_image(name: str, make: Callable[[], np.ndarray]) -> Callable[[Path], dict[str, Any]]:
    """Return what makes a valid file with one image."""

    def valid(_: Path) -> dict[str, Any]:
        image = fits.ImageHDU(make().astype(np.float32), name=name)
        return {"hdus": parsed(fits_bytes(image)), "science": name}

    return valid


def round_mask() -> np.ndarray:
    """Return weights from 0 to 1 about the middle."""
    y, x = np.indices((SIZE, SIZE)) - (SIZE - 1) / 2
    return np.clip((np.hypot(x, y) - 3) / 4, 0, 1)


def star() -> np.ndarray:
    """Return a Gaussian in the middle of a square of odd size."""
    y, x = np.indices((SIZE - 1, SIZE - 1)) - (SIZE - 2) / 2
    return np.exp(-(x**2 + y**2) / 8)


def pixels(rng: random.Random, valid: Mapping) -> Mutant:
    """Put values into the image that make no sense."""
    value = rng.choice((*ODD, 2.0))
    share = rng.choice((0.002, 0.3, 1.0))
    draw = np.random.default_rng(rng.getrandbits(32))

    def spoil(hdu):
        image = hdu.array().copy()
        image[draw.random(image.shape) < share] = value
        return hdu.pixels(image)

    made = changed(valid["hdus"], valid["science"], spoil)
    return Mutant(f"{share:.1%} is {value}", made, touched=None)


def image_shapes(rng: random.Random, valid: Mapping) -> Mutant:
    """Give the image another shape or type."""
    kinds = {
        "a row less": lambda array: array[:-1],
        "columns less": lambda array: array[:, :-7],
        "one axis": lambda array: array.reshape(-1),
        "two of it": lambda array: np.stack([array] * 2),
        "one of it in a cube": lambda array: array[None],
        "one pixel": lambda array: array[:1, :1],
        "nothing": lambda array: array[:0, :0],
        "integers": lambda array: (array * 1).astype(">i2"),
        "doubles": lambda array: array.astype(">f8"),
    }
    what = rng.choice(list(kinds))
    made = changed(
        valid["hdus"],
        valid["science"],
        lambda hdu: hdu.pixels(np.ascontiguousarray(kinds[what](hdu.array()))),
    )
    verdict = "same" if what == "doubles" else "either"
    return Mutant(what, made, verdict, touched=() if what == "doubles" else None)


IMAGE = (raw, structure, pixels, image_shapes, harmless, cards, header_bytes)
UNNAMED = (raw, structure, pixels, image_shapes, cards, header_bytes)


def content(valid: Mapping) -> bytes:
    """Return the valid file of HDUs."""
    return joined(valid["hdus"])


def weights(image: np.ndarray) -> bool:
    """Return whether an image holds weights from 0 to 1, not all 0."""
    return image.shape == (SIZE, SIZE) and within(0, 1)(image) and image.any()


PSFMASK = Reader(
    "psfmask", "psfmask.fits", 70, an_image("SCI", round_mask), content, IMAGE,
    lambda path, _: {"mask": read_psfmask(path, (SIZE, SIZE))}, {"mask": weights},
)  # fmt: skip
THROUGHPUT = Reader(
    "throughput", "throughput.fits", 70, an_image("SCI", round_mask), content, UNNAMED,
    lambda path, _: {"throughput": read_shares(path, (SIZE, SIZE), "give the throughput")},
    {"throughput": weights},
)  # fmt: skip


def read_star(path: Path, _: Any) -> dict[str, Any]:
    """Return a PSF, and a star that it makes."""
    psf = read_psf(path)
    return {"light": psf.image.sum() / psf.oversample**2, "star": psf.at((20, 20), 9.3, 10.1)}


def oversampling(rng: random.Random, valid: Mapping) -> Mutant:
    """Say something odd of the pixels' size."""
    hdus = valid["hdus"]
    text = rng.choice(("0", "-1", "1.5", "1E30", "'text'", "", "NaN", "3", "2", "T", "(1.0, 2.0)"))
    made = changed(hdus, "SCI", lambda hdu: hdu.card("OVERSAMP", text))
    return Mutant(f"OVERSAMP is {text}", made, touched=None)


PSF = Reader(
    "psf", "psf.fits", 80, an_image("SCI", star), content, (*UNNAMED, oversampling), read_star,
    {"light": within(0.999, 1.001), "star": within(-1, 1)},
)  # fmt: skip


# --- tables of reference files --------------------------------------------------------------------


def apertures(folder: Path) -> dict[str, Any]:
    """Return a valid APCORR file."""
    from snakewebb.simulate.references import write_references

    write_references(simulated(folder)[0], folder / "apcorr")
    path = folder / "apcorr" / "apcorr.fits"
    with fits.open(path) as hdus:
        table = Table(hdus["APCORR"].data)
    other = table.copy()
    other["filter"] = "F444W"
    table = Table({name: [*table[name], *other[name]] for name in table.colnames})
    hdus = parsed(as_table(table, "APCORR"))
    return {"hdus": hdus, "science": "APCORR", "table": table}


def cells(name: str, columns: tuple[str, ...]) -> Callable[[random.Random, Mapping], Mutant]:
    """Return a mutation of the values in a table."""

    def spoil(rng: random.Random, valid: Mapping) -> Mutant:
        table = valid["table"].copy()
        column = rng.choice(columns)
        rows = rng.choice((slice(0, 1), slice(0, 3), slice(None), slice(3, None)))
        value = rng.choice(ODD)
        table[column] = np.asarray(table[column], float)
        table[column][rows] = value
        return Mutant(
            f"{column} of rows {rows} is {value}",
            as_table(table, name),
            "same" if rows.start == 3 else "either",
            touched=() if rows.start == 3 else None,
        )

    return spoil


def table_columns(name: str) -> Callable[[random.Random, Mapping], Mutant]:
    """Return a mutation of the columns of a table."""

    def spoil(rng: random.Random, valid: Mapping) -> Mutant:
        table = valid["table"].copy()
        column = rng.choice(table.colnames)
        values = table[column]
        kinds = {
            "missing": lambda: table.remove_column(column),
            "text": lambda: table.replace_column(column, [f"x{k}" for k in range(len(table))]),
            "of two axes": lambda: table.replace_column(column, np.stack([values] * 2, axis=1)),
            "boolean": lambda: table.replace_column(column, np.ones(len(table), bool)),
            "integers": lambda: table.replace_column(column, np.arange(len(table))),
            "complex": lambda: table.replace_column(column, np.ones(len(table), complex)),
            "in capitals": lambda: table.rename_column(column, column.upper()),
            "of another name": lambda: table.rename_column(column, "odd"),
        }
        what = rng.choice(list(kinds))
        kinds[what]()
        return Mutant(f"{column} is {what}", as_table(table, name), touched=None)

    return spoil


def table_rows(name: str) -> Callable[[random.Random, Mapping], Mutant]:
    """Return a mutation of the rows of a table."""

    def spoil(rng: random.Random, valid: Mapping) -> Mutant:
        table = valid["table"]
        kinds = {
            "no row": table[:0],
            "one row": table[:1],
            "two rows": table[:2],
            "all twice": Table(np.concatenate([table.as_array()] * 2)),
            "the other way round": table[::-1],
            "the other filter": table[3:],
        }
        what = rng.choice(list(kinds))
        verdict = "same" if what == "the other way round" else "either"
        return Mutant(what, as_table(kinds[what], name), verdict, touched=None)

    return spoil


def read_apertures(path: Path, _: Any) -> dict[str, Any]:
    """Look up apertures."""
    found, reason = aperture_parameters(path, NIRCAM, (30, 50, 70), 1.0)
    radii, corrections = (
        [value for value in found[f"aperture_{name}"] if value is not None]
        for name in ("radii", "corrections")
    )
    annulus = [found[f"bkg_aperture_{edge}_radius"] for edge in ("inner", "outer")]
    return {
        "ee": found["aperture_ee"],
        "radii": radii,
        "corrections": corrections,
        "annulus": [edge for edge in annulus if edge is not None],
        "complete": bool(reason) != (len(radii) == len(corrections) == 3),
    }


def growing(low: float, high: float) -> Callable[[Any], bool]:
    """Return whether values grow, within bounds."""
    bounds = within(low, high)
    return lambda values: bounds(values) and bool(np.all(np.diff(values) > 0))


APCORR = Reader(
    "apcorr", "apcorr.fits", 130, apertures, content,
    (
        raw, structure, harmless, cards, header_bytes, table_columns("APCORR"),
        table_rows("APCORR"), *[cells("APCORR", ("radius", "apcorr", "skyin", "skyout"))] * 2,
        cells("APCORR", ("eefraction",)),
    ),
    read_apertures,
    {
        "ee": within(1, 99), "radii": growing(0.01, 1e4), "corrections": within(0.5, 1e3),
        "annulus": growing(0.01, 1e4), "complete": bool,
    },
    outcomes=(MissingRow,),
)  # fmt: skip


def offsets(_: Path) -> dict[str, Any]:
    """Return valid ABVEGAOFFSET files: the table inline, in blocks, and as plain lists."""
    import asdf

    table = Table({"filter": ["F356W", "F444W"], "pupil": ["CLEAR", "CLEAR"]})
    table["abvega_offset"] = [1.84, 2.1]
    files = []
    for kind in ("inline", "internal"):
        out = io.BytesIO()
        file = asdf.AsdfFile({"abvega_offset": table})
        file.write_to(out, version="1.5.0", all_array_storage=kind)
        files.append(out.getvalue())
    return {"files": files}


def tree_words(rng: random.Random, valid: Mapping) -> Mutant:
    """Put something else in the place of a value or a tag of an ASDF tree."""
    content = rng.choice(valid["files"])
    head, end, blocks = content.partition(b"\n...\n")
    lines = head.split(b"\n")
    at = rng.randrange(5, len(lines))
    line = lines[at]
    key, colon, value = line.partition(b":")
    kinds = [b"", line + b"\n" + line, line.replace(b"-1.", b"-7."), b"  " + line]
    if colon:
        kinds += [key + b": " + word.encode() for word in (*WORDS, "[[1, 2], [3]]", "-3", "99")]
        kinds += [key + b"x:" + value]
    elif line.lstrip().startswith(b"-"):
        kinds += [line.partition(b"-")[0] + b"- " + word.encode() for word in WORDS]
    new = rng.choice(kinds)
    made = b"\n".join([*lines[:at], new, *lines[at + 1 :]]) + end + blocks
    return Mutant(f"{line.decode().strip()!r} becomes {new.decode().strip()!r}", made, touched=None)


DATATYPES = (
    "float32", "float16", "int8", "uint64", "bool8", "complex64", "banana", "[ascii, 3]",
    "[ascii, -1]", "[ascii, 0]", "[ucs4, 2]", "[banana, 2]", "[]", "[1]", "null", "3",
)  # fmt: skip


def tree_arrays(rng: random.Random, valid: Mapping) -> Mutant:
    """Describe an array in a block in another way."""
    content = valid["files"][1]
    head, end, blocks = content.partition(b"\n...\n")
    lines = head.split(b"\n")
    keys = {
        b"source": ("-1", "99", "1.5", "text", "null", "true"),
        b"datatype": DATATYPES,
        b"byteorder": ("big", "odd", "3", "null"),
        b"shape": ("[1]", "[3]", "[-1]", "[0]", "[]", "[2, 2]", "['*']", "text", "2", "[1.5]"),
    }
    known = [(k, b) for k, line in enumerate(lines) for b in keys if line.lstrip().startswith(b)]
    at, key = rng.choice(known)
    start = lines[at].partition(key)[0]
    more = rng.random() < 0.3
    if more:
        name = rng.choice(("offset", "strides", "mask", "odd"))
        text = rng.choice(("-8", "4", "1000", "[8]", "[-8]", "[0]", "[1]", "1.5", "text", "null"))
        new = lines[at] + b"\n" + start.replace(b"-", b" ") + f"{name}: {text}".encode()
    else:
        new = start + key + b": " + rng.choice(keys[key]).encode()
    made = b"\n".join([*lines[:at], new, *lines[at + 1 :]]) + end + blocks
    return Mutant(f"{lines[at].strip()!r} becomes {new.strip()!r}", made, touched=None)


def tree_damage(rng: random.Random, valid: Mapping) -> Mutant:
    """Damage an ASDF file."""
    content = rng.choice(valid["files"])
    what, made = damage(content, rng) if rng.random() < 0.6 else bit(content, rng)
    return Mutant(what, made, touched=None)


def unused_rows(rng: random.Random, valid: Mapping) -> Mutant:
    """Change what is said of another filter, or say it of this one twice."""
    content = valid["files"][0]
    word = rng.choice((b".nan", b"1.0e30", b"-.inf", b"0.0", b"7"))
    return Mutant(f"the other offset is {word}", content.replace(b"2.1", word), "same")


def numbers(rng: random.Random, valid: Mapping) -> Mutant:
    """Change the offset that is used."""
    word = rng.choice((*WORDS, ".nan", ".inf", "-.inf", "1.0e30", "-1.0e30", "'1.5'", "1.5"))
    made = valid["files"][0].replace(b"1.84", word.encode())
    return Mutant(f"the offset is {word}", made, touched=None)


VEGA = Reader(
    "abvegaoffset", "abvegaoffset.asdf", 180, offsets, lambda valid: valid["files"][1],
    (tree_words, tree_arrays, tree_damage, unused_rows, numbers),
    lambda path, _: {"offset": vega_offset(path, NIRCAM)},
    {"offset": lambda value: bool(np.isnan(value)) or within(-20, 20)(value)},
    outcomes=(MissingRow,),
)  # fmt: skip


# --- catalogues -----------------------------------------------------------------------------------


def stars(names: tuple[str, ...], low: tuple[float, ...], high: tuple[float, ...]) -> Table:
    """Return a table of random columns."""
    draw = np.random.default_rng(3)
    return Table({n: draw.uniform(a, b, 12) for n, a, b in zip(names, low, high, strict=True)})


def written(table: Table, kind: str) -> bytes:
    """Return a table in a file."""
    if kind == "fits":
        return as_table(table, "CAT")
    out = io.StringIO()
    table.write(out, format={"ecsv": "ascii.ecsv", "csv": "ascii.csv"}[kind])
    return out.getvalue().encode()


def a_catalogue(table: Table, kind: str) -> Callable[[Path], dict[str, Any]]:
    """Return what makes a valid catalogue."""
    return lambda _: {"table": table, "kind": kind, "content": written(table, kind)}


def catalogue_cells(rng: random.Random, valid: Mapping) -> Mutant:
    """Put odd numbers into a column."""
    table = valid["table"].copy()
    column = rng.choice(table.colnames[:2])
    value = rng.choice((*ODD, 999.0, -200.0))
    rows = rng.choice((slice(0, 1), slice(0, 6), slice(None)))
    table[column][rows] = value
    what = f"{column} of rows {rows} is {value}"
    return Mutant(what, written(table, valid["kind"]), touched=None)


def catalogue_columns(rng: random.Random, valid: Mapping) -> Mutant:
    """Store a column in another way."""
    table = valid["table"].copy()
    column = rng.choice(table.colnames)
    values, number = np.asarray(table[column]), len(table)
    kinds = {
        "missing": lambda: table.remove_column(column),
        "text": lambda: table.replace_column(column, [f"x{k}" for k in range(number)]),
        "numbers as text": lambda: table.replace_column(column, [str(v) for v in values]),
        "of two axes": lambda: table.replace_column(column, np.stack([values] * 2, axis=1)),
        "boolean": lambda: table.replace_column(column, np.ones(number, bool)),
        "integers": lambda: table.replace_column(column, values.astype(int)),
        "single": lambda: table.replace_column(column, values.astype(np.float32)),
        "complex": lambda: table.replace_column(column, values.astype(complex)),
        "there twice": lambda: table.add_column(values[::-1], name=column.swapcase()),
        "of meters": lambda: setattr(table[column], "unit", "m"),
        "of an odd unit": lambda: setattr(table[column], "unit", u.def_unit("parrot")),
        "of another name": lambda: table.rename_column(column, "odd"),
    }
    for what in {"csv": ("complex", "of two axes"), "ecsv": ("complex",)}.get(valid["kind"], ()):
        del kinds[what]  # these files cannot hold it
    what = rng.choice(list(kinds))
    kinds[what]()
    return Mutant(f"{column} is {what}", written(table, valid["kind"]), touched=None)


def catalogue_rows(rng: random.Random, valid: Mapping) -> Mutant:
    """Take rows away or mask some."""
    table = Table(valid["table"], masked=True)
    if rng.random() < 0.3:
        table = table[: rng.choice((0, 1))]
        return Mutant(f"{len(table)} rows", written(table, valid["kind"]), touched=None)
    column = table.colnames[rng.randrange(2)]
    rows = rng.choice((slice(0, 1), slice(None)))
    table[column].mask[rows] = True
    what = f"{column} of rows {rows} is masked"
    return Mutant(what, written(table, valid["kind"]), touched=None)


def catalogue_bytes(rng: random.Random, valid: Mapping) -> Mutant:
    """Damage the file."""
    content = valid["content"]
    what, made = damage(content, rng) if rng.random() < 0.5 else bit(content, rng)
    return Mutant(what, made, touched=None)


def catalogue_text(rng: random.Random, valid: Mapping) -> Mutant:
    """Change a line of the text, or a block of FITS."""
    separator = b"\n" if valid["kind"] != "fits" else b"   "
    lines = valid["content"].split(separator)
    at = rng.randrange(len(lines))
    kinds = {
        "lost": [],
        "doubled": [lines[at]] * 2,
        "empty": [b""],
        "longer": [lines[at] + b" 5 5"],
        "shorter": [lines[at][: len(lines[at]) // 2]],
        "not of UTF-8": [lines[at] + b"\xff\xfe"],
        "after a mark": [b"\xef\xbb\xbf" + lines[at]],
    }
    what = rng.choice(list(kinds))
    made = separator.join([*lines[:at], *kinds[what], *lines[at + 1 :]])
    return Mutant(f"line {at} is {what}", made, touched=None)


def units(rng: random.Random, valid: Mapping) -> Mutant:
    """Give the same positions in another unit, or more columns."""
    table = valid["table"].copy()
    kind = rng.choice(("radian", "arcsec", "another column", "a comment"))
    if kind == "another column":
        table["name"] = [f"star {k}" for k in range(len(table))]
    elif kind == "a comment":
        table.meta["comments"] = ["of Gaia"]
    elif valid["kind"] != "csv":
        for name in table.colnames[:2]:
            table[name] = (np.asarray(table[name]) * u.deg).to(kind)
    return Mutant(kind, written(table, valid["kind"]), "same")


def read_positions(path: Path, _: Any) -> dict[str, Any]:
    """Read a catalogue of positions."""
    found, _ = read_reference(path)
    return {"RA": found["RA"], "DEC": found["DEC"], "both": np.stack((found["RA"], found["DEC"]))}


def read_pixels(path: Path, _: Any) -> dict[str, Any]:
    """Read a catalogue of sources."""
    found = read_sources(path)
    return {**found, "all": np.stack([found[name] for name in ("x", "y", "flux")])}


CATALOGUE = (
    *(catalogue_cells, catalogue_columns, catalogue_rows, catalogue_bytes, catalogue_text),
)
SKY = stars(("RA", "DEC", "mag"), (53.1, -27.8, 18), (53.2, -27.7, 22))
SOURCES = stars(("x", "y", "flux"), (0, 0, 1), (48, 48, 100))


def is_flat(low: float, high: float) -> Callable[[Any], bool]:
    """Return whether an array has one axis and values within bounds."""
    bounds = within(low, high)
    return lambda array: array.ndim == 1 and array.dtype == np.float64 and bounds(array)


SKY_BOUNDS = {"RA": is_flat(-360, 360), "DEC": is_flat(-90, 90), "both": within(-360, 360)}
PIXEL_BOUNDS = {
    "x": is_flat(-1e5, 1e5),
    "y": is_flat(-1e5, 1e5),
    "flux": lambda array: array.ndim == 1 and not np.isinf(array).any(),
    "all": lambda array: array.ndim == 2,
}
REFCATS = [
    Reader(
        f"refcat-{kind}", f"refcat.{kind}", 60, a_catalogue(SKY, kind), lambda v: v["content"],
        (*CATALOGUE, units), read_positions, SKY_BOUNDS,
    )
    for kind in ("ecsv", "csv", "fits")
]  # fmt: skip
CATALOGUES = [
    Reader(
        f"sources-{kind}", f"sources.{kind}", 45, a_catalogue(SOURCES, kind),
        lambda v: v["content"], CATALOGUE, read_pixels, PIXEL_BOUNDS,
    )
    for kind in ("ecsv", "csv", "fits")
]  # fmt: skip
