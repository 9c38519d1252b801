#!/usr/bin/env bash
# stcal 1.20.0: skymatch lowers the sky of one island of images by what belongs to another.
#
# Two pairs of overlapping images, 40 degrees apart: skies of 5 and 15, and of 5 and 6. With
# match_down=True, each pair is to be brought to its lower image, which keeps its level.
# Expected: sky to subtract 0 and 10, and 0 and 1.
# Seen: 0 and 10, and 4.5 and 5.5. The levels of all images are made relative to the lowest solution of
# all, though nothing connects the islands: the second one loses nearly all of its sky, because the
# images of the first differ much.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile --disable-pip-version-check stcal==1.20.0

venv/bin/python -W ignore - <<'PYTHON'
import numpy as np
from astropy.wcs import WCS
from stcal.skymatch import SkyImage, SkyStats, skymatch


def image(name, ra, level):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [ra, 0.0]
    wcs.wcs.crpix = [50.5, 50.5]
    wcs.wcs.cdelt = [-1e-3, 1e-3]
    return SkyImage(
        np.full((100, 100), level, "f4"),
        np.ones((100, 100), bool),
        wcs_fwd=lambda x, y, with_bounding_box=None: wcs.all_pix2world(x, y, 0),
        wcs_inv=lambda ra, dec, with_bounding_box=None: wcs.all_world2pix(ra, dec, 0),
        skystat=SkyStats("mean"),
        sky_id=name,
    )


images = [image("A1", 10.0, 5), image("A2", 10.03, 15), image("B1", 50.0, 5), image("B2", 50.03, 6)]
skymatch(images, skymethod="match", match_down=True)
for each in images:
    print(f"{each.sky_id}: level {each.image.mean():g}, sky {each.sky:.3f}")
assert np.allclose([each.sky for each in images], [0.0, 10.0, 4.5, 5.5], atol=1e-4)
PYTHON
