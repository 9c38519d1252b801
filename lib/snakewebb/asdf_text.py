"""ASDF trees, taken as text.

A product made of another keeps most of its metadata, and its gWCS. To copy these, or to read a
table of numbers and words, they need not be understood: without asdf, gwcs and stdatamodels, a job
saves two seconds.
"""

from __future__ import annotations

import bz2
import hashlib
import struct
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import yaml
from astropy.io import fits
from yaml.representer import SafeRepresenter

from snakewebb import __version__
from snakewebb.files import BLOCK

END = b"\n...\n"
INDEX = b"#ASDF BLOCK INDEX"
MAGIC = b"\xd3BLK"
HEADER = struct.Struct(">I4sQQQ")
"""Of a block, after its magic number and length: flags, compression, space, used and full size."""

PACKERS = {b"\0\0\0\0": bytes, b"zlib": zlib.decompress, b"bzp2": bz2.decompress}
TEXT = {"ascii": "S", "ucs4": "U"}
TAGS = {"!": "tag:stsci.edu:asdf/"}
NDARRAY = "tag:stsci.edu:asdf/core/ndarray-1."
YAML = "tag:yaml.org,2002:"
STORED = {"source", "datatype", "byteorder", "shape", "offset", "strides"}
"""What describes an array in a block."""

EMPTY = b"""#ASDF 1.0.0
#ASDF_STANDARD 1.6.0
%YAML 1.1
%TAG ! tag:stsci.edu:asdf/
--- !core/asdf-1.1.0
asdf_library: !core/software-1.0.0 {name: snakewebb}
...
"""


def created(values: Mapping[str, Any]) -> bytes:
    """Return an ASDF file whose tree has these values; see `changed`."""
    return changed(EMPTY, {"asdf_library.version": __version__, **values}, ())


def changed(content: bytes, changes: Mapping[str, Any], dropped: Iterable[str]) -> bytes:
    """Return an ASDF file with another tree.

    Parameters
    ----------
    content : bytes
        An ASDF file.
    changes : mapping
        Values in builtin types, or nodes, by their place, such as ``meta.filename``; what is above
        is made where it is not there. A function is given the node that stands there, and returns
        another.
    dropped : iterable of str
        Places to be left out, if they are there.

    Raises
    ------
    ValueError
        It is no ASDF file.
    """
    head, tree, blocks = _parts(content)
    for place in dropped:
        above, _, name = place.rpartition(".")
        parent = _node(tree, above)
        if isinstance(parent, yaml.MappingNode):
            parent.value = [pair for pair in parent.value if pair[0].value != name]
    represent = SafeRepresenter(sort_keys=False).represent_data
    for place, value in changes.items():
        value = value(_node(tree, place)) if callable(value) else value
        _put(tree, place, value if isinstance(value, yaml.Node) else represent(value))
    text = yaml.serialize(
        tree, Dumper=yaml.CSafeDumper, explicit_start=True, version=(1, 1), tags=TAGS
    )
    # an index of blocks would be wrong now, and need not be there
    blocks = blocks[: blocks.rfind(INDEX)] if INDEX in blocks else blocks
    return head + text.rstrip().removesuffix("...").rstrip().encode() + END + blocks


def read_value(content: bytes, place: str) -> Any:
    """Return what stands at a place of an ASDF tree, without tags; None if nothing does.

    Raises
    ------
    ValueError
        It is no ASDF file.
    """
    node = read_node(content, place)
    return None if node is None else _plain(node)


def read_node(content: bytes, place: str) -> yaml.Node | None:
    """Return the node at a place of an ASDF tree; None if nothing stands there.

    Raises
    ------
    ValueError
        It is no ASDF file.
    """
    return _node(_parts(content)[1], place)


def value(node: yaml.Node, content: bytes) -> Any:
    """Return what a node holds: a number, a text, None, an array, or a list of such.

    Parameters
    ----------
    node : yaml.Node
        From `read_node`.
    content : bytes
        The ASDF file.

    Raises
    ------
    ValueError
        It holds something else.
    """
    if node.tag.startswith(NDARRAY):
        return _array(_plain(node), content)
    if isinstance(node, yaml.ScalarNode) and node.tag.startswith(YAML):
        return _plain(node)
    if isinstance(node, yaml.SequenceNode) and node.tag.startswith(YAML):
        return [value(item, content) for item in node.value]
    raise ValueError(f"{node.tag} for a value")


def fits_array(name: str, dtype: np.dtype, shape: tuple[int, ...]) -> yaml.Node:
    """Return the node of an array that is not in the ASDF file, but in an extension around it."""
    columns = [
        {"byteorder": "big", "datatype": _datatype(dtype[column]), "name": column}
        for column in dtype.names or ()
    ]
    node = SafeRepresenter(sort_keys=False).represent_data(
        {
            "source": f"fits:{name},1",
            "datatype": columns or _datatype(dtype),
            "byteorder": "big",
            "shape": list(shape),
        }
    )
    node.tag = f"{NDARRAY}1.0"
    return node


