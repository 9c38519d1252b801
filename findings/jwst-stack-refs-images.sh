#!/usr/bin/env bash
# jwst 3.0.0: stack_refs makes of a reference that is an image a stack of its rows.
#
# A reference of one integration may come as an image (ny, nx), a `_cal` file, in place of a cube.
# make_cube takes the first axis for integrations: of an image that is its rows.
# Expected: one integration, the image; or a message that a cube is needed.
# Seen: ny integrations without a message, each one row of the image, repeated in all rows: what klip
# then takes for images of the reference star.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile --disable-pip-version-check jwst==3.0.0

venv/bin/python -W ignore - <<'PYTHON'
import numpy as np
from jwst.coron.stack_refs import make_cube
from stdatamodels.jwst import datamodels

y, x = np.indices((6, 5))
image = (10 * y + x).astype("f4")
planes = {"data": image, "err": np.ones_like(image), "dq": np.zeros(image.shape, "u4")}

cube = make_cube([datamodels.CubeModel(**{name: plane[None] for name, plane in planes.items()})])
print("a cube of one integration:", cube.data.shape)
assert cube.data.shape == (1, 6, 5)
assert (cube.data[0] == image).all()

stack = make_cube([datamodels.ImageModel(**planes)])
print("the same as an image:", stack.data.shape, "rows of its third plane:", stack.data[2].tolist())
assert stack.data.shape == (6, 6, 5)
assert all((stack.data[k] == image[k]).all() for k in range(6))
PYTHON
