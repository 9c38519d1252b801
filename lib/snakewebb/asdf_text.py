"""The ASDF tree of a product, changed as text.

A product made of another keeps most of its metadata, and its gWCS. To copy these, they need not be
understood: without asdf, gwcs and stdatamodels, a job saves two seconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

END = b"\n...\n"
INDEX = b"#ASDF BLOCK INDEX"
TAGS = {"!": "tag:stsci.edu:asdf/"}


def changed(content: bytes, changes: Mapping[str, Any], dropped: Iterable[str]) -> bytes:
    """Return an ASDF file with another tree.

    Parameters
    ----------
    content : bytes
        An ASDF file.
    changes : mapping
        Values that JSON can hold by their place, such as ``meta.filename``; what is above must be
        there.
    dropped : iterable of str
        Places to be left out, if they are there.

    Raises
    ------
    ValueError
        It is no ASDF file, or lacks a place.
    """
    head, end, blocks = content.partition(END)
    start = head.find(b"%YAML")
    if start < 0 or not end:
        raise ValueError("no ASDF tree")
    tree = yaml.compose(head[start:].decode() + "\n", Loader=yaml.CSafeLoader)
    for place in dropped:
        parent, name = _parent(tree, place)
        if parent is not None:
            parent.value = [pair for pair in parent.value if pair[0].value != name]
    for place, value in changes.items():
        parent, name = _parent(tree, place)
        if parent is None:
            raise ValueError(f"no {place} in the ASDF tree")
        new = yaml.compose(json.dumps(value), Loader=yaml.CSafeLoader)
        kept = [pair for pair in parent.value if pair[0].value != name]
        parent.value = [*kept, (yaml.ScalarNode("tag:yaml.org,2002:str", name), new)]
    text = yaml.serialize(
        tree, Dumper=yaml.CSafeDumper, explicit_start=True, version=(1, 1), tags=TAGS
    )
    return head[:start] + text.rstrip().removesuffix("...").rstrip().encode() + END + _whole(blocks)


def _parent(tree, place):
    """Return the mapping that a place is in, or None, and its name there."""
    *above, name = place.split(".")
    node = tree
    for key in above:
        node = next((value for known, value in node.value if known.value == key), None)
        if node is None:
            break
    return node, name


def _whole(blocks: bytes) -> bytes:
    """Leave out the index of blocks, which would be wrong now and need not be there."""
    return blocks[: blocks.rfind(INDEX)] if INDEX in blocks else blocks
