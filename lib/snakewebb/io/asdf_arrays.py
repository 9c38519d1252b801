"""Arrays in ASDF files: in the tree, or in the blocks behind it.

What a description promises is checked against the file, and a limit, before memory is taken for it.
All that is wrong is a ValueError.
"""

from __future__ import annotations

import bz2
import math
import struct
import zlib
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np

MAGIC = b"\xd3BLK"
HEADER = struct.Struct(">I4sQQQ")
"""Of a block, after its magic number and length: flags, compression, space, used and full size."""

UNPACKERS: dict[bytes, Any] = {b"zlib": zlib.decompressobj, b"bzp2": bz2.BZ2Decompressor}
STORED_AS_IT_IS = b"\0\0\0\0"
TEXT = {"ascii": "S", "ucs4": "U"}
NUMBERS = {
    "bool8": "bool",
    **{f"{sign}int{bits}": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
    **{name: name for name in ("float16", "float32", "float64", "complex64", "complex128")},
}
"""NumPy's names of ASDF's scalar data types."""

STORED = {"source", "datatype", "byteorder", "shape", "offset", "strides"}
"""What describes an array in a block."""
INLINE = {"data", "datatype", "shape", "byteorder"}
"""What describes an array in the tree."""
MAX_BYTES = 2**26
"""Of an array; polynomials and tables have a few thousand."""


def array(data: Any, blocks: bytes) -> np.ndarray:
    """Return an array from its description in a tree.

    Parameters
    ----------
    data : list or dict
        The values, or what describes them: ``data``, or ``source``, ``datatype``, ``shape``, …
    blocks : bytes
        The file's blocks.

    Raises
    ------
    ValueError
        It is described in a way that is not known here, or wrongly.
    """
    if not isinstance(data, dict):
        data = {"data": data}
    dtype, shape = None, data.get("shape")
    if "datatype" in data:
        dtype = _dtype(data["datatype"], data.get("byteorder", "little"))
    if shape is not None and not _are_counts(shape):
        raise ValueError(f"an array of shape {shape!r:.40}")
    if data.keys() <= INLINE and "data" in data:
        return _inline(data["data"], dtype, shape)
    if shape is None or not {"source", "datatype"} <= data.keys() <= STORED:
        raise ValueError(f"an array described by {', '.join(map(str, data)):.80}")
    offset, strides = data.get("offset", 0), data.get("strides")
    if strides is None:
        strides = [dtype.itemsize * math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    if not _are_counts([offset]) or not _are_strides(strides, len(shape)):
        raise ValueError(f"an array at {offset!r:.40} with strides {strides!r:.40}")
    block = _block(blocks, data["source"])
    size = math.prod(shape)
    reach = [(count - 1) * step for count, step in zip(shape, strides, strict=True)]
    first = offset + sum(step for step in reach if step < 0)
    last = offset + sum(step for step in reach if step > 0) + dtype.itemsize
    if size * dtype.itemsize > MAX_BYTES or (size and not 0 <= first <= last <= len(block)):
        raise ValueError(f"an array of shape {shape} in a block of {len(block)} bytes")
    native = dtype.newbyteorder("=")
    if not size:
        return np.empty(shape, native)
    return np.ndarray(tuple(shape), dtype, block, offset, tuple(strides)).astype(native)


def _inline(data: Any, dtype: np.dtype | None, shape: list[int] | None) -> np.ndarray:
    """Return an array whose values stand in the tree."""
    values = list(_flat(data))
    widths = (4 * len(value) for value in values if isinstance(value, str))
    if len(values) * max(dtype.itemsize if dtype else 16, *widths, 0) > MAX_BYTES:
        raise ValueError(f"an array of {len(values)} long texts")
    try:
        made = np.array(data, dtype and dtype.newbyteorder("="))
    except (TypeError, OverflowError) as error:
        raise ValueError(f"an array of odd values: {error}") from error
    if made.dtype == object or (shape is not None and made.shape != tuple(shape)):
        raise ValueError("an array whose values do not fit its description")
    return made


def _flat(data: Any) -> Iterator[Any]:
    if isinstance(data, list):
        for item in data:
            yield from _flat(item)
    else:
        yield data


def _dtype(kind: Any, order: Any) -> np.dtype:
    """Return the NumPy type of one of ASDF's scalar data types."""
    if order not in ("big", "little"):
        raise ValueError(f"byte order {order!r:.40}")
    order = ">" if order == "big" else "<"
    if isinstance(kind, list) and len(kind) == 2 and kind[0] in ("ascii", "ucs4"):
        if not _are_counts(kind[1:]) or not kind[1]:
            raise ValueError(f"texts of length {kind[1]!r:.40}")
        return np.dtype(f"{order}{TEXT[kind[0]]}{kind[1]}")
    if not isinstance(kind, str) or kind not in NUMBERS:
        raise ValueError(f"an array of {kind!r:.40}")
    return np.dtype(NUMBERS[kind]).newbyteorder(order)


def _are_counts(numbers: Any) -> bool:
    return isinstance(numbers, list) and all(
        type(n) is int and 0 <= n <= MAX_BYTES for n in numbers
    )


def _are_strides(numbers: Any, axes: int) -> bool:
    if not isinstance(numbers, list) or len(numbers) != axes:
        return False
    return all(type(n) is int and abs(n) <= MAX_BYTES for n in numbers)


def _block(blocks: bytes, number: Any) -> bytes:
    """Return the content of a block."""
    if not _are_counts([number]):
        raise ValueError(f"an array in {number!r:.40}")
    found = next(islice(walk_blocks(blocks), number, None), None)
    if found is None:
        raise ValueError(f"no block {number}")
    packing, stored, size = found
    if packing == STORED_AS_IT_IS:
        return stored
    if packing not in UNPACKERS:
        raise ValueError(f"a block packed by {packing!r}")
    try:
        content = UNPACKERS[packing]().decompress(stored, max_length=size + 1)
    except (OSError, zlib.error) as error:
        raise ValueError(f"a broken block: {error}") from error
    if len(content) != size:
        raise ValueError(f"a block of {len(content)} bytes that should have {size}")
    return content


def walk_blocks(blocks: bytes) -> Iterator[tuple[bytes, bytes, int]]:
    """Find blocks: how they are packed, their bytes, and how many bytes these become."""
    at = blocks.find(MAGIC)
    while at >= 0 and blocks[at : at + 4] == MAGIC:
        try:
            (length,) = struct.unpack_from(">H", blocks, at + 4)
            _, packing, space, used, size = HEADER.unpack_from(blocks, at + 6)
        except struct.error:
            raise ValueError("a block that is cut short") from None
        start = at + 6 + length
        if length < HEADER.size or used > space or start + used > len(blocks):
            raise ValueError("a block that is cut short")
        if packing != STORED_AS_IT_IS and size > MAX_BYTES:
            raise ValueError(f"a block that becomes {size} bytes")
        yield packing, blocks[start : start + used], size
        at = start + space