def _datatype(dtype: np.dtype) -> Any:
    if dtype.kind == "U":
        return ["ascii", dtype.itemsize // 4]
    return "bool8" if dtype.kind == "b" else dtype.name


def fits_hash(headers: Iterable[str]) -> str:
    """Return the number by which stdatamodels sees whether headers were changed by others.

    They are those of all extensions but ASDF; the number stands in the tree as ``_fits_hash``.
    """
    return hashlib.sha256("".join(headers).encode()).hexdigest()


def extension(content: bytes) -> bytes:
    """Return the extension of a FITS file that holds an ASDF file.

    It is one of bytes in a table. Astropy's class for tables would import asdf.
    """
    header = fits.Header({"XTENSION": "BINTABLE", "BITPIX": 8, "NAXIS": 2})
    header["NAXIS1"], header["NAXIS2"] = len(content), 1
    header["PCOUNT"], header["GCOUNT"], header["TFIELDS"] = 0, 1, 1
    header["TTYPE1"], header["TFORM1"] = "ASDF_METADATA", f"{len(content)}B"
    header["EXTNAME"] = "ASDF"
    return header.tostring().encode("ascii") + content + bytes(-len(content) % BLOCK)


def read_table(content: bytes, name: str) -> dict[str, np.ndarray]:
    """Return the columns of an astropy table in an ASDF file.

    Parameters
    ----------
    content : bytes
        An ASDF file.
    name : str
        The table's key in the tree.

    Raises
    ------
    ValueError
        There is no such table, or it is stored in a way that is not known here.
    """
    _, tree, blocks = _parts(content)
    try:
        columns = _plain(tree)[name]["columns"]
    except (KeyError, TypeError):
        raise ValueError(f"no table {name}") from None
    try:
        return {column["name"]: _array(column["data"], blocks) for column in columns}
    except (KeyError, TypeError, struct.error, zlib.error, OSError) as error:
        raise ValueError(f"table {name} is stored in an unknown way: {error!r}") from error


def _parts(content):
    """Return what is before the tree of an ASDF file, the tree, and the blocks."""
    head, _, blocks = content.partition(END)
    start = head.find(b"%YAML")
    if not head.startswith(b"#ASDF") or start < 0:
        raise ValueError("no ASDF file")
    try:
        tree = yaml.compose(head[start:].decode() + "\n", Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError("a broken ASDF tree") from error
    return head[:start], tree, blocks


def _plain(node):
    """Return a node of a tree without its tags."""
    if isinstance(node, yaml.MappingNode):
        return {key.value: _plain(value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [_plain(value) for value in node.value]
    return yaml.CSafeLoader("").construct_object(node)


def _array(data, blocks):
    if isinstance(data, list):
        return np.array(data)
    if set(data) <= {"data", "datatype", "shape"}:
        return np.array(data["data"])
    if not set(data) <= STORED:
        raise KeyError(f"an array with {', '.join(set(data) - STORED)}")
    kind = data["datatype"]
    order = ">" if data["byteorder"] == "big" else "<"
    if isinstance(kind, list):
        dtype = np.dtype(f"{order}{TEXT[kind[0]]}{kind[1]}")
    else:
        dtype = np.dtype(kind).newbyteorder(order)
    block = _block(blocks, data["source"])
    array = np.ndarray(
        tuple(data["shape"]), dtype, block, data.get("offset", 0), data.get("strides")
    )
    return array.astype(dtype.newbyteorder("="))


def _block(blocks, number):
    """Return the content of a block."""
    at = blocks.index(MAGIC)
    for _ in range(number + 1):
        if blocks[at : at + 4] != MAGIC:
            raise KeyError(f"block {number}")
        (length,) = struct.unpack_from(">H", blocks, at + 4)
        _, packing, space, used, _ = HEADER.unpack_from(blocks, at + 6)
        start = at + 6 + length
        at = start + space
    return PACKERS[packing](blocks[start : start + used])


def _node(tree, place):
    """Return what stands at a place, or None; the tree itself at the empty one."""
    node = tree
    for name in place.split(".") if place else []:
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        node = next((value for key, value in pairs if key.value == name), None)
    return node


def _put(node, place, new):
    """Put a node at a place below another."""
    name, _, below = place.partition(".")
    names = [key.value for key, _ in node.value]
    at = names.index(name) if name in names else len(names)
    if below:
        known = node.value[at][1] if name in names else None
        if not isinstance(known, yaml.MappingNode):
            known = yaml.MappingNode("tag:yaml.org,2002:map", [])
        _put(known, below, new)
        new = known
    node.value[at : at + 1] = [(yaml.ScalarNode("tag:yaml.org,2002:str", name), new)]
