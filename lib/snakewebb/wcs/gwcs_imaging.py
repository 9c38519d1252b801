"""The gWCS of an imaging exposure, written as YAML.

It leads from pixels of the image by V2 and V3, without and with velocity aberration, to the sky;
frames and models have the names by which jwst's assign_wcs calls them.
"""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from snakewebb.wcs.aberration import Aberration, angles_of
from snakewebb.wcs.geometry import Box
from snakewebb.wcs.gwcs_nodes import TRANSFORM, chained, field, mapping, numbers
from snakewebb.wcs.gwcs_transforms import TRANSFORMS, UnknownWCS

KINDS = TRANSFORMS.keys() - {"fitswcs_imaging"}
"""Of transforms that are in ASDF's and gWCS's schemas since these have versions."""
OLD = {
    **dict.fromkeys(KINDS, "1.2.0"),
    **dict.fromkeys(("affine", "remap_axes", "rotate3d"), "1.3.0"),
    "constant": "1.4.0",
    "rotate_sequence_3d": "1.0.0",
    "property/bounding_box": "1.0.0",
    "ndarray": "1.0.0",
    **dict.fromkeys(("wcs", "step", "frame2d", "celestial_frame"), "1.0.0"),
    "spherical_cartesian": "1.0.0",
}
"""Versions of tags in files of ASDF's standard 1.5 and older (transform-1.5, gwcs-1.0)."""
NEW = {
    **dict.fromkeys(KINDS, "1.4.0"),
    **dict.fromkeys(("affine", "remap_axes", "rotate3d"), "1.5.0"),
    "constant": "1.6.0",
    "polynomial": "1.3.0",
    "rotate_sequence_3d": "1.2.0",
    "property/bounding_box": "1.2.0",
    "ndarray": "1.1.0",
    "wcs": "1.4.0",
    "step": "1.3.0",
    **dict.fromkeys(("frame2d", "celestial_frame"), "1.2.0"),
    "spherical_cartesian": "1.3.0",
}
"""The same since standard 1.6 (transform-1.7, gwcs-1.4), as jwst 3.0 writes them.

asdf reads tags of the file's own standard only, so those of a reference file change with it.
"""
PREFIXES = (TRANSFORM, "tag:stsci.edu:asdf/core/", "tag:stsci.edu:gwcs/")

WCS = """\
%YAML 1.1
%TAG ! tag:stsci.edu:asdf/
--- !<tag:stsci.edu:gwcs/wcs-{wcs}>
name: ''
steps:
- !<tag:stsci.edu:gwcs/step-{step}>
  frame: !<tag:stsci.edu:gwcs/frame2d-{frame2d}>
    axes_names: [x, y]
    axes_order: [0, 1]
    axis_physical_types: ['custom:x', 'custom:y']
    name: detector
    unit: [!unit/unit-1.0.0 pixel, !unit/unit-1.0.0 pixel]
- !<tag:stsci.edu:gwcs/step-{step}>
  frame: !<tag:stsci.edu:gwcs/frame2d-{frame2d}>
    axes_names: [v2, v3]
    axes_order: [0, 1]
    axis_physical_types: ['custom:v2', 'custom:v3']
    name: v2v3
    unit: [!unit/unit-1.0.0 arcsec, !unit/unit-1.0.0 arcsec]
- !<tag:stsci.edu:gwcs/step-{step}>
  frame: !<tag:stsci.edu:gwcs/frame2d-{frame2d}>
    axes_names: [v2, v3]
    axes_order: [0, 1]
    axis_physical_types: ['custom:v2', 'custom:v3']
    name: v2v3vacorr
    unit: [!unit/unit-1.0.0 arcsec, !unit/unit-1.0.0 arcsec]
- !<tag:stsci.edu:gwcs/step-{step}>
  frame: !<tag:stsci.edu:gwcs/celestial_frame-{celestial_frame}>
    axes_names: [lon, lat]
    axes_order: [0, 1]
    axis_physical_types: [pos.eq.ra, pos.eq.dec]
    name: world
    reference_frame: !<tag:astropy.org:astropy/coordinates/frames/icrs-1.1.0>
      frame_attributes: {{}}
    unit: [!unit/unit-1.0.0 deg, !unit/unit-1.0.0 deg]
  transform: null
"""
PARTS = """\
%YAML 1.1
%TAG ! tag:stsci.edu:asdf/
---
still: !transform/identity-{identity} {{inputs: [x0, x1], n_dims: 2, outputs: [x0, x1]}}
scale: !transform/concatenate-{concatenate}
  forward:
  - !transform/scale-{scale} {{factor: {factor}, inputs: [x], name: dva_scale_v2, outputs: [y]}}
  - !transform/scale-{scale} {{factor: {factor}, inputs: [x], name: dva_scale_v3, outputs: [y]}}
  inputs: [x0, x1]
  outputs: [y0, y1]
shift: !transform/concatenate-{concatenate}
  forward:
  - !transform/shift-{shift} {{inputs: [x], name: dva_v2_shift, offset: {dv2}, outputs: [y]}}
  - !transform/shift-{shift} {{inputs: [x], name: dva_v3_shift, offset: {dv3}, outputs: [y]}}
  inputs: [x0, x1]
  outputs: [y0, y1]
to_degrees: !transform/concatenate-{concatenate}
  forward:
  - !transform/scale-{scale} {{factor: 0.0002777777777777778, inputs: [x], outputs: [y]}}
  - !transform/scale-{scale} {{factor: 0.0002777777777777778, inputs: [x], outputs: [y]}}
  inputs: [x0, x1]
  outputs: [y0, y1]
to_vector: !<tag:stsci.edu:gwcs/spherical_cartesian-{spherical_cartesian}> {{inputs: [lon, lat],
  outputs: [x, y, z], transform_type: spherical_to_cartesian, wrap_lon_at: 180}}
turn: !transform/rotate_sequence_3d-{rotate_sequence_3d} {{angles: {angles}, axes_order: zyxyz,
  inputs: [x, y, z], outputs: [x, y, z], rotation_type: cartesian}}
to_angles: !<tag:stsci.edu:gwcs/spherical_cartesian-{spherical_cartesian}> {{inputs: [x, y, z],
  outputs: [lon, lat], transform_type: cartesian_to_spherical, wrap_lon_at: 360}}
"""


