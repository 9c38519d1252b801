"""The transforms that gWCS of JWST's imaging modes are made of, in NumPy.

After the schemas of ASDF and gWCS (asdf-transform-schemas.readthedocs.io, gwcs.readthedocs.io).
Each function of ``TRANSFORMS`` takes the parameters that stand in the tree, which are named as
there, and returns a `Transform`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

Function = Callable[..., tuple[np.ndarray, ...]]


class UnknownWCS(ValueError):  # noqa: N818 - no error of the user: gwcs may know it
    """A gWCS is stored in a way that is not known here."""


@dataclass(frozen=True)
class Transform:
    """A function of so many coordinates that gives so many, and its inverse where it is known."""

    inputs: int
    outputs: int
    forward: Function
    inverse: Function | None


def number(given: Any) -> float:
    """Return a number of a tree as a float."""
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise UnknownWCS(f"{given!r:.40} for a number")
    return float(given)


def chain(first: Transform, second: Transform) -> Transform:
    """Return one transform after another."""
    if first.outputs != second.inputs:
        raise UnknownWCS("transforms that do not fit together")
    inverse = None
    if first.inverse and second.inverse:

        def inverse(*coordinates):
            return first.inverse(*second.inverse(*coordinates))

    def forward(*coordinates):
        return second.forward(*first.forward(*coordinates))

    return Transform(first.inputs, second.outputs, forward, inverse)


def _compose(forward: Sequence[Transform]) -> Transform:
    first, second = forward
    return chain(first, second)


def _concatenate(forward: Sequence[Transform]) -> Transform:
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


def _divide(forward: Sequence[Transform]) -> Transform:
    above, below = forward
    if (above.inputs, above.outputs) != (below.inputs, below.outputs):
        raise UnknownWCS("a ratio of transforms of different kind")

    def ratio(*values):
        return tuple(
            a / b for a, b in zip(above.forward(*values), below.forward(*values), strict=True)
        )

    return Transform(above.inputs, above.outputs, ratio, None)


def _remap(mapping: Sequence[int], n_inputs: int | None = None) -> Transform:
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


def _identity(n_dims: int = 1) -> Transform:
    return Transform(n_dims, n_dims, lambda *values: values, lambda *values: values)


def _constant(value: float, dimensions: int = 1) -> Transform:
    value = number(value)
    return Transform(dimensions, 1, lambda x, *_: (np.full_like(x, value),), None)


def _shift(offset: float) -> Transform:
    offset = number(offset)
    return Transform(1, 1, lambda x: (x + offset,), lambda x: (x - offset,))


def _scale(factor: float) -> Transform:
    factor = number(factor)
    return Transform(1, 1, lambda x: (x * factor,), lambda x: (x / factor,))


def _affine(matrix: Sequence[Sequence[float]], translation: Sequence[float]) -> Transform:
    linear = np.array(matrix, float).reshape(2, 2)
    dx, dy = np.array(translation, float).reshape(2)

    def inverse(x, y):
        return _times(np.linalg.inv(linear), x - dx, y - dy)

    def forward(x, y):
        u, v = _times(linear, x, y)
        return u + dx, v + dy

    return Transform(2, 2, forward, inverse)


def _polynomial(coefficients: Sequence[Any], domain: Any = None, window: Any = None) -> Transform:
    table = np.array(coefficients, float)
    if table.ndim not in (1, 2) or not table.size or len(set(table.shape)) > 1:
        raise UnknownWCS(f"a polynomial with {table.shape} coefficients")
    domain, window = (
        np.broadcast_to((-1.0, 1.0) if given is None else np.array(given, float), (table.ndim, 2))
        for given in (domain, window)
    )
    axes = list(zip(domain.tolist(), window.tolist(), strict=True))
    if table.ndim == 1:
        return Transform(1, 1, lambda x: (_horner(table, _mapped(x, *axes[0])),), None)
    # of x by rows, of y by columns; those beyond the total degree don't count
    rows = [row[: len(table) - power] for power, row in enumerate(table)]

    def forward(x, y):
        x, y = (_mapped(v, *axis) for v, axis in zip((x, y), axes, strict=True))
        return (_horner([_horner(row, y) for row in rows], x),)

    return Transform(2, 1, forward, None)


def _mapped(x: np.ndarray, domain: Sequence[float], window: Sequence[float]) -> np.ndarray:
    """Take a domain to a window."""
    (low, high), (left, right) = domain, window
    return (left * high - right * low) / (high - low) + (right - left) / (high - low) * x


def _horner(coefficients, x):
    total = coefficients[-1] + np.zeros_like(x)
    for coefficient in coefficients[-2::-1]:
        total = total * x + coefficient
    return total


def _spherical_cartesian(transform_type: str, wrap_lon_at: int) -> Transform:
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


def _rotate_sequence_3d(angles: Sequence[float], axes_order: str, rotation_type: str) -> Transform:
    if rotation_type != "cartesian":
        raise UnknownWCS(f"a {rotation_type} rotation")
    matrix = _rotation(np.radians([number(angle) for angle in angles]), axes_order)
    return Transform(
        3, 3, lambda *vector: _times(matrix, *vector), lambda *vector: _times(matrix.T, *vector)
    )


def _rotate3d(phi: float, theta: float, psi: float, direction: str) -> Transform:
    # Calabretta & Greisen 2002 (A&A 395, 1077), section 2.3
    lon, lat, lon_pole = (np.radians(number(angle)) for angle in (phi, theta, psi))
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


def _fitswcs_imaging(
    projection: Transform,
    crpix: Sequence[float],
    crval: Sequence[float],
    cdelt: Sequence[float],
    pc: Sequence[Sequence[float]],
) -> Transform:
    crpix, crval, cdelt = (
        np.array(pair, float).reshape(2).tolist() for pair in (crpix, crval, cdelt)
    )
    parts = (
        _concatenate([_shift(-at) for at in crpix]),
        _affine(pc, [0.0, 0.0]),
        _concatenate([_scale(step) for step in cdelt]),
        projection,
        _rotate3d(crval[0], crval[1], 180.0, "native2celestial"),
    )
    return reduce(chain, parts)


def _gnomonic(direction: str) -> Transform:
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


def _rotation(angles: Iterable[float], axes: str) -> np.ndarray:
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
    "fitswcs_imaging": _fitswcs_imaging,
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
