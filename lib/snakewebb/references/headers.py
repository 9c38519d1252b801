"""What a reference file says it is for, by its own header: FITS, or ASDF.

Standard library only, and PyYAML for ASDF.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from snakewebb.errors import InputError
from snakewebb.io.fits_structure import first_header, open_unpacked, version


class Field(NamedTuple):
    """Where in ASDF a keyword stands, below ``meta``; and the keyword of its alternatives."""

    place: str
    pattern: str = ""


FIELDS = {
    "REFTYPE": Field("reftype"),
    "USEAFTER": Field("useafter"),
    "INSTRUME": Field("instrument.name"),
    "DETECTOR": Field("instrument.detector", "P_DETECT"),
    "CHANNEL": Field("instrument.channel", "P_CHANNE"),
    "MODULE": Field("instrument.module"),
    "BAND": Field("instrument.band", "P_BAND"),
    "FILTER": Field("instrument.filter", "P_FILTER"),
    "PUPIL": Field("instrument.pupil", "P_PUPIL"),
    "EXP_TYPE": Field("exposure.type", "P_EXP_TY"),
    "READPATT": Field("exposure.readpatt", "P_READPA"),
    "SUBARRAY": Field("subarray.name", "P_SUBARR"),
    "P_DETECT": Field("instrument.p_detector"),
    "P_CHANNE": Field("instrument.p_channel"),
    "P_BAND": Field("instrument.p_band"),
    "P_FILTER": Field("instrument.p_filter"),
    "P_PUPIL": Field("instrument.p_pupil"),
    "P_EXP_TY": Field("exposure.p_exptype"),
    "P_READPA": Field("exposure.p_readpatt"),
    "P_SUBARR": Field("subarray.p_subarray"),
}
"""Keywords of a reference file that say what it is for."""
OPEN = {"", "N/A", "ANY", "*", "ALL", "GENERIC", "MULTIPLE", "UNDEFINED"}
"""Values with which a file does not say which exposures it is for."""
DATES = ("%b %d %Y %H:%M:%S", "%b %d %Y")
"""Of old files, whose USEAFTER is not as ISO 8601 has it."""


def reference_header(path: str | Path) -> Mapping[str, str]:
    """Return what a reference file says of itself, as text by FITS keyword.

    Raises
    ------
    InputError
        It cannot be read, or is neither FITS nor ASDF.
    """
    return _header(str(path), version(path))


@lru_cache(maxsize=10_000)
def _header(path: str, version: tuple[int, int]) -> Mapping[str, str]:
    with open_unpacked(path) as file:
        if file.read(5) != b"#ASDF":
            return first_header(path)
        file.seek(0)
        tree, end, _ = file.read().partition(b"\n...")
    meta = _meta(tree[tree.find(b"%YAML") :], path)
    if not end:
        raise InputError(f"{path}: is cut short: fetch it again")
    return {key: meta[field.place] for key, field in FIELDS.items() if field.place in meta}


def _meta(tree: bytes, path: str) -> dict[str, str]:
    """Return words and numbers below ``meta`` in an ASDF tree, by dotted place.

    Events are read, no nodes: they need no stack, however deeply a tree is nested.
    """
    import yaml

    found = {}
    # Of each collection that is open: the key whose value comes, None if a key comes, False in a
    # sequence.
    keys: list[str | bool | None] = []
    try:
        for event in yaml.parse(tree, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            if isinstance(event, yaml.CollectionEndEvent):
                keys.pop()
            elif not isinstance(event, yaml.NodeEvent):
                continue
            elif keys and keys[-1] is None:
                if not isinstance(event, yaml.ScalarEvent):
                    raise yaml.YAMLError("a key is no word")
                keys[-1] = event.value
                continue
            elif isinstance(event, yaml.CollectionStartEvent):
                keys.append(None if isinstance(event, yaml.MappingStartEvent) else False)
                continue
            elif isinstance(event, yaml.ScalarEvent) and keys[:1] == ["meta"]:
                found[".".join(map(str, keys[1:]))] = event.value
            if keys == ["meta"]:
                break
            if keys and keys[-1] is not False:
                keys[-1] = None
    except yaml.YAMLError as error:
        told = str(getattr(error, "problem", None) or error)
        raise InputError(f"{path}: is no ASDF file ({told}): fetch it again") from None
    return found


def alternatives(reference: Mapping[str, str], keyword: str) -> set[str]:
    """Return the values of a keyword that a file is for; empty if it does not say."""
    pattern = reference.get(FIELDS[keyword].pattern, "").strip(" |")
    words = {w.strip().upper() for w in (pattern or reference.get(keyword, "")).split("|")}
    return words - {""} if not words & OPEN else set()


def contradictions(
    exposure: Mapping[str, str], reference: Mapping[str, str], keywords: Iterable[str]
) -> dict[str, str]:
    """Return what a file says that is not so of the exposure, by keyword.

    A file for the full frame is for each subarray of it, too.
    """
    found = {}
    for keyword in keywords:
        own = exposure.get(keyword, "").strip().upper()
        words = alternatives(reference, keyword)
        general = keyword == "SUBARRAY" and "FULL" in words
        if own not in OPEN and words and own not in words and not general:
            found[keyword] = "|".join(sorted(words))
    return found


def agreements(
    exposure: Mapping[str, str], reference: Mapping[str, str], keywords: Iterable[str]
) -> int:
    """Return how many keywords of an exposure a file names."""
    return sum(
        exposure.get(keyword, "").strip().upper() in alternatives(reference, keyword)
        for keyword in keywords
    )


def useafter(reference: Mapping[str, str], path: str | Path) -> str:
    """Return from when a file holds, as ``YYYY-MM-DD HH:MM:SS``; empty if it does not say.

    Raises
    ------
    InputError
        What it says is no date.
    """
    text = reference.get("USEAFTER", "").strip()
    try:
        return "" if text.upper() in OPEN else moment(text)
    except ValueError:
        raise InputError(
            f"{path}: USEAFTER {text!r} is no date: write it as 2022-07-01T00:00:00"
        ) from None


def moment(text: str) -> str:
    """Return a date, or a date and a time, as ``YYYY-MM-DD HH:MM:SS[.ffffff]``.

    Raises
    ------
    ValueError
        It is none.
    """
    for form in DATES:
        try:
            return datetime.strptime(text, form).isoformat(" ")
        except ValueError:
            continue
    return datetime.fromisoformat(text).replace(tzinfo=None).isoformat(" ")
