"""The correction of a pointing as a step of a gWCS, and the gWCS of a mosaic, written as YAML.

A correction stands between the frames ``v2v3vacorr`` (or ``v2v3``) and ``v2v3corr``: the sphere of
V2 and V3 is projected on the plane that touches it at the reference point, moved by an affine map,
and projected back. The plane is turned by the roll, so that it is the one that touches the sky at
RA_REF and DEC_REF. Parts have the names by which jwst and tweakwcs know them.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import yaml
from yaml.representer import SafeRepresenter

from snakewebb.wcs.geometry import Correction, Geometry
from snakewebb.wcs.gwcs_nodes import (
    TRANSFORM,
    chained,
    field,
    mapping,
    numbers,
    of_kind,
    version_of,
)
from snakewebb.wcs.sphere import ARCSEC, to_plane

if TYPE_CHECKING:
    from snakewebb.wcs.grid import Grid

NAME = "JWST tangent-plane linear correction. v1"
BEFORE = ("v2v3vacorr", "v2v3")
"""The frames that a correction may follow, the first that is there."""
SAME = 1e-9
"""Degrees, by which the reference point of a gWCS may be off that of the header."""

VERSIONS = {
    "1.2.0": "1.3.0 1.0.0 1.3.0 1.4.0 1.0.0",
    "1.3.0": "1.4.0 1.1.0 1.4.0 1.5.0 1.1.0",
    "1.4.0": "1.5.0 1.2.0 1.5.0 1.6.0 1.1.0",
}
"""Of the tags of ``VARYING``, by that of compound models; from ASDF's transform-1.5 to 1.7.

A file is read by the standard of its time, so what is added has to be of that time too.
"""
VARYING = ("remap", "rotate", "affine", "constant", "array")

PARTS = """\
%YAML 1.1
%TAG ! tag:stsci.edu:asdf/
---
to_degrees: !transform/concatenate-{version}
  forward:
  - &to_degrees !transform/scale-{version}
    {{factor: 0.0002777777777777778, inputs: [x], name: arcsec_to_deg_1D, outputs: [y]}}
  - *to_degrees
  inputs: [x0, x1]
  name: arcsec_to_deg_2D
  outputs: [y0, y1]
to_vector: !<{spherical}> {{inputs: [lon, lat], name: s2c, outputs: [x, y, z],
  transform_type: spherical_to_cartesian, wrap_lon_at: 180}}
turn: !transform/rotate_sequence_3d-{rotate} {{angles: {angles}, axes_order: zyx,
  inputs: [x, y, z], name: det_to_optic_axis, outputs: [x, y, z], rotation_type: cartesian}}
project: !transform/compose-{version}
  forward:
  - !transform/divide-{version}
    forward:
    - !transform/remap_axes-{remap}
      {{inputs: [x0, x1, x2], mapping: [0, 1, 2], name: xyz, outputs: [x0, x1, x2]}}
    - !transform/remap_axes-{remap}
      {{inputs: [x0, x1, x2], mapping: [0, 0, 0], n_inputs: 3, name: xxx, outputs: [x0, x1, x2]}}
    inputs: [x0, x1, x2]
    outputs: [x0, x1, x2]
  - !transform/remap_axes-{remap}
    {{inputs: [x0, x1, x2], mapping: [1, 2], name: xtyt, outputs: [x0, x1]}}
  inputs: [x0, x1, x2]
  name: Cartesian 3D to TAN
  outputs: [x0, x1]
move: !transform/affine-{affine}
  inputs: [x, y]
  matrix: !core/ndarray-{array} {{data: {matrix}, datatype: float64, shape: [2, 2]}}
  name: tp_affine
  outputs: [x, y]
  translation: !core/ndarray-{array} {{data: {shift}, datatype: float64, shape: [2]}}
move_back: !transform/affine-{affine}
  inputs: [x, y]
  matrix: !core/ndarray-{array} {{data: {inverse_matrix}, datatype: float64, shape: [2, 2]}}
  name: tp_affine_inv
  outputs: [x, y]
  translation: !core/ndarray-{array} {{data: {inverse_shift}, datatype: float64, shape: [2]}}
