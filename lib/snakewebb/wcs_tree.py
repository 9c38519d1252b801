"""The gWCS of an exposure, taken from its ASDF tree as text and evaluated with NumPy.

gwcs, asdf and astropy.modeling take a second to import, which is longer than the rest of a job
that needs a few thousand positions. Here are the transforms that JWST's imaging modes are made of,
after the schemas of ASDF and gWCS (asdf-transform-schemas.readthedocs.io, gwcs.readthedocs.io);
whatever is not exactly of a known form is refused, and has to be left to gwcs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import yaml

from snakewebb.asdf_text import read_node, value
from snakewebb.geometry import PixelToSky

Function = Callable[..., tuple[np.ndarray, ...]]

TAG = re.compile(r"tag:stsci\.edu:(?:asdf/transform|gwcs)/([a-z0-9_/]+)-1\.\d+\.\d+")
IRRELEVANT = {"name", "fixed", "bounds"}
"""Of a transform: its name, and what concerns fits of its parameters."""


class UnknownWCS(ValueError):  # noqa: N818 - no error of the user: gwcs may know it
    """A gWCS is stored in a way that is not known here."""


@dataclass(frozen=True)
class Transform:
    """A function of so many coordinates that gives so many, and its inverse where it is known."""

    inputs: int
    outputs: int
    forward: Function
    inverse: Function | None


def read_tree(content: bytes) -> PixelToSky:
    """Return the gWCS ``meta.wcs`` of an ASDF file.

    Raises
    ------
    UnknownWCS
        There is none, or not all of it, its inverse included, is understood.
    """
    try:
        node = read_node(content, "meta.wcs")
        steps = [_fields(step, "step") for step in _fields(node, "wcs")["steps"].value]
        *nodes, last = [step["transform"] for step in steps]
        whole = reduce(_chain, (_transform(node, content) for node in nodes))
        box = _bounding_box(nodes[0], content)
        if (whole.inputs, whole.outputs) != (2, 2) or value(last, content) is not None:
            raise UnknownWCS("not from pixels to sky")
        if whole.inverse is None:
            raise UnknownWCS("no inverse")
    except Exception as error:  # whatever is odd is for gwcs to judge
        raise UnknownWCS(f"a gWCS stored in an unknown way: {error!r}") from error
    return PixelToSky(whole.forward, whole.inverse, box)


def _fields(node: yaml.Node, *kinds: str) -> dict[str, yaml.Node]:
    """Return what is in a node of one of these kinds."""
    tag = TAG.fullmatch(node.tag)
    if tag is None or tag[1] not in kinds:
        raise UnknownWCS(node.tag)
    return {key.value: field for key, field in node.value}


def _transform(node: yaml.Node, content: bytes) -> Transform:
    """Return the transform that a node describes."""
    fields = _fields(node, *TRANSFORMS)
    inputs, outputs = (len(fields.pop(name).value) for name in ("inputs", "outputs"))
    stored = fields.pop("inverse", None)
    fields.pop("bounding_box", None)
    parameters = {
        name: [_transform(part, content) for part in field.value]
        if name == "forward"
        else value(field, content)
        for name, field in fields.items()
        if name not in IRRELEVANT
    }
    made = TRANSFORMS[TAG.fullmatch(node.tag)[1]](inputs, **parameters)
    if (made.inputs, made.outputs) != (inputs, outputs):
        raise UnknownWCS(f"{node.tag} of {inputs} inputs and {outputs} outputs")
    inverse = made.inverse if stored is None else _transform(stored, content).forward
    return Transform(inputs, outputs, made.forward, inverse)


def _bounding_box(node, content):
    """Return the bounding box of a transform of pixels, ((x0, x1), (y0, y1)); None without."""
    fields = {key.value: field for key, field in node.value}
    if "bounding_box" not in fields:
        return None
    stored = fields["bounding_box"]
    if isinstance(stored, yaml.SequenceNode):
        box = value(stored, content)[::-1]  # of the last axis first
    else:
        stored = _fields(stored, "property/bounding_box")
        if value(stored["ignore"], content):
            raise UnknownWCS("a bounding box of some axes")
        intervals = {key.value: value(ends, content) for key, ends in stored["intervals"].value}
        box = [intervals.pop(name) for name in value(fields["inputs"], content)]
    (x0, x1), (y0, y1) = (map(_number, interval) for interval in box)
    return (x0, x1), (y0, y1)


def _number(given: Any) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise UnknownWCS(f"{given!r} for a number")
    return float(given)


# --- transforms: from the number of inputs and the parameters in the tree -------------------------


def _chain(first: Transform, second: Transform) -> Transform:
    if first.outputs != second.inputs:
        raise UnknownWCS("transforms that do not fit together")
    inverse = None
    if first.inverse and second.inverse:

        def inverse(*coordinates):
            return first.inverse(*second.inverse(*coordinates))

    def forward(*coordinates):
        return second.forward(*first.forward(*coordinates))

    return Transform(first.inputs, second.outputs, forward, inverse)


def _compose(_: int, forward: Sequence[Transform]) -> Transform:
    first, second = forward
    return _chain(first, second)


def _concatenate(_: int, forward: Sequence[Transform]) -> Transform:
    first, second = forward

    def both(one: Function, other: Function, split: int) -> Function:
        return lambda *values: (*one(*values[:split]), *other(*values[split:]))

    return Transform(
        first.inputs + second.inputs,
        first.outputs + second.outputs,
        both(first.forward, second.forward, first.inputs),
        both(first.inverse, second.inverse, first.outputs)
        if first.inverse and second.inverse
        else None,
    )


def _divide(inputs: int, forward: Sequence[Transform]) -> Transform:
    above, below = forward
    if (above.inputs, above.outputs) != (below.inputs, below.outputs):
        raise UnknownWCS("a ratio of transforms of different kind")

    def ratio(*values):
        return tuple(
            a / b for a, b in zip(above.forward(*values), below.forward(*values), strict=True)
        )

    return Transform(above.inputs, above.outputs, ratio, None)


def _remap(inputs: int, mapping: Sequence[int], n_inputs: int | None = None) -> Transform:
    n_inputs = max(mapping) + 1 if n_inputs is None else n_inputs
    if not set(mapping) <= set(range(n_inputs)):
        raise UnknownWCS(f"axes {mapping} of {n_inputs}")
    inverse = None
    if set(mapping) == set(range(n_inputs)):
        back = [mapping.index(axis) for axis in range(n_inputs)]

        def inverse(*values):
            return tuple(values[axis] for axis in back)

    return Transform(
        n_inputs, len(mapping), lambda *values: tuple(values[axis] for axis in mapping), inverse
    )


def _identity(_: int, n_dims: int = 1) -> Transform:
    return Transform(n_dims, n_dims, lambda *values: values, lambda *values: values)


def _constant(_: int, value: float, dimensions: int = 1) -> Transform:
    value = _number(value)
    return Transform(dimensions, 1, lambda x, *_: (np.full_like(x, value),), None)


def _shift(_: int, offset: float) -> Transform:
    offset = _number(offset)
    return Transform(1, 1, lambda x: (x + offset,), lambda x: (x - offset,))


def _scale(_: int, factor: float) -> Transform:
    factor = _number(factor)
    return Transform(1, 1, lambda x: (x * factor,), lambda x: (x / factor,))


def _affine(_: int, matrix: Sequence[Sequence[float]], translation: Sequence[float]) -> Transform:
    matrix = np.array(matrix, float).reshape(2, 2)
    dx, dy = np.array(translation, float).reshape(2)

    def inverse(x, y):
        return _times(np.linalg.inv(matrix), x - dx, y - dy)

    def forward(x, y):
        u, v = _times(matrix, x, y)
        return u + dx, v + dy

    return Transform(2, 2, forward, inverse)


def _polynomial(
    inputs: int,
    coefficients: Sequence[Sequence[float]],
    domain: Sequence[Sequence[float]] = ((-1, 1), (-1, 1)),
    window: Sequence[Sequence[float]] = ((-1, 1), (-1, 1)),
) -> Transform:
    # of x by rows, of y by columns; those beyond the total degree don't count
    table = np.array(coefficients, float)
    degree = len(table) - 1
    if table.shape != (degree + 1, degree + 1):
        raise UnknownWCS(f"a polynomial with {table.shape} coefficients")
    rows = [row[: degree + 1 - power] for power, row in enumerate(table)]
    axes = []
    for (low, high), (left, right) in zip(domain, window, strict=True):
        stretch = (_number(right) - _number(left)) / (_number(high) - _number(low))
        axes.append(((left * high - right * low) / (high - low), stretch))

    def forward(x, y):
        x, y = (start + stretch * v for v, (start, stretch) in zip((x, y), axes, strict=True))
        return (_horner([_horner(row, y) for row in rows], x),)

    return Transform(2, 1, forward, None)


def _horner(coefficients, x):
    total = coefficients[-1] + np.zeros_like(x)
    for coefficient in coefficients[-2::-1]:
        total = total * x + coefficient
    return total


def _spherical_cartesian(_: int, transform_type: str, wrap_lon_at: int) -> Transform:
    if wrap_lon_at not in (180, 360):
        raise UnknownWCS(f"longitudes up to {wrap_lon_at}")

    def spherical(x, y, z):
        lon, lat = _angles(x, y, z)
        return (lon if wrap_lon_at == 180 else np.mod(lon, 360.0)), lat

    if transform_type == "spherical_to_cartesian":
        return Transform(2, 3, _vector, spherical)
    if transform_type == "cartesian_to_spherical":
        return Transform(3, 2, spherical, _vector)
    raise UnknownWCS(transform_type)


def _rotate_sequence_3d(
    _: int, angles: Sequence[float], axes_order: str, rotation_type: str
) -> Transform:
    if rotation_type != "cartesian":
        raise UnknownWCS(f"a {rotation_type} rotation")
    matrix = _rotation(np.radians([_number(angle) for angle in angles]), axes_order)
    return Transform(
        3, 3, lambda *vector: _times(matrix, *vector), lambda *vector: _times(matrix.T, *vector)
    )


def _rotate3d(_: int, phi: float, theta: float, psi: float, direction: str) -> Transform:
    # Calabretta & Greisen 2002 (A&A 395, 1077), section 2.3
    lon, lat, lon_pole = (np.radians(_number(angle)) for angle in (phi, theta, psi))
    right = np.pi / 2
    to_native = _rotation((right + lon, right - lat, right - lon_pole), "zxz")

    def turn(matrix: np.ndarray) -> Function:
        def turned(a, d):
            lon, lat = _angles(*_times(matrix, *_vector(a, d)))
            return np.where(lon < 0, lon + 360.0, lon), lat

        return turned

    functions = {"celestial2native": turn(to_native), "native2celestial": turn(to_native.T)}
    forward = functions.pop(direction)
    return Transform(2, 2, forward, *functions.values())


def _gnomonic(_: int, direction: str) -> Transform:
    # Calabretta & Greisen 2002, section 5.1.3
    def to_plane(phi, theta):
        phi, theta = np.radians(phi), np.radians(theta)
        radius = np.degrees(np.cos(theta) / np.where(theta > 0, np.sin(theta), np.nan))
        return radius * np.sin(phi), -radius * np.cos(phi)

    def to_sphere(x, y):
        theta = np.arctan2(np.degrees(1.0), np.hypot(x, y))
        return np.degrees(np.arctan2(x, -y)), np.degrees(theta)

    functions = {"pix2sky": to_sphere, "sky2pix": to_plane}
    forward = functions.pop(direction)
    return Transform(2, 2, forward, *functions.values())


def _vector(lon, lat):
    """Return the unit vector in a direction, degrees."""
    lon, lat = np.radians(lon), np.radians(lat)
    return np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)


def _angles(x, y, z):
    """Return longitude, from -180 on, and latitude of a vector, degrees."""
    across = np.hypot(x, y)
    lon = np.where(across == 0, 0.0, np.degrees(np.arctan2(y, x)))
    return lon, np.degrees(np.arctan2(z, across))


def _rotation(angles: Sequence[float], axes: str) -> np.ndarray:
    """Return the matrix that turns the frame about axes, one after the other; radians."""
    whole = np.eye(3)
    for angle, axis in zip(angles, axes, strict=True):
        i, j = (("xyz".index(axis) + step) % 3 for step in (1, 2))
        matrix = np.eye(3)
        matrix[[i, j], [i, j]] = np.cos(angle)
        matrix[i, j], matrix[j, i] = np.sin(angle), -np.sin(angle)
        whole = matrix @ whole
    return whole


def _times(matrix: np.ndarray, *vector: np.ndarray) -> tuple[np.ndarray, ...]:
    # a BLAS may round differently with another number of threads
    return tuple(sum(a * v for a, v in zip(row, vector, strict=True)) for row in matrix)


TRANSFORMS: Mapping[str, Callable[..., Transform]] = {
    "affine": _affine,
    "compose": _compose,
    "concatenate": _concatenate,
    "constant": _constant,
    "divide": _divide,
    "gnomonic": _gnomonic,
    "identity": _identity,
    "polynomial": _polynomial,
    "remap_axes": _remap,
    "rotate3d": _rotate3d,
    "rotate_sequence_3d": _rotate_sequence_3d,
    "scale": _scale,
    "shift": _shift,
    "spherical_cartesian": _spherical_cartesian,
}
"""By the name of the tag; parameters are named as in the tree."""
