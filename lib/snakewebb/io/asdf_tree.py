"""ASDF trees, taken as text.

A product made of another keeps most of its metadata, and its gWCS. To copy these, or to read a
table of numbers and words, they need not be understood: without asdf, gwcs and stdatamodels, a job
saves two seconds.

Sizes, depths and places in a file are checked before memory is taken for what they promise; all
that is wrong with a file is a ValueError.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import yaml
from astropy.io import fits
from yaml.representer import SafeRepresenter

from snakewebb import __version__
from snakewebb.io.asdf_arrays import array, walk_blocks
from snakewebb.io.atomic import BLOCK
from snakewebb.io.checksums import make_room, sum_of

END = b"\n...\n"
INDEX = b"#ASDF BLOCK INDEX"
TAGS = {"!": "tag:stsci.edu:asdf/"}
NDARRAY = "tag:stsci.edu:asdf/core/ndarray-1."
YAML = "tag:yaml.org,2002:"
MAX_DEPTH = 200
"""Collections within each other; the gWCS of MIRI, corrected, has 41."""
MAX_NODES = 1_000_000
"""Of a tree, those that aliases repeat counted each time; an exposure has a few thousand."""
EMPTY = b"""#ASDF 1.0.0
#ASDF_STANDARD 1.6.0
%YAML 1.1
%TAG ! tag:stsci.edu:asdf/
--- !core/asdf-1.1.0
asdf_library: !core/software-1.0.0 {name: snakewebb}
...
"""


class AsdfTree:
    """An ASDF file in memory: its tree, parsed once, and what stands before and after it.

    Parameters
    ----------
    content : bytes
        An ASDF file.

    Raises
    ------
    ValueError
        It is no ASDF file, or a broken one.
    """

    def __init__(self, content: bytes) -> None:
        head, end, self._blocks = content.partition(END)
        start = head.find(b"%YAML")
        if not head.startswith(b"#ASDF") or start < 0:
            raise ValueError("no ASDF file")
        if not end and not head.rstrip().endswith(b"..."):
            raise ValueError("an ASDF file that is cut short")
        text = head[start:] + b"\n"
        try:
            _check_tree(text)
            self._tree = yaml.compose(text.decode(), Loader=yaml.CSafeLoader)
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ValueError("a broken ASDF tree") from error
        if not isinstance(self._tree, yaml.MappingNode):
            raise ValueError("an ASDF tree without names")
        self._head = head[:start]

    @property
    def standard(self) -> tuple[int, ...]:
        """The version of the ASDF standard that its tags are of; without one it is today's."""
        told = re.search(rb"^#ASDF_STANDARD (\d+)\.(\d+)\.(\d+)\s*$", self._head, re.M)
        return tuple(map(int, told.groups())) if told else (1, 6, 0)

    def node(self, place: str = "") -> yaml.Node | None:
        """Return the node at a place, such as ``meta.filename``; None if nothing stands there."""
        return _node(self._tree, place)

    def value(self, place: str) -> Any:
        """Return what stands at a place, without tags; None if nothing does.

        Raises
        ------
        ValueError
            A scalar is not what its tag says.
        """
        node = self.node(place)
        return None if node is None else _plain(node)

    def read(self, node: yaml.Node) -> Any:
        """Return what a node holds: a number, a text, None, an array, or a list of such.

        Raises
        ------
        ValueError
            It holds something else, or an array that the file does not hold.
        """
        if node.tag.startswith(NDARRAY):
            return array(_plain(node), self._blocks)
        if isinstance(node, yaml.ScalarNode) and node.tag.startswith(YAML):
            return _plain(node)
        if isinstance(node, yaml.SequenceNode) and node.tag.startswith(YAML):
            return [self.read(item) for item in node.value]
        raise ValueError(f"{node.tag} for a value")

    def inline(self, node: yaml.Node) -> yaml.Node:
        """Write the arrays in a node with their values, so that it can go to another file.

        Raises
        ------
        ValueError
            An array is not in the file, not of numbers, or described in a way that is not known.
        """
        if isinstance(node, yaml.MappingNode) and node.tag.startswith(NDARRAY):
            values = self.read(node)
            if values.dtype.kind not in "biuf":
                raise ValueError(f"an array of {values.dtype}, not of numbers")
            told = {
                "data": values.tolist(),
                "datatype": _datatype(values.dtype),
                "shape": list(values.shape),
            }
            node.value = SafeRepresenter(default_flow_style=True).represent_data(told).value
        elif isinstance(node, yaml.MappingNode):
            for _, below in node.value:
                self.inline(below)
        elif isinstance(node, yaml.SequenceNode):
            for below in node.value:
                self.inline(below)
        return node

    def table(self, name: str) -> dict[str, np.ndarray]:
        """Return the columns of the astropy table at a key of the tree.

        Raises
        ------
        ValueError
            There is no such table, or it is stored in a way that is not known here.
        """
        columns = self.node(f"{name}.columns")
        if not isinstance(columns, yaml.SequenceNode):
            raise ValueError(f"no table {name}")
        table = {}
        for column in map(_plain, columns.value):
            if not isinstance(column, dict) or not {"name", "data"} <= column.keys():
                raise ValueError(f"table {name} has a column without name or data")
            table[str(column["name"])] = array(column["data"], self._blocks)
        return table

    def check_blocks(self) -> None:
        """Raise where the file promises more than it can hold.

        What asdf is to read, which checks less, goes through this first.

        Raises
        ------
        ValueError
        """
        for _ in walk_blocks(self._blocks):
            pass

    def change(self, changes: Mapping[str, Any], dropped: Iterable[str] = ()) -> AsdfTree:
        """Change the tree in place, and return it.

        Parameters
        ----------
        changes : mapping
            Values in builtin types, or nodes, by their place; what is above is made where it is
            not there. A function is given the node that stands there, and returns another.
        dropped : iterable of str
            Places to be left out before that, if they are there.
        """
        for place in dropped:
            above, _, name = place.rpartition(".")
            parent = self.node(above)
            if isinstance(parent, yaml.MappingNode):
                parent.value = [pair for pair in parent.value if pair[0].value != name]
        represent = SafeRepresenter(sort_keys=False).represent_data
        for place, value in changes.items():
            value = value(self.node(place)) if callable(value) else value
            _put(self._tree, place, value if isinstance(value, yaml.Node) else represent(value))
        return self

    def to_bytes(self) -> bytes:
        """Return the ASDF file."""
        text = yaml.serialize(
            self._tree, Dumper=yaml.CSafeDumper, explicit_start=True, version=(1, 1), tags=TAGS
        )
        # an index of blocks would be wrong now, and need not be there
        blocks = self._blocks
        blocks = blocks[: blocks.rfind(INDEX)] if INDEX in blocks else blocks
        return self._head + text.rstrip().removesuffix("...").rstrip().encode() + END + blocks


