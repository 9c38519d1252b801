"""Mutations of associations, of the configuration, and of the small text files of users."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from mutations import Mutant, Reader, anything, bit, damage
from snakewebb.io import strict
from snakewebb.mosaicking.skymatch import read_skylist
from snakewebb.workflow import config
from snakewebb.workflow.associations import read
from snakewebb.workflow.catfile import read_catfile
from snakewebb.workflow.checks import check_bits, check_files, check_path

SCHEMA = yaml.safe_load((Path(__file__).parent.parent / "config" / "schema.yaml").read_text())

NASTY = (
    None, True, False, 0, -1, 3.5, 1e30, 10**30, np.nan, np.inf, -np.inf, "", " ", "text", "a b",
    "nan", "None", "..", "../up", "/", "a/b", "x" * 300, "two\nlines", "\x00", "é", "*", "[ab]",
    [], [None], ["a"], [[1]], {}, {"a": 1}, [0.5, -1], "1 2", "-5 nan",
)  # fmt: skip


def nested(depth: int) -> list:
    """Return a list in a list in a list …."""
    made: list = []
    for _ in range(depth):
        made = [made]
    return made


# --- associations ---------------------------------------------------------------------------------


def an_association(folder: Path) -> dict[str, Any]:
    """Return a valid association, of files that stand beside its folder."""
    members = []
    for k in range(3):
        name = f"jw01234001001_02101_{k + 1:05}_nrcalong_cal.fits"
        (folder / name).touch()
        members.append({"expname": f"../{name}", "exptype": "science" if k < 2 else "psf"})
    (folder / "a.ecsv").touch()
    members[0]["tweakreg_catalog"] = "../a.ecsv"
    members[1]["group_id"] = "2"
    product = {"name": "jw01234-o001_t001_nircam_f356w", "members": members, "star_abmag": 5.5}
    return {
        "asn_type": "coron3", "asn_rule": "Asn_Lv3Coron", "asn_id": "o001",
        "asn_pool": "jw01234_pool.csv", "version_id": None, "program": "01234", "target": "t001",
        "constraints": "DMSAttrConstraint", "products": [product],
    }  # fmt: skip


def places(tree: Any) -> Iterator[tuple]:
    """Return the places in a tree of mappings and lists."""
    for key, below in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield (key,)
        if isinstance(below, dict | list):
            yield from ((key, *rest) for rest in places(below))


def put(tree: Any, place: tuple, change: Any) -> Any:
    """Return a tree with another value at a place; an `Ellipsis` takes it away."""
    tree = copy.deepcopy(tree)
    node = tree
    for key in place[:-1]:
        node = node[key]
    if change is ...:
        del node[place[-1]]
    else:
        node[place[-1]] = change
    return tree


UNUSED = ("asn_rule", "version_id", "program", "target", "constraints")


def asn_values(rng: random.Random, valid: Mapping) -> Mutant:
    """Put something else at one place of an association."""
    place = rng.choice(list(places(valid)))
    value = rng.choice((..., *NASTY, nested(20)))
    made = json.dumps(put(valid, place, value)).encode()
    verdict = "same" if place[0] in UNUSED else "either"
    what = "missing" if value is ... else repr(value)
    return Mutant(f"{'.'.join(map(str, place))} is {what}", made, verdict, touched=None)


def asn_keys(rng: random.Random, valid: Mapping) -> Mutant:
    """Add a key, or something to a list."""
    tree = copy.deepcopy(valid)
    product = tree["products"][0]
    target = rng.choice((tree, product, product["members"][0]))
    kinds = {
        "a key more": lambda: target.update(oddity=rng.choice(NASTY[:14])),
        "a member twice": lambda: product["members"].append(product["members"][0]),
        "a product twice": lambda: tree["products"].append(product),
        "a member of an unknown type": lambda: product["members"].append(
            {"expname": "../lost_cal.fits", "exptype": rng.choice(("catalog", "sky", "odd", 3))}
        ),
        "a member that is none": lambda: product["members"].append(rng.choice(NASTY)),
        "another type": lambda: tree.update(
            asn_type=rng.choice(("image3", "image2", "spec2", "wfs-image3", "ami3", "tso3", "?"))
        ),
    }
    what = rng.choice(list(kinds))
    kinds[what]()
    verdict = "same" if what == "a key more" else "either"
    return Mutant(f"{what}: {tree}"[-140:], json.dumps(tree).encode(), verdict, touched=None)


def asn_text(rng: random.Random, valid: Mapping) -> Mutant:
    """Damage the text of an association."""
    text = json.dumps(valid, indent=1).encode()
    kinds = {
        "after a mark": b"\xef\xbb\xbf" + text,
        "in UTF-16": text.decode().encode("utf-16"),
        "with a comment": b"# of MAST\n" + text,
        "deep": json.dumps(nested(900)).encode(),
        "a comma more": text.replace(b"]", b",]", 1),
        "a key twice": text.replace(b"{", b'{"products": 3,', 1),
        "a number": b"3",
        "a text": b'"text"',
        "null": b"null",
        "NaN": b"NaN",
    }
    if rng.random() < 0.4:
        what = rng.choice(list(kinds))
        return Mutant(what, kinds[what], touched=None)
    what, made = damage(text, rng) if rng.random() < 0.5 else bit(text, rng)
    return Mutant(what, made, touched=None)


def read_association(path: Path, _: Any) -> dict[str, Any]:
    """Read an association."""
    products = read(path)
    for product in products:
        check_files(product)
    members = [member for product in products for member in product.members]
    return {
        "names": [product.name for product in products],
        "ids": [product.asn_id for product in products],
        "stars": [value for product in products for value in product.star.values()],
        "exposures": [[member.exposure for member in product.members] for product in products],
        "types": [member.exptype for member in members],
        "files": [Path(member.path).is_file() for member in members],
        "groups": [member.group_id for member in members],
        "catalogs": [member.tweakreg_catalog is None for member in members],
    }


def all_match(pattern: str) -> Any:
    """Return whether all of some texts are as they should be."""
    return lambda texts: len(texts) > 0 and all(re.fullmatch(pattern, text) for text in texts)


ASSOCIATIONS = Reader(
    "associations", "asn.json", 200, an_association, lambda valid: json.dumps(valid).encode(),
    (asn_values, asn_values, asn_keys, asn_text), read_association,
    {
        "names": all_match(r"\w[\w.+-]{,200}"),
        "ids": lambda texts: all_match(r"\w{1,40}")(texts) and "None" not in texts,
        "stars": lambda values: all(
            isinstance(v, int | float) and not isinstance(v, bool) and abs(v) < 1e9 for v in values
        ),
        "exposures": lambda groups: all(n and len(set(n)) == len(n) for n in groups),
        "types": lambda types: "science" in types and set(types) <= {"science", "psf"},
        "files": all,
        "groups": lambda ids: all(g is None or (g.strip() and g.isprintable()) for g in ids),
        "catalogs": anything,
    },
)  # fmt: skip


# --- configuration --------------------------------------------------------------------------------


def leaves(schema: Mapping = SCHEMA, place: tuple[str, ...] = ()) -> Iterator[tuple]:
    """Return all keys of the configuration that have values, with what the schema says of them."""
    for key, below in schema.get("properties", {}).items():
        if "properties" in below:
            yield from leaves(below, (*place, key))
        else:
            yield (*place, key), below


LEAVES = list(leaves())
LIMITS = {
    *("peakmax", "lower", "upper", "sharplo", "sharphi", "roundlo", "roundhi", "brightest"),
    *("ci1_star_threshold", "ci2_star_threshold", "snr_threshold", "sigma", "abs_sigma", "lsigma"),
    *("usigma", "n_references", "outer_radius", "max_mosaic_megapixels", "fillval", "backg"),
}
"""Limits, and values of pixels: these may be huge."""


def chosen(place: tuple[str, ...], value: Any) -> dict[str, Any]:
    """Return a configuration with one value."""
    for key in reversed(place):
        value = {key: value}
    return value


def key_values(rng: random.Random, valid: Mapping) -> Mutant:
    """Give a key an odd value."""
    place, _ = LEAVES[rng.number % len(LEAVES)]
    value = rng.choice(
        (*NASTY, 1e-30, 400.0, -95.0, [400.0, 95.0], [0, 0], [1e30, 1.0], [np.nan] * 2)
    )
    content = yaml.safe_dump(chosen(place, value), allow_unicode=True).encode()
    return Mutant(f"{'.'.join(place)} is {value!r}", content, touched={".".join(place)})


def key_numbers(rng: random.Random, valid: Mapping) -> Mutant:
    """Give a key that takes a number one that makes no sense."""
    numbers = [place for place, schema in LEAVES if "number" in schema.get("type", ())]
    place = numbers[rng.number % len(numbers)]
    value = rng.choice((np.nan, np.inf, -np.inf, 1e30, -1e30, -1.0))
    content = yaml.safe_dump(chosen(place, value)).encode()
    return Mutant(f"{'.'.join(place)} is {value!r}", content, touched={".".join(place)})


def key_names(rng: random.Random, valid: Mapping) -> Mutant:
    """Misspell a key, or put a section where a value belongs."""
    place, _ = rng.choice(LEAVES)
    at = rng.randrange(len(place))
    odd = rng.choice((place[at] + "s", place[at].upper(), "odd", "", "é", "x" * 500, "two\nlines"))
    if rng.random() < 0.3:
        made = chosen(place[: at + 1], rng.choice(NASTY))
        return Mutant(f"{made}", yaml.safe_dump(made).encode(), touched=None)
    made = chosen((*place[:at], odd), 1)
    return Mutant(f"{made}", yaml.safe_dump(made).encode(), "refused")


def flat(tree: Mapping, place: str = "") -> Iterator[tuple[str, Any]]:
    """Return the values of a configuration by their places."""
    for key, value in tree.items():
        inside = f"{place}.{key}".lstrip(".")
        if isinstance(value, Mapping) and inside not in ("products", "reference_files.psfmask"):
            yield from flat(value, inside)
        else:
            yield inside, value


def read_config(path: Path, _: Any) -> dict[str, Any]:
    """Complete a configuration, as the workflow does, and what is read of it at once."""
    strict.check_config(path)
    loaded = yaml.safe_load(path.read_text())
    filled = config.complete(loaded, SCHEMA)
    check_bits(filled["steps"])
    return dict(flat(filled))


def fits_schema(place: str, value: Any) -> bool:
    """Return whether a value is one that its key may have, and makes sense."""
    *_, key = keys = tuple(place.split("."))
    schema = dict(LEAVES).get(keys, {})
    numbers = value if isinstance(value, list) else [value]
    for number in numbers:
        if isinstance(number, int | float) and not isinstance(number, bool):
            huge = 1e300 if key in LIMITS else 1e9
            if not (abs(number) <= huge or (key == "fillval" and np.isnan(number))):
                return False
            if "minimum" in schema and number < schema["minimum"]:
                return False
    if key == "crval" and value is not None:
        return -360 <= value[0] <= 360 and -90 <= value[1] <= 90
    if key in ("snr", "scale") and isinstance(value, str):
        return all(0 <= float(word) < 1e9 for word in value.split())
    if isinstance(value, str):
        return len(value.splitlines()) < 2
    return True


class Places(dict):
    """Bounds by the place of a value."""

    def __contains__(self, place: object) -> bool:
        return True

    def __getitem__(self, place: str) -> Any:
        return lambda value: fits_schema(place, value)


CONFIG = Reader(
    "config", "config.yaml", 700, lambda _: {}, lambda _: b"{}",
    (key_values, key_values, key_values, key_numbers, key_names), read_config, Places(),
    names=sorted({key for place, _ in LEAVES for key in place} | {"config"}),
)  # fmt: skip


# --- lists ----------------------------------------------------------------------------------------

NAMES = [f"jw01234001001_02101_{k + 1:05}_nrcalong" for k in range(3)]


def a_catfile(folder: Path) -> dict[str, Any]:
    """Return a valid catfile and its catalogues."""
    for name in NAMES:
        (folder / f"{name}.ecsv").touch()
    return {"lines": [f"{name}_cal.fits ../{name}.ecsv" for name in NAMES]}


def a_skylist(_: Path) -> dict[str, Any]:
    """Return a valid list of sky levels."""
    return {"lines": [f"{name}_cal.fits {k + 0.5}" for k, name in enumerate(NAMES)]}


def of_lines(valid: Mapping) -> bytes:
    """Return the file of some lines."""
    return "\n".join([*valid["lines"], ""]).encode()


def line_form(rng: random.Random, valid: Mapping) -> Mutant:
    """Write the same in another way."""
    lines = valid["lines"]
    kinds = {
        "a comment before": ["# names and values", *lines],
        "comments behind": [f"{line}  # as told" for line in lines],
        "empty lines": ["", *lines, "  ", ""],
        "after a mark": ["\ufeff" + lines[0], *lines[1:]],
        "tabs": [line.replace(" ", "\t") for line in lines],
        "lines of Windows": [f"{line}\r" for line in lines],
        "blanks about": [f"  {line}  " for line in lines],
        "another order": lines[::-1],
    }
    what = rng.choice(list(kinds))
    # The reader may say that it knows no comments, but must not take them for something.
    verdict = "either" if what in ("a comment before", "comments behind") else "same"
    return Mutant(what, of_lines({"lines": kinds[what]}), verdict)


def line_values(rng: random.Random, valid: Mapping) -> Mutant:
    """Say something else in a line."""
    lines = list(valid["lines"])
    at = rng.randrange(len(lines))
    name, value = lines[at].split()
    kinds = {
        "twice": f"{lines[at]}\n{lines[at]}",
        "twice with another value": f"{lines[at]}\n{name} 7",
        "a word more": f"{lines[at]} more",
        "no value": name,
        "no name": value,
        "in one": name + value,
        "nan": f"{name} nan",
        "inf": f"{name} -inf",
        "1e30": f"{name} 1e30",
        "1e400": f"{name} 1e400",
        "text": f"{name} text",
        "a comma": f"{name}, {value}",
        "another exposure": f"odd_cal.fits {value}",
        "long": f"{name} {'x' * 3000}",
        "lost": "",
    }
    what = rng.choice(list(kinds))
    lines[at] = kinds[what]
    verdict = "refused" if what == "twice with another value" else "either"
    return Mutant(f"line {at}: {what}", of_lines({"lines": lines}), verdict, touched=None)


def line_bytes(rng: random.Random, valid: Mapping) -> Mutant:
    """Damage the text."""
    text = of_lines(valid)
    what, made = damage(text, rng) if rng.random() < 0.5 else bit(text, rng)
    verdict = "either" if made.strip(b"\0\n ") else "refused"
    return Mutant(what, made, verdict, touched=None)


LINES = (line_form, line_values, line_bytes)


def read_lines(path: Path, _: Any) -> dict[str, Any]:
    """Read a catfile."""
    found = read_catfile(path)
    for file in found.values():
        check_path(file, f"catalogue of {path}")
    catalogs = {name: Path(file).name for name, file in found.items() if file}
    return {"catalogs": catalogs, "exposures": sorted(found)}


CATFILE = Reader(
    "catfile", "catfile.txt", 90, a_catfile, of_lines, LINES, read_lines,
    {
        "catalogs": lambda found: all(len(name) < 256 for pair in found.items() for name in pair),
        "exposures": lambda names: not any(re.search(r"[#\ufeff]", name) for name in names),
    },
)  # fmt: skip
SKYLIST = Reader(
    "skylist", "skylist.txt", 90, a_skylist, of_lines, LINES,
    lambda path, _: read_skylist(path, NAMES),
    {"": lambda level: isinstance(level, float) and abs(level) < 1e9},
    names=("skylist",),
)  # fmt: skip
