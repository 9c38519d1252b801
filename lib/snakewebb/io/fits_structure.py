"""Where things are in a FITS file, by a look at the raw cards of its headers.

Standard library only. It takes a fraction of a millisecond, so every file is looked at before
astropy walks through it: what no FITS file has is told in one line, and nothing is read or
allocated that the file cannot hold. Source: FITS standard 4.0 (Pence et al. 2010, A&A 524, A42),
sections 3, 4.2.1.2, 4.4.1 and 10.1.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import math
import os
import re
import zlib
from collections import ChainMap
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from snakewebb.errors import InputError
from snakewebb.io.atomic import BLOCK

CARD = 80
"""Bytes of a line of a header."""
MOST_BLOCKS = 2000
"""Of a header; JWST's have some ten."""
MOST_AXES = MOST_FIELDS = 999
QUOTED = re.compile(r" *'((?:[^']|'')*)'")
PACKERS = {b"\x1f\x8b": gzip, b"BZh": bz2, b"\xfd7zXZ\0": lzma}
"""By the first bytes of a packed file, whatever its name."""
FOREIGN = {b"PK\x03\x04": "a zip archive", b"\x1f\x9d": "packed by compress"}

STORED: Mapping[tuple[int, float], str] = {
    (8, 0): "u1",
    (16, 0): ">i2",
    (32, 0): ">i4",
    (64, 0): ">i8",
    (-32, 0): ">f4",
    (-64, 0): ">f8",
    (32, 2**31): ">u4",
}
"""Pixels by BITPIX and BZERO. FITS knows no unsigned integers: they are stored less BZERO."""


class Unit(NamedTuple):
    """A header and data unit (HDU) of a file.

    Attributes
    ----------
    name : str
        EXTNAME in capitals; PRIMARY for the first.
    version : int
        EXTVER.
    kind : str
        IMAGE, also if it is compressed, or BINTABLE, TABLE, ….
    shape : tuple of int
        Of the image; empty if it has no pixels.
    header, start, size : int
        Where in the unpacked file the header begins, and its data; bytes of these.
    dtype : str or None
        How the pixels are stored, if their bytes are plainly the values. None if the image is
        compressed, scaled, has blank pixels or cards that mean something else: only astropy reads
        it.
    """

    name: str
    version: int
    kind: str
    shape: tuple[int, ...]
    header: int
    start: int
    size: int
    dtype: str | None


def version(path: str | Path) -> tuple[int, int]:
    """Return what changes when a file does."""
    try:
        status = os.stat(path)
    except OSError:  # opening it will tell
        return 0, 0
    return status.st_mtime_ns, status.st_size


def open_unpacked(path: str | Path) -> io.BufferedIOBase:
    """Open a file for reading; one packed by gzip, bzip2 or xz is unpacked into memory.

    Raises
    ------
    InputError
        It is not there, may not be read, or is packed in another way or broken.
    """
    try:
        file = open(path, "rb")  # noqa: SIM115 (it is handed on)
        magic = file.read(6)
        file.seek(0)
        packer = next((p for start, p in PACKERS.items() if magic.startswith(start)), None)
        if packer:
            with file, packer.open(file) as packed:
                return io.BytesIO(packed.read())
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file: check its folder") from None
    except PermissionError:
        raise InputError(f"{path}: may not be read: change its permissions") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is no FITS file but a folder: name the file") from None
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise InputError(f"{path}: cannot be read ({error}): fetch it again") from error
    return file


def is_packed(path: str | Path) -> bool:
    """Return whether a file is packed by gzip, bzip2 or xz."""
    with open(path, "rb") as file:
        return file.read(6).startswith(tuple(PACKERS))


def structure(path: str | Path) -> tuple[Unit, ...]:
    """Return the units of a FITS file, in order.

    Raises
    ------
    InputError
        It cannot be read, is no FITS file, has sizes that FITS does not have, or is too short for
        them.
    """
    return _structure(str(path), version(path))


def find(path: str | Path, name: str) -> Unit | None:
    """Return the first unit of a name in a file, None if there is none; see `structure`."""
    return next((unit for unit in structure(path) if unit.name == name), None)


def read_tree(path: str | Path) -> bytes:
    """Return the ASDF file that a product holds as its extension ASDF; empty if there is none."""
    unit = find(path, "ASDF")
    if unit is None:
        return b""
    content = _part(path, unit.start, unit.start + unit.size)
    return content[max(content.find(b"#ASDF"), 0) :]  # in older files not the first in its table


def read_cards(path: str | Path, unit: Unit) -> str:
    """Return the cards of a unit's header, up to its data; see `structure`."""
    return _part(path, unit.header, unit.start).decode("ascii", "replace")


def _part(path: str | Path, start: int, stop: int) -> bytes:
    with open_unpacked(path) as file:
        file.seek(start)
        return file.read(stop - start)


def first_header(path: str | Path) -> dict[str, str]:
    """Return the values in a FITS file's first header, as text, by keyword.

    Raises
    ------
    InputError
        See `structure`.
    """
    with open_unpacked(path) as file:
        return _texts(_header(file, path, "SIMPLE"))


def exposure_header(path: str | Path) -> Mapping[str, str]:
    """Return the same of an exposure: those in the header of SCI, and beneath it the first one.

    Raises
    ------
    InputError
        See `structure`; or it has no SCI.
    """
    image = find(path, "SCI")
    if image is None:
        raise InputError(f"{path}: has no SCI extension: give a stage-2 exposure")
    with open_unpacked(path) as file:
        first = _texts(_header(file, path, "SIMPLE"))
        file.seek(image.header)
        return ChainMap(_texts(_header(file, path, "XTENSION")), first)


