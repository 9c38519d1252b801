#!/usr/bin/env bash
# tweakwcs 0.9.3: the first offset of two catalogues, from the histogram of all pairs, is in whole bins.
#
# Two catalogues of the same 200 stars, one shifted by 0.5 along both axes; XYXYMatch with
# use2dhist=True, searchrad 3, tolerance 0.4. The peak of the histogram is fitted, so that the offset
# should be good to a fraction of its bins of 1.
# Expected: about as many matches as when the offset is given (use2dhist=False).
# Seen: none, for 0.3 to 0.5 as for 1.3 to 1.5: the offset found is 0, 1 or 2, and what is left exceeds
# the tolerance. A tolerance of less than 0.7 of a bin needs luck.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile --disable-pip-version-check tweakwcs==0.9.3

venv/bin/python -W ignore - <<'PYTHON'
import numpy as np
from astropy.table import Table
from tweakwcs.matchutils import XYXYMatch

x, y = np.random.default_rng(0).uniform(0, 120, (2, 200))
reference = Table({"TPx": x, "TPy": y})


def matches(offset, **how):
    image = Table({"TPx": x - offset, "TPy": y - offset})
    match = XYXYMatch(searchrad=3.0, separation=0.7, tolerance=0.4, **how)
    return len(match(reference, image)[0])


found = {}
for offset in (0.0, 0.3, 0.5, 1.0, 1.3, 1.5, 2.0):
    found[offset] = matches(offset)
    given = matches(offset, use2dhist=False, xoffset=-offset, yoffset=-offset)
    print(f"offset {offset}: {found[offset]} matches, {given} with the offset given")
    assert given > 190
assert all(found[offset] > 190 for offset in (0.0, 1.0, 2.0))
assert all(found[offset] == 0 for offset in (0.3, 0.5, 1.3, 1.5))
PYTHON
