#!/usr/bin/env bash
# stsci.imagestats 1.8.4: `midpt` and `mode`, which jwst's skymatch takes for sky levels, are off.
#
# Bins are counted with one width, (max - min) / (number of bins - 1), and turned back into values
# with another, binwidth × sigma.
# 1. Values that are symmetric about 0 (quantiles of a Gaussian, cut at ±3 sigma).
#    Expected: mode and midpt within some 0.01 sigma of 0.
#    Seen: -0.040 both, and another value for another cut: the size of a bin's fraction that the
#    range happens to leave, 0.1 sigma at most, always to one side.
# 2. 1000 pixels, half of them 7, half the next number in single precision: one bin.
#    Expected: midpt 7.
#    Seen: 500, a count of pixels.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile --disable-pip-version-check stsci.imagestats==1.8.4 scipy==1.17.1

venv/bin/python - <<'PYTHON'
import numpy as np
from scipy.special import ndtri
from stsci.imagestats import ImageStats

values = ndtri((np.arange(1_000_001) + 0.5) / 1_000_001).astype("f4")
found = {}
for cut in (2.7, 2.8, 2.9, 3.0):
    stats = ImageStats(values[abs(values) <= cut], fields="mode,midpt,median")
    found[cut] = stats.mode, stats.midpt
    print(f"cut {cut}: mode {stats.mode:.4f}, midpt {stats.midpt:.4f}, median {stats.median:.4f}")
seven = np.float32(7)
narrow = np.repeat([seven, np.nextafter(seven, np.float32(8))], 500)
midpt = ImageStats(narrow, fields="midpt").midpt
print("midpt of 1000 pixels of 7:", midpt)
assert np.allclose(found[3.0], -0.040, atol=0.002)
assert np.allclose(found[2.9], -0.0015, atol=0.002)
assert all(-0.1 < value < 0 for pair in found.values() for value in pair)
assert midpt == 500
PYTHON
