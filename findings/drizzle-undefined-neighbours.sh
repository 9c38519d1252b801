#!/usr/bin/env bash
# drizzle 2.2.0: one pixel without a position takes its eight neighbours with it (kernel `square`).
#
# An image of ones is added, with a pixmap that shifts it by whole pixels; then with one position of
# that pixmap NaN.
# Expected: the weight of that one pixel is missing, as with the kernels `point` and `turbo`.
# Seen: nine pixels are missing. Corners of pixels are interpolated between positions of the pixmap,
# NaN or not. So whoever marks what is beyond a bounding box by NaN loses the outermost good pixels.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile --disable-pip-version-check drizzle==2.2.0

venv/bin/python - <<'PYTHON'
import numpy as np
from drizzle.resample import Drizzle

y, x = np.indices((20, 20), dtype=float)
whole = np.dstack([x + 2, y + 2])
holed = whole.copy()
holed[10, 10] = np.nan


def weight(pixmap, kernel):
    drizzle = Drizzle(out_shape=(24, 24), kernel=kernel)
    ones = np.ones((20, 20), "f4")
    drizzle.add_image(ones, exptime=1.0, pixmap=pixmap, pixel_scale_ratio=1.0)
    return drizzle.out_wht.sum()


lost = {kernel: weight(whole, kernel) - weight(holed, kernel) for kernel in ("point", "turbo", "square")}
for kernel, pixels in lost.items():
    print(f"{kernel}: {pixels:g} pixels lost by one undefined position")
assert lost == {"point": 1.0, "turbo": 1.0, "square": 9.0}
PYTHON
