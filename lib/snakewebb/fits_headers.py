"""Headers of FITS files, without astropy, for what the workflow asks before any job runs.

Standard library only.
"""

from __future__ import annotations

import gzip
import math
import re
import zlib
from collections import ChainMap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from snakewebb.errors import InputError, reason

BLOCK, CARD = 2880, 80
"""Bytes of a FITS header's blocks and of its lines."""
MOST_BLOCKS = 2000
"""Of a header; one that is longer is none."""
_TEXT = re.compile(r" *'((?:[^']|'')*)'")

Header = Mapping[str, str]
"""Values as text, by keyword; strings without their quotes."""


def primary_header(path: str | Path) -> dict[str, str]:
    """Return the first header of a file.

    Raises
    ------
    InputError
        The file is no FITS file, or cannot be read.
    """
    return next(headers(path))


def exposure_header(path: str | Path) -> Header:
    """Return the keywords of an exposure: those of SCI, and of the primary header.

    Raises
    ------
    InputError
        The file is no FITS file, cannot be read, or has no SCI.
    """
    found = headers(path)
    primary = next(found)
    for header in found:
        if header.get("EXTNAME") == "SCI":
            return ChainMap(header, primary)
    raise InputError(f"{path}: has no SCI extension: give a stage-2 exposure")


def headers(path: str | Path) -> Iterator[dict[str, str]]:
    """Return the headers of a file one by one.

    Raises
    ------
    InputError
        The file is no FITS file, or cannot be read.
    """
    first = True
    try:
        with open(path, "rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with (gzip.open if packed else open)(path, "rb") as file:
            while (header := _header(file, first)) is not None:
                yield header
                first = False
                file.seek(-(-_size(header) // BLOCK) * BLOCK, 1)
    except (OSError, EOFError, ValueError, KeyError, OverflowError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read ({reason(error)}): fetch it again") from None
    if first:
        raise InputError(f"{path}: is no FITS file: fetch it again")


def _header(file: BinaryIO, first: bool) -> dict[str, str] | None:
    """Return the header that begins here; None if there is none."""
    values: dict[str, str] = {}
    for _ in range(MOST_BLOCKS):
        block = file.read(BLOCK).decode("ascii", "replace")
        if not values and not block.startswith("SIMPLE  =" if first else "XTENSION="):
            return None
        for card in (block[k : k + CARD] for k in range(0, len(block), CARD)):
            if card.rstrip() == "END":
                return values
            if card[8:10] == "= ":
                text = _TEXT.match(card, 10)
                value = text[1].replace("''", "'") if text else card[10:].partition("/")[0]
                values.setdefault(card[:8].rstrip(), value.strip())
        if len(block) < BLOCK:
            break
    return None


def _size(header: Header) -> int:
    """Return the bytes of the data that follow a header."""
    sides = [int(header[f"NAXIS{n + 1}"]) for n in range(int(header.get("NAXIS", 0)))]
    groups, extra = int(header.get("GCOUNT", 1)), int(header.get("PCOUNT", 0))
    pixels = math.prod(sides) if sides else 0
    return abs(int(header["BITPIX"])) // 8 * groups * (extra + pixels)


def image_shape(header: Header) -> tuple[int, ...]:
    """Return the shape of a header's image, (…, ny, nx); () if it has none.

    Of a compressed one it is that of what is in it.
    """
    prefix = "ZNAXIS" if header.get("ZIMAGE") == "T" else "NAXIS"
    if prefix == "NAXIS" and header.get("XTENSION", "IMAGE") != "IMAGE":
        return ()
    try:
        return tuple(int(header[f"{prefix}{n}"]) for n in range(int(header[prefix]), 0, -1))
    except (KeyError, ValueError):
        return ()