raise: !transform/compose-{version}
  forward:
  - !transform/remap_axes-{remap}
    {{inputs: [x0, x1], mapping: [0, 0, 1], name: xtyt2xyz, outputs: [x0, x1, x2]}}
  - !transform/concatenate-{version}
    forward:
    - !transform/constant-{constant}
      {{dimensions: 1, inputs: [x], name: one, outputs: [y], value: 1.0}}
    - !transform/identity-{version}
      {{inputs: [x0, x1], n_dims: 2, name: I(2D), outputs: [x0, x1]}}
    inputs: [x, x0, x1]
    outputs: [y, x0, x1]
  inputs: [x0, x1]
  name: TAN to cartesian 3D
  outputs: [y, x0, x1]
turn_back: !transform/rotate_sequence_3d-{rotate} {{angles: {back_angles}, axes_order: xyz,
  inputs: [x, y, z], name: optic_axis_to_det, outputs: [x, y, z], rotation_type: cartesian}}
to_angles: !<{spherical}> {{inputs: [x, y, z], name: c2s, outputs: [lon, lat],
  transform_type: cartesian_to_spherical, wrap_lon_at: 180}}
to_arcsec: !transform/concatenate-{version}
  forward:
  - &to_arcsec !transform/scale-{version}
    {{factor: 3600.0, inputs: [x], name: deg_to_arcsec_1D, outputs: [y]}}
  - *to_arcsec
  inputs: [x0, x1]
  name: deg_to_arcsec_2D
  outputs: [y0, y1]
"""
THERE = ("to_degrees", "to_vector", "turn", "project")
BACK = ("raise", "turn_back", "to_angles", "to_arcsec")


GRID = """\
%YAML 1.1
%TAG ! tag:stsci.edu:asdf/
--- !<tag:stsci.edu:gwcs/wcs-1.4.0>
name: ''
pixel_shape: [{nx}, {ny}]
steps:
- !<tag:stsci.edu:gwcs/step-1.3.0>
  frame: !<tag:stsci.edu:gwcs/frame2d-1.2.0>
    axes_names: [x, y]
    axes_order: [0, 1]
    axis_physical_types: ['custom:x', 'custom:y']
    name: detector
    unit: [!unit/unit-1.0.0 pixel, !unit/unit-1.0.0 pixel]
  transform: !<tag:stsci.edu:gwcs/fitswcs_imaging-1.0.0>
    bounding_box: !transform/property/bounding_box-1.2.0
      ignore: []
      intervals: {{x: {x}, y: {y}}}
      order: F
    cdelt: !core/ndarray-1.1.0 {{data: {cdelt}, datatype: float64, shape: [2]}}
    crpix: !core/ndarray-1.1.0 {{data: {crpix}, datatype: float64, shape: [2]}}
    crval: !core/ndarray-1.1.0 {{data: {crval}, datatype: float64, shape: [2]}}
    inputs: [x, y]
    outputs: [lon, lat]
    pc: !core/ndarray-1.1.0 {{data: {pc}, datatype: float64, shape: [2, 2]}}
    projection: !transform/gnomonic-1.4.0
      direction: pix2sky
      inputs: [x, y]
      outputs: [phi, theta]
- !<tag:stsci.edu:gwcs/step-1.3.0>
  frame: !<tag:stsci.edu:gwcs/celestial_frame-1.2.0>
    axes_names: [lon, lat]
    axes_order: [0, 1]
    axis_physical_types: [pos.eq.ra, pos.eq.dec]
    name: world
    reference_frame: !<tag:astropy.org:astropy/coordinates/frames/icrs-1.1.0>
      frame_attributes: {{}}
    unit: [!unit/unit-1.0.0 deg, !unit/unit-1.0.0 deg]
  transform: null
"""


def grid_wcs(grid: Grid) -> yaml.Node:
    """Return the gWCS of a mosaic's grid: pixels to ICRS, with inverse and bounding box."""
    ny, nx = grid.shape
    text = GRID.format(
        nx=nx,
        ny=ny,
        x=numbers([-0.5, nx - 0.5]),
        y=numbers([-0.5, ny - 0.5]),
        cdelt=numbers([grid.cdelt, grid.cdelt]),
        crpix=numbers(grid.crpix),
        crval=numbers(grid.crval),
        pc=numbers(grid.pc),
    )
    return yaml.compose(text, Loader=yaml.CSafeLoader)


