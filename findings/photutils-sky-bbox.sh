#!/usr/bin/env bash
# photutils 3.0.0: upper and right corners of `sky_bbox_*` are a pixel beyond the bounding box.
#
# A source of 7 × 4 pixels: columns 3 to 9, rows 5 to 8. Corners of its box on the sky, taken back to
# pixels by the same WCS.
# Expected: the pixels' edges, x 2.5 and 9.5, y 4.5 and 8.5.
# Seen: x 2.5 and 10.5, y 4.5 and 9.5. The box's ends, which are exclusive, are taken for inclusive.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile --disable-pip-version-check photutils==3.0.0 scipy==1.17.1

venv/bin/python - <<'PYTHON'
import numpy as np
from astropy.wcs import WCS
from photutils.segmentation import SegmentationImage, SourceCatalog

image = np.zeros((20, 20))
image[5:9, 3:10] = 1.0
wcs = WCS(naxis=2)
wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
wcs.wcs.crval = [10.0, 20.0]
wcs.wcs.crpix = [10.0, 10.0]
wcs.wcs.cdelt = [-1e-4, 1e-4]
catalog = SourceCatalog(image, SegmentationImage((image > 0).astype(int)), wcs=wcs)
seen = {}
for corner in ("ll", "lr", "ul", "ur"):
    x, y = wcs.world_to_pixel(getattr(catalog, f"sky_bbox_{corner}"))
    seen[corner] = round(float(np.ravel(x)[0]), 6), round(float(np.ravel(y)[0]), 6)
    print(f"sky_bbox_{corner}: x {seen[corner][0]}, y {seen[corner][1]}")
assert seen == {"ll": (2.5, 4.5), "lr": (10.5, 4.5), "ul": (2.5, 9.5), "ur": (10.5, 9.5)}
PYTHON
