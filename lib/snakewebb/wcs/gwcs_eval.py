"""The gWCS of an exposure, taken from its ASDF tree as text and evaluated with NumPy.

gwcs, asdf and astropy.modeling take a second to import, which is longer than the rest of a job
that needs a few thousand positions. Here the transforms of :mod:`snakewebb.wcs.gwcs_transforms` are
read, of all versions of their tags; whatever is not exactly of a known form is refused, and has to
be left to gwcs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import reduce

import numpy as np
import yaml

from snakewebb.io.asdf_tree import AsdfTree
from snakewebb.wcs.geometry import Box, PixelToSky
from snakewebb.wcs.gwcs_transforms import TRANSFORMS, Transform, UnknownWCS, chain, number

TAG = re.compile(r"tag:stsci\.edu:(?:asdf/transform|gwcs)/([a-z0-9_/]+)-1\.\d+\.\d+")
IRRELEVANT = {"name", "fixed", "bounds"}
"""Of a transform: its name, and what concerns fits of its parameters."""
NULL = "tag:yaml.org,2002:null"
ICRS = re.compile(r"tag:astropy\.org:astropy/coordinates/frames/icrs-1\.\d+\.\d+")


def read_tree(content: bytes, place: str = "meta.wcs") -> PixelToSky:
    """Return a gWCS of an ASDF file.

    Parameters
    ----------
    content : bytes
        The file.
    place : str, optional
        Where the gWCS stands in its tree.

    Raises
    ------
    UnknownWCS
        There is none, or not all of it is understood.
    """
    try:
        tree = AsdfTree(content)
    except ValueError as error:
        raise UnknownWCS(f"no gWCS: {error}") from error
    return pixel_to_sky(tree.node(place), tree)


def pixel_to_sky(node: yaml.Node | None, tree: AsdfTree) -> PixelToSky:
    """Return the map that a gWCS of an image is.

    Parameters
    ----------
    node : yaml.Node
        The gWCS.
    tree : AsdfTree
        That has the arrays which are not in the node itself.

    Raises
    ------
    UnknownWCS
        There is none, or not all of it is understood.
    """
    try:
        *steps, last = _steps(node)
        nodes = [step["transform"] for step in steps]
        with np.errstate(all="ignore"):  # of numbers that are no angles, which will show
            whole = reduce(chain, (_transform(step, tree) for step in nodes))
        if (whole.inputs, whole.outputs) != (2, 2) or _is_there(last.get("transform")):
            raise UnknownWCS("not from pixels to sky")
        _check_frame(last["frame"], tree)
        box = _bounding_box(nodes[0], tree)
    except Exception as error:  # whatever is odd is for gwcs to judge
        raise UnknownWCS(f"a gWCS stored in an unknown way: {error!r:.200}") from error
    return PixelToSky(whole.forward, whole.inverse, box)


def read_transform(content: bytes, place: str) -> Transform:
    """Return a transform of an ASDF file; see `transform_of`."""
    try:
        tree = AsdfTree(content)
    except ValueError as error:
        raise UnknownWCS(f"no transform: {error}") from error
    return transform_of(tree.node(place), tree)


def transform_of(node: yaml.Node | None, tree: AsdfTree) -> Transform:
    """Return the transform that a node is, such as the ``model`` of a DISTORTION reference file.

    Parameters
    ----------
    node, tree
        See `pixel_to_sky`.

    Raises
    ------
    UnknownWCS
        There is none, or not all of it is understood.
    """
    try:
        return _transform(node, tree)
    except Exception as error:
        raise UnknownWCS(f"a transform stored in an unknown way: {error!r:.200}") from error


def bounding_box(node: yaml.Node, tree: AsdfTree) -> Box | None:
    """Return the bounding box of a transform of pixels, ((x0, x1), (y0, y1)); None without.

    Raises
    ------
    UnknownWCS
        It is stored in a way that is not known here.
    """
    try:
        return _bounding_box(node, tree)
    except Exception as error:
        raise UnknownWCS(f"a bounding box stored in an unknown way: {error!r:.200}") from error


def tangent_point(content: bytes, place: str) -> tuple[float, float] | None:
    """Return RA and Dec, degrees, where a gWCS projects the sky on a plane; None if nowhere.

    Parameters
    ----------
    content, place
        As for `read_tree`, which understands the gWCS.
    """
    tree = AsdfTree(content)
    for step in _steps(tree.node(place)):
        for node in _nodes(step["transform"]) if _is_there(step.get("transform")) else ():
            kind = TAG.fullmatch(node.tag)
            if kind and kind[1] in ("fitswcs_imaging", "rotate3d"):
                fields = {key.value: field for key, field in node.value}
                if kind[1] == "fitswcs_imaging":
                    ra, dec = map(float, tree.read(fields["crval"]))
                    return ra, dec
                if tree.read(fields["direction"]) == "native2celestial":
                    ra, dec = (number(tree.read(fields[name])) for name in ("phi", "theta"))
                    return ra, dec
    return None


def _steps(node: yaml.Node | None) -> list[dict[str, yaml.Node]]:
    """Return the steps of a gWCS, each with a frame and, but for the last, a transform."""
    if node is None:
        raise UnknownWCS("no gWCS")
    return [_fields(step, "step") for step in _fields(node, "wcs")["steps"].value]


def _is_there(node: yaml.Node | None) -> bool:
    return node is not None and node.tag != NULL


def _nodes(node: yaml.Node) -> Iterator[yaml.Node]:
    """Find all mappings in a node."""
    if isinstance(node, yaml.MappingNode):
        yield node
        for _, field in node.value:
            yield from _nodes(field)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _nodes(item)


def _fields(node: yaml.Node, *kinds: str) -> dict[str, yaml.Node]:
    """Return what is in a node of one of these kinds."""
    tag = TAG.fullmatch(node.tag)
    if tag is None or tag[1] not in kinds:
        raise UnknownWCS(node.tag)
    return {key.value: field for key, field in node.value}


def _transform(node: yaml.Node, tree: AsdfTree) -> Transform:
    """Return the transform that a node describes."""
    fields = _fields(node, *TRANSFORMS)
    # before version 1.2 of its tag a transform does not name them
    named = [fields.pop(name, None) for name in ("inputs", "outputs")]
    stored = fields.pop("inverse", None)
    fields.pop("bounding_box", None)
    parameters = {
        name: _parameter(name, field, tree)
        for name, field in fields.items()
        if name not in IRRELEVANT
    }
    made = TRANSFORMS[TAG.fullmatch(node.tag)[1]](**parameters)
    for names, count in zip(named, (made.inputs, made.outputs), strict=True):
        if names is not None and len(names.value) != count:
            raise UnknownWCS(f"{node.tag} of {count} coordinates, but {len(names.value)} names")
    inverse = made.inverse if stored is None else _transform(stored, tree).forward
    return Transform(made.inputs, made.outputs, made.forward, inverse)


def _parameter(name: str, field: yaml.Node, tree: AsdfTree) -> object:
    if name == "forward":
        return [_transform(part, tree) for part in field.value]
    return _transform(field, tree) if name == "projection" else tree.read(field)


def _check_frame(node: yaml.Node, tree: AsdfTree) -> None:
    """Raise where a frame may be another than RA and Dec, ICRS, degrees."""
    if isinstance(node, yaml.ScalarNode):  # just a name
        return
    fields = _fields(node, "celestial_frame")
    reference = fields["reference_frame"]
    if not ICRS.fullmatch(reference.tag):
        raise UnknownWCS(f"the frame {reference.tag}")
    if "axes_order" in fields and tree.read(fields["axes_order"]) != [0, 1]:
        raise UnknownWCS("axes in another order")
    if any(unit.value != "deg" for unit in fields["unit"].value):
        raise UnknownWCS("other units than degrees")


def _bounding_box(node: yaml.Node, tree: AsdfTree) -> Box | None:
    fields = {key.value: field for key, field in node.value}
    if "bounding_box" not in fields:
        return None
    stored = fields["bounding_box"]
    if isinstance(stored, yaml.SequenceNode):
        box = tree.read(stored)[::-1]  # of the last axis first
    else:
        stored = _fields(stored, "property/bounding_box")
        if tree.read(stored["ignore"]):
            raise UnknownWCS("a bounding box of some axes")
        intervals = {key.value: tree.read(ends) for key, ends in stored["intervals"].value}
        box = [intervals.pop(name) for name in tree.read(fields["inputs"])]
    (x0, x1), (y0, y1) = (map(number, interval) for interval in box)
    return (x0, x1), (y0, y1)