def is_correctable(steps: yaml.Node | None, geometry: Geometry) -> bool:
    """Return whether `corrected_steps` knows how to correct a gWCS.

    It has no correction yet, and goes from V2 and V3 to the sky by the exposure's reference point.
    """
    try:
        step = _last_steps(steps)[0]
        (turn,) = of_kind(field(step, "transform"), "rotate_sequence_3d")
        angles = [float(angle.value) for angle in field(turn, "angles").value]
        names = field(field(step, "transform"), "name").value, field(turn, "axes_order").value
        version = version_of(next(of_kind(step, "compose")))
    except (AttributeError, IndexError, KeyError, StopIteration, TypeError, ValueError):
        return False
    expected = [*_angles(geometry), geometry.dec_ref, -geometry.ra_ref]
    same = len(angles) == 5 and all(
        abs((a - b + 180) % 360 - 180) < SAME for a, b in zip(angles, expected, strict=True)
    )
    return same and names == ("v23tosky", "zyxyz") and version in VERSIONS


def corrected_steps(
    steps: yaml.Node, geometry: Geometry, correction: Correction
) -> yaml.SequenceNode:
    """Return the steps of a gWCS with a correction of its pointing.

    Parameters
    ----------
    steps : yaml.Node
        For which `is_correctable` is true; it is changed.
    geometry : Geometry
        The exposure's, uncorrected.
    correction : Correction
        From `snakewebb.astrometry.tweakreg`.
    """
    step, _ = _last_steps(steps)
    spherical = next(of_kind(step, "spherical_cartesian")).tag
    version = version_of(next(of_kind(step, "compose")))
    matrix, shift = in_reference_plane(correction, geometry)
    inverse = np.linalg.inv(matrix)
    angles = _angles(geometry)
    text = PARTS.format(
        version=version,
        spherical=spherical,
        **dict(zip(VARYING, VERSIONS[version].split(), strict=True)),
        angles=numbers(angles),
        back_angles=numbers([-angle for angle in angles[::-1]]),
        matrix=numbers(matrix),
        shift=numbers(shift / ARCSEC),
        inverse_matrix=numbers(inverse),
        inverse_shift=numbers(-inverse @ shift / ARCSEC),
    )
    parts = {key.value: part for key, part in yaml.compose(text, Loader=yaml.CSafeLoader).value}
    back = chained([parts[name] for name in (*THERE, "move_back", *BACK)], name=f"Inverse {NAME}")
    there = chained([parts[name] for name in (*THERE, "move", *BACK)], inverse=back, name=NAME)
    frame = _renamed(field(step, "frame"), "v2v3corr")
    added = mapping(step.tag, frame=frame, transform=field(step, "transform"))
    step.value = [pair if pair[0].value != "transform" else (pair[0], there) for pair in step.value]
    steps.value.insert(len(steps.value) - 1, added)
    return steps


def aberration_offsets(steps: yaml.Node) -> list[yaml.ScalarNode]:
    """Return what follows the scaling of velocity aberration: offsets in V2 and V3, arcsec.

    Raises
    ------
    ValueError
        The gWCS has none, or some of another form.
    """
    try:
        named = {
            field(node, "name").value: field(node, "offset")
            for node in of_kind(steps, "shift")
            if any(key.value == "name" for key, _ in node.value)
        }
        return [named["dva_v2_shift"], named["dva_v3_shift"]]
    except (AttributeError, KeyError, StopIteration) as error:
        raise ValueError("a gWCS of another form") from error


def moved_steps(steps: yaml.Node, shift: tuple[float, float]) -> yaml.Node:
    """Return the steps of a gWCS with velocity aberration scaled about another point.

    Parameters
    ----------
    steps : yaml.Node
        As for `aberration_offsets`; it is changed.
    shift : (v2, v3)
        Arcsec, to be added; see `snakewebb.wcs.aberration.pivot_shift`.
    """
    for offset, more in zip(aberration_offsets(steps), shift, strict=True):
        offset.value = numbers(float(offset.value) + more)
    return steps