def _texts(cards: Mapping[str, str]) -> dict[str, str]:
    return {key: _text(value) for key, value in cards.items()}


@lru_cache(maxsize=1000)
def _structure(path: str, version: tuple[int, int]) -> tuple[Unit, ...]:
    with open_unpacked(path) as file:
        end = file.seek(0, io.SEEK_END)
        file.seek(0)
        units: list[Unit] = []
        at, first = 0, "SIMPLE"
        while not units or at < end:
            file.seek(at)
            if units and file.read(9) != b"XTENSION=":
                break  # bytes after the last unit mean nothing
            file.seek(at)
            cards = _header(file, path, first)
            units.append(_unit(cards, "" if units else "PRIMARY", at, file.tell(), path))
            at = units[-1].start + -(-units[-1].size // BLOCK) * BLOCK
            first = "XTENSION"
        if at > end:
            raise InputError(f"{path}: is cut short: fetch it again")
    return tuple(units)


def _header(file: io.BufferedIOBase, path: str | Path, first: str) -> dict[str, str]:
    """Return what follows the keywords of a header, read up to its end."""
    cards: dict[str, str] = {}
    key = before = ""
    for number in range(MOST_BLOCKS):
        block = file.read(BLOCK)
        if not number and not block.startswith(f"{first:8}=".encode()):
            magic = next((what for start, what in FOREIGN.items() if block.startswith(start)), "")
            if magic:
                raise InputError(f"{path}: is {magic}: unpack it")
            raise InputError(f"{path}: is no FITS file (No SIMPLE card): fetch it again")
        if len(block) < BLOCK:
            raise InputError(f"{path}: is cut short: fetch it again")
        for at in range(0, BLOCK, CARD):
            card = block[at : at + CARD].decode("ascii", "replace")
            if card.rstrip() == "END":
                return cards
            if not card.isascii() or not card.isprintable():
                raise InputError(f"{path}: a header holds bytes that are no text: mend it")
            if card.startswith("CONTINUE ") and "&'" not in before:
                # Astropy would take it for part of the card before it, be that a name.
                raise InputError(f"{path}: a header has a CONTINUE that continues nothing: mend it")
            before = card
            if card[8] == "=":
                key = card[:8].rstrip()
                if key in cards:
                    key = ""
                else:
                    cards[key] = card[9:]
            elif key and card.startswith("CONTINUE"):
                cards[key] = _continued(cards[key], card[8:])
    raise InputError(f"{path}: a header has no end: fetch it again")


def _continued(value: str, more: str) -> str:
    """Return a text and what the next card adds to it, if it ends with an ampersand."""
    start, end = QUOTED.match(value), QUOTED.match(more)
    if not start or not end or not start[1].endswith("&"):
        return value
    return f"'{start[1][:-1]}{end[1]}'"


def _unit(cards: Mapping[str, str], name: str, header: int, start: int, path: str | Path) -> Unit:
    """Return the unit that a header describes."""

    def refused(key: str) -> InputError:
        given = _text(cards[key])[:40] if key in cards else "missing"
        return InputError(
            f"{path}: {key} of {name or 'an extension'} is {given}, which FITS does not know: "
            "fetch it again"
        )

    def whole(key: str, low: float, high: float, default: int | None = None) -> int:
        text = cards.get(key, "").partition("/")[0].strip()
        if not text and default is not None:
            return default
        if not re.fullmatch(r"[+-]?\d{1,18}", text) or not low <= int(text) <= high:
            raise refused(key)
        return int(text)

    def word(key: str, default: str) -> str:
        if key in cards and not cards[key].lstrip().startswith("'"):
            raise refused(key)
        return _text(cards[key]).upper() if key in cards else default

    def lengths(prefix: str) -> tuple[int, ...]:
        if whole(f"{prefix}BITPIX", -64, 64) not in (8, 16, 32, 64, -32, -64):
            raise refused(f"{prefix}BITPIX")
        axes = whole(f"{prefix}NAXIS", 0, MOST_AXES)
        return tuple(whole(f"{prefix}NAXIS{axis}", 0, math.inf) for axis in range(axes, 0, -1))

    name = word("EXTNAME", name)
    kind = word("XTENSION", "IMAGE")
    whole("TFIELDS", 0, MOST_FIELDS, 0)
    number = whole("EXTVER", -math.inf, math.inf, 1)
    shape = lengths("")
    bitpix = int(cards["BITPIX"].partition("/")[0])
    extra, groups = whole("PCOUNT", 0, math.inf, 0), whole("GCOUNT", 0, math.inf, 1)
    size = abs(bitpix) // 8 * groups * (extra + math.prod(shape)) if shape else 0
    plain = kind == "IMAGE" and not extra and groups == 1 and "BLANK" not in cards
    if kind == "BINTABLE" and _text(cards.get("ZIMAGE", "")) == "T":
        kind, shape = "IMAGE", lengths("Z")
    return Unit(
        name,
        number,
        kind,
        shape if kind == "IMAGE" and 0 not in shape else (),
        header,
        start,
        size,
        _dtype(cards, bitpix) if plain else None,
    )


def _dtype(cards: Mapping[str, str], bitpix: int) -> str | None:
    """Return how pixels are stored that are not scaled."""
    try:
        scale, zero = (
            float(cards.get(key, default).partition("/")[0])
            for key, default in (("BSCALE", "1"), ("BZERO", "0"))
        )
    except ValueError:
        return None
    return STORED.get((bitpix, zero)) if scale == 1 else None


def _text(value: str) -> str:
    """Return a card's value as text, without quotation marks and comment."""
    quoted = QUOTED.match(value)
    if quoted:
        return quoted[1].replace("''", "'").rstrip()
    return value.partition("/")[0].strip()
