"""Nodes of YAML that a gWCS is made of."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import yaml
from yaml.representer import SafeRepresenter

TRANSFORM = "tag:stsci.edu:asdf/transform/"


def field(node: yaml.MappingNode, name: str) -> yaml.Node:
    """Return what stands in a mapping under a name.

    Raises
    ------
    StopIteration
        Nothing does.
    """
    return next(value for key, value in node.value if key.value == name)


def of_kind(node: yaml.Node, kind: str) -> Iterator[yaml.Node]:
    """Find nodes by the name of their tag."""
    if node.tag.rpartition("-")[0].endswith(f"/{kind}"):
        yield node
    if isinstance(node, yaml.MappingNode):
        for _, value in node.value:
            yield from of_kind(value, kind)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from of_kind(value, kind)


def version_of(node: yaml.Node) -> str:
    """Return the version of a node's tag."""
    return node.tag.rpartition("-")[2]


def chained(parts: list[yaml.Node], **more: Any) -> yaml.Node:
    """Return the compound of models that follow each other."""
    made, *rest = parts
    for part in rest:
        own = more if part is rest[-1] else {}
        both = yaml.SequenceNode("tag:yaml.org,2002:seq", [made, part], flow_style=False)
        ends = {"inputs": field(parts[0], "inputs"), "outputs": field(part, "outputs")}
        tag = f"{TRANSFORM}compose-{version_of(parts[0])}"
        made = mapping(tag, forward=both, **copy.deepcopy(ends), **own)
    return made


def mapping(tag: str, **values: Any) -> yaml.MappingNode:
    """Return a mapping of names to nodes or texts."""
    represent = SafeRepresenter().represent_data
    pairs = [
        (represent(name), value if isinstance(value, yaml.Node) else represent(value))
        for name, value in values.items()
    ]
    return yaml.MappingNode(tag, pairs, flow_style=False)


def numbers(values: Any) -> str:
    """Return numbers in the way of YAML, which does not know 1e-05."""
    node = SafeRepresenter(default_flow_style=True).represent_data(np.asarray(values).tolist())
    return yaml.serialize(node, Dumper=yaml.CSafeDumper, width=10**6).strip()