def cut_steps(
    steps: yaml.Node, corner: tuple[int, int], shape: tuple[int, int]
) -> yaml.SequenceNode:
    """Return the steps of a gWCS for an image that was cut out of its frame.

    Parameters
    ----------
    steps : yaml.Node
        As assign_wcs makes them, with a bounding box; it is changed.
    corner : (x, y)
        The pixel of the frame, from 0, that is the image's first.
    shape : (ny, nx)
        Of the image.

    Raises
    ------
    ValueError
        The gWCS does not begin with a compound that has a shift in it.
    """
    step = steps.value[0]
    try:
        whole = field(step, "transform")
        version, shift = version_of(whole), next(of_kind(whole, "shift")).tag
        if whole.tag != f"{TRANSFORM}compose-{version}":
            raise ValueError(whole.tag)
        inputs, box = field(whole, "inputs"), field(whole, "bounding_box")
    except (AttributeError, StopIteration) as error:
        raise ValueError("a gWCS of another form") from error
    moves = [mapping(shift, inputs=["x"], offset=float(offset), outputs=["y"]) for offset in corner]
    both = mapping(
        f"{TRANSFORM}concatenate-{version}",
        forward=yaml.SequenceNode("tag:yaml.org,2002:seq", moves, flow_style=False),
        inputs=copy.deepcopy(inputs),
        outputs=["y0", "y1"],
    )
    names = [name.value for name in inputs.value]
    ends = {}
    for name, first, size in zip(names, corner, shape[::-1], strict=True):
        low, high = _interval(box, names, name)
        ends[name] = [max(low - first, -0.5), min(high - first, size - 0.5)]
    if isinstance(box, yaml.SequenceNode):
        box = SafeRepresenter().represent_data(list(ends.values())[::-1])
    else:
        box = mapping(box.tag, ignore=[], intervals=ends, order="F")
    whole.value = [pair for pair in whole.value if pair[0].value != "bounding_box"]
    cut = chained([both, whole], bounding_box=box)
    step.value = [pair if pair[0].value != "transform" else (pair[0], cut) for pair in step.value]
    return steps


def _interval(box: yaml.Node, names: list[str], name: str) -> tuple[float, float]:
    """Return a bounding box along one input; as a list it has the last axis first."""
    if isinstance(box, yaml.SequenceNode):
        ends = box.value[::-1][names.index(name)]
    else:
        ends = field(field(box, "intervals"), name)
    low, high = (float(end.value) for end in ends.value)
    return low, high


def in_reference_plane(correction: Correction, geometry: Geometry) -> tuple[np.ndarray, np.ndarray]:
    """Return a correction as an affine map (matrix, shift in arcsec) where gWCS hold one.

    That is the plane that touches the sky at the reference point. From one plane to another the
    map is not quite affine; it is fitted to points all over the detector.
    """
    ra, dec = (c[:: len(c) // 4, :: c.shape[1] // 4] for c in (geometry.ra, geometry.dec))
    before, after = (
        np.column_stack([c.ravel() for c in to_plane(*sky, geometry.ra_ref, geometry.dec_ref)])
        for sky in ((ra, dec), correction.apply(ra, dec))
    )
    design = np.column_stack((before, np.ones(len(before))))
    solution, *_ = np.linalg.lstsq(design, after)
    return solution[:2].T, solution[2]


def _angles(geometry: Geometry) -> list[float]:
    return [geometry.v2_ref / 3600.0, -geometry.v3_ref / 3600.0, geometry.roll_ref]


def _last_steps(steps):
    """Return the step that ends at the sky and the sky; raise if a correction is there already."""
    names = [field(field(step, "frame"), "name").value for step in steps.value]
    start = next(names.index(name) for name in BEFORE if name in names)
    step, sky = steps.value[start:]
    return step, sky


def _renamed(frame: yaml.MappingNode, name: str) -> yaml.MappingNode:
    """Return a copy of a frame with another name."""
    frame = copy.deepcopy(frame)
    field(frame, "name").value = name
    return frame