def created(values: Mapping[str, Any]) -> bytes:
    """Return an ASDF file whose tree has these values; see `AsdfTree.change`."""
    return AsdfTree(EMPTY).change({"asdf_library.version": __version__, **values}).to_bytes()


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
    """Return the extension of a FITS file that holds an ASDF file."""
    header, [(data, _)] = asdf_unit(content)
    return header + data + bytes(-len(data) % BLOCK)


def asdf_unit(content: bytes) -> tuple[bytes, list[tuple[bytes, int]]]:
    """Return header and data of the extension that holds an ASDF file, for `write_unit`.

    It is one of bytes in a table. Astropy's class for tables would import asdf.
    """
    header = fits.Header({"XTENSION": "BINTABLE", "BITPIX": 8, "NAXIS": 2})
    header["NAXIS1"], header["NAXIS2"] = len(content), 1
    header["PCOUNT"], header["GCOUNT"], header["TFIELDS"] = 0, 1, 1
    header["TTYPE1"], header["TFORM1"] = "ASDF_METADATA", f"{len(content)}B"
    header["EXTNAME"] = "ASDF"
    make_room([header])
    padded = content + bytes(-len(content) % 4)
    return header.tostring().encode("ascii"), [(content, sum_of(padded))]


@lru_cache(maxsize=8)
def _check_tree(text: bytes) -> None:
    """Raise where a tree is too deep or too large to be composed, or contains itself.

    The composer recurses in C, and what walks a tree later meets what an alias stands for again
    and again.
    """
    sizes: dict[str, tuple[int, int]] = {}  # nodes and depth of what has an anchor
    above: list[tuple[str | None, int, int]] = []
    nodes = depth = 0
    for event in yaml.parse(text.decode(), Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            above.append((event.anchor, nodes, depth))
            nodes, depth = nodes + 1, 0
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before, beside = above.pop()
            depth += 1
            if anchor:
                sizes[anchor] = nodes - before, depth
            depth = max(depth, beside)
        elif isinstance(event, yaml.ScalarEvent):
            nodes += 1
            if event.anchor:
                sizes[event.anchor] = 1, 0
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor in (anchor for anchor, *_ in above):
                raise ValueError("an ASDF tree that contains itself")
            more, deep = sizes.get(event.anchor, (1, 0))
            nodes, depth = nodes + more, max(depth, deep)
        if nodes > MAX_NODES:
            raise ValueError(f"an ASDF tree of more than {MAX_NODES} nodes")
        if len(above) + depth > MAX_DEPTH:
            raise ValueError(f"an ASDF tree deeper than {MAX_DEPTH} levels")


def _plain(node: yaml.Node) -> Any:
    """Return a node of a tree without its tags."""
    if isinstance(node, yaml.MappingNode):
        if not all(isinstance(key, yaml.ScalarNode) for key, _ in node.value):
            raise ValueError("a collection for a name")
        return {key.value: _plain(value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [_plain(value) for value in node.value]
    try:
        return yaml.CSafeLoader("").construct_object(node)
    except Exception as error:  # of many kinds, where the text is not as the tag says
        raise ValueError(f"{node.value!r:.40} is no {node.tag:.60}") from error


def _node(tree: yaml.Node, place: str) -> yaml.Node | None:
    """Return what stands at a place, or None; the tree itself at the empty one."""
    node = tree
    for name in place.split(".") if place else []:
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        node = next((value for key, value in pairs if key.value == name), None)
    return node


def _put(node: yaml.MappingNode, place: str, new: yaml.Node) -> None:
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
