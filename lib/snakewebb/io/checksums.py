"""DATASUM and CHECKSUM of what is written, by which others see that a file is whole.

Of any file, however it is written, in place: astropy would have to write it anew, notes the time of
day beside each sum, and knows nothing of the number in an ASDF tree that depends on all headers.
Source: FITS standard 4.0 (Pence et al. 2010, A&A 524, A42), section 4.4.2.7 and appendix J.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, BinaryIO

import numpy as np
from astropy.io import fits

from snakewebb.io.atomic import BLOCK

CARD = 80
ROOM = {"DATASUM": ("0".ljust(10), "data unit checksum"), "CHECKSUM": ("0" * 16, "HDU checksum")}
"""Cards as long as those that come in their place."""
VALUE = 11
"""Where the text of a card's value begins."""
PIECE = 1 << 20
"""Bytes that are read at a time."""
MODULUS = (1 << 32) - 1
HASH = re.compile(rb"(?<=_fits_hash: )[0-9a-f]{64}")
NO_LETTERS = (*range(0x3A, 0x41), *range(0x5B, 0x61))
"""Characters between digits and letters, which no check sum has."""


def make_room(headers: Iterable[fits.Header]) -> None:
    """Put cards into headers that `seal` fills in."""
    for header in headers:
        for key, card in ROOM.items():
            header[key] = card


def seal(file: BinaryIO, sums: Mapping[int, int] = MappingProxyType({})) -> None:
    """Fill in the check sums of a FITS file that is written, and what depends on its headers.

    That is the number in an ASDF extension by which stdatamodels sees whether headers were changed.

    Parameters
    ----------
    file : binary file
        Open for reading and writing. Units without the cards of `make_room` stay as they are.
    sums : mapping, optional
        The sums of data that need not be read again, by where these begin in the file.
    """
    file.seek(0, 2)
    end, place, headers = file.tell(), 0, hashlib.sha256()
    while place < end:
        header = _read_header(file, place)
        start = place + len(header)
        size = _size(header)
        cards = dict(_cards(header))
        if cards.get("EXTNAME", b"").strip().startswith(b"'ASDF "):
            _update_hash(file, start, size, headers.hexdigest().encode())
        if all(key in cards for key in ROOM):
            total = sums[start] if start in sums else _sum_of(file, start, size)
            header = _filled(header, total)
            file.seek(place)
            file.write(header)
        headers.update(header)
        place = start + size
    file.seek(end)


def write_unit(
    file: BinaryIO, header: bytes, pieces: Iterable[tuple[bytes | memoryview, int]]
) -> bytes:
    """Write a unit of a FITS file with its check sums, without reading again what was written.

    Parameters
    ----------
    file : binary file
        Open for writing, where the unit begins.
    header : bytes
        With room for sums, see `make_room`.
    pieces : iterable of (bytes, int)
        The data, each piece with its `sum_of`; all but the last in whole words.

    Returns
    -------
    bytes
        The header as it is written.
    """
    start, total = file.tell(), 0
    file.seek(len(header), 1)
    for data, part in pieces:
        file.write(data)
        total = add(total, part)
    file.write(bytes(-file.tell() % BLOCK))
    end, header = file.tell(), _filled(header, total)
    file.seek(start)
    file.write(header)
    file.seek(end)
    return header


def checksum_text(value: int) -> str:
    """Return the 16 letters of a CHECKSUM: those that add the complement of a sum to its unit.

    Parameters
    ----------
    value : int
        The sum of all words of 32 bits of a unit whose CHECKSUM is 16 zeros.
    """
    letters = [[0] * 4 for _ in range(4)]
    for row, byte in zip(letters, (MODULUS - value).to_bytes(4, "big"), strict=True):
        quotient, rest = divmod(byte, 4)
        row[:] = [0x30 + quotient + (rest if k == 0 else 0) for k in range(4)]
        # A pair moves apart until neither is between digits and letters.
        while any(letter in NO_LETTERS for letter in row):
            for k in (0, 2):
                if row[k] in NO_LETTERS or row[k + 1] in NO_LETTERS:
                    row[k], row[k + 1] = row[k] + 1, row[k + 1] - 1
    text = "".join(chr(letters[i][j]) for j in range(4) for i in range(4))
    return text[-1] + text[:-1]


def add(one: int, other: int) -> int:
    """Return the sum of two sums of 32 bits, whose carries come in again at the other end."""
    total = one + other
    while total > MODULUS:
        total = (total & MODULUS) + (total >> 32)
    return total


def _filled(header: bytes, data: int) -> bytes:
    """Return a header with its sums, of one that has room for them."""
    header = _with(header, "DATASUM", str(data).ljust(10))
    header = _with(header, "CHECKSUM", "0" * 16)
    return _with(header, "CHECKSUM", checksum_text(add(sum_of(header), data)))


def _with(header: bytes, key: str, text: str) -> bytes:
    """Return a header with another text as the value of a card."""
    keys = [header[at : at + 8] for at in range(0, len(header), CARD)]
    place = CARD * keys.index(key.ljust(8).encode()) + VALUE
    return header[:place] + text.encode() + header[place + len(text) :]


def _sum_of(file: BinaryIO, start: int, size: int) -> int:
    total = 0
    file.seek(start)
    for place in range(0, size, PIECE):
        total = add(total, sum_of(file.read(min(PIECE, size - place))))
    return total


def sum_of(data: Any) -> int:
    """Return the sum of the words of 32 bits in bytes."""
    return add(0, int(np.frombuffer(data, ">u4").sum(dtype=np.uint64)))


def _update_hash(file: BinaryIO, start: int, size: int, digest: bytes) -> None:
    file.seek(start)
    found = HASH.search(file.read(size))
    if found:
        file.seek(start + found.start())
        file.write(digest)


def _read_header(file: BinaryIO, place: int) -> bytes:
    file.seek(place)
    blocks = []
    while True:
        blocks.append(file.read(BLOCK))
        if any(blocks[-1][at : at + 8] == b"END     " for at in range(0, BLOCK, CARD)):
            return b"".join(blocks)


def _cards(header: bytes) -> Iterator[tuple[str, bytes]]:
    """Return keywords and what stands behind them."""
    for at in range(0, len(header), CARD):
        yield header[at : at + 8].decode("ascii").rstrip(), header[at + 10 : at + CARD]


def _size(header: bytes) -> int:
    """Return the bytes of the data of a unit, with what fills its last block."""
    cards = dict(reversed(list(_cards(header))))

    def number(key: str, default: int) -> int:
        return int(cards[key].partition(b"/")[0]) if key in cards else default

    axes = [number(f"NAXIS{k}", 0) for k in range(1, number("NAXIS", 0) + 1)]
    pixels = math.prod(axes) if axes else 0
    size = abs(number("BITPIX", 8)) // 8 * number("GCOUNT", 1) * (number("PCOUNT", 0) + pixels)
    return -(-size // BLOCK) * BLOCK