def imaging_wcs(
    distortion: yaml.Node,
    box: Box,
    shifts: list[tuple[float, float]],
    aberration: Aberration,
    wcsinfo: Mapping[str, float],
    standard: tuple[int, ...],
) -> yaml.Node:
    """Return the gWCS of an image.

    Parameters
    ----------
    distortion : yaml.Node
        The model of a DISTORTION reference file, from pixels of the full frame to V2 and V3; its
        arrays stand in it. It is changed.
    box : ((x0, x1), (y0, y1))
        The bounding box, pixels of the image.
    shifts : list of (x, y)
        Pixels, that are added before the distortion, one after the other: the corner of a
        subarray, the offset of a filter.
    aberration : Aberration
    wcsinfo : mapping
        v2_ref, v3_ref (arcsec), roll_ref, ra_ref, dec_ref (degrees).
    standard : tuple of int
        The version of the ASDF standard of the file that it is for.

    Raises
    ------
    UnknownWCS
        The model is of a kind that is not known here.
    """
    versions = OLD if standard < (1, 6) else NEW
    dv2, dv3 = aberration.shift
    text = PARTS.format(
        **versions,
        factor=numbers(aberration.scale),
        dv2=numbers(dv2),
        dv3=numbers(dv3),
        angles=numbers(angles_of(wcsinfo)),
    )
    parts = {key.value: part for key, part in yaml.compose(text, Loader=yaml.CSafeLoader).value}
    to_sky = [parts[name] for name in ("to_degrees", "to_vector", "turn", "to_angles")]
    transforms = [
        _detector_to_v2v3(distortion, box, shifts, versions),
        chained([parts["scale"], parts["shift"]], name="DVA_Correction")
        if aberration.scale != 1.0
        else parts["still"],
        chained(to_sky, name="v23tosky"),
    ]
    wcs = yaml.compose(WCS.format(**versions), Loader=yaml.CSafeLoader)
    for step, transform in zip(field(wcs, "steps").value, transforms, strict=False):
        step.value += mapping("", transform=transform).value
    return wcs


def _detector_to_v2v3(
    model: yaml.Node, box: Box, shifts: list[tuple[float, float]], versions: Mapping[str, str]
) -> yaml.MappingNode:
    """Return a model with shifts before it, a bounding box, and tags of other versions."""
    _renew(model, versions)
    names = [key.value for key, _ in model.value]
    ends = {"inputs": ["x0", "x1"], "outputs": ["y0", "y1"]}
    model.value += mapping("", **{k: v for k, v in ends.items() if k not in names}).value
    for pair in reversed(shifts):
        both = [
            mapping(
                f"{TRANSFORM}shift-{versions['shift']}",
                inputs=["x"],
                offset=float(offset),
                outputs=["y"],
            )
            for offset in pair
        ]
        move = mapping(
            f"{TRANSFORM}concatenate-{versions['concatenate']}",
            forward=yaml.SequenceNode("tag:yaml.org,2002:seq", both, flow_style=False),
            **ends,
        )
        model = chained([move, model])
    inputs = [name.value for name in field(model, "inputs").value]
    bounds = mapping(
        f"{TRANSFORM}property/bounding_box-{versions['property/bounding_box']}",
        ignore=[],
        intervals={name: list(pair) for name, pair in zip(inputs, box, strict=True)},
        order="F",
    )
    model.value += mapping("", bounding_box=bounds).value
    return model


def _renew(node: yaml.Node, versions: Mapping[str, str]) -> None:
    """Give tags other versions, and take bounding boxes off, in place."""
    for prefix in PREFIXES:
        if node.tag.startswith(prefix):
            kind = node.tag.removeprefix(prefix).rpartition("-")[0]
            if kind not in versions:
                raise UnknownWCS(node.tag)
            node.tag = f"{prefix}{kind}-{versions[kind]}"
    if isinstance(node, yaml.MappingNode):
        node.value = [pair for pair in node.value if pair[0].value != "bounding_box"]
        for _, below in node.value:
            _renew(below, versions)
    elif isinstance(node, yaml.SequenceNode):
        for below in node.value:
            _renew(below, versions)
