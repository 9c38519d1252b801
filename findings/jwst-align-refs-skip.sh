#!/usr/bin/env bash
# jwst 3.0.0: with `align_refs.skip` in calwebb_coron3 the target is subtracted from itself.
#
# A skipped step returns the first of its arguments. align_refs is called with the target and the
# stack of references, and its result is what klip takes for the references.
# Expected: without the alignment, klip subtracts the references as they are; what the references do
# not have, here a companion of 50, stays.
# Seen: align_refs gives back the target; klip subtracts the target's own modes, and of the companion
# nothing is left (1e-11).
# The two steps are called as Coron3Pipeline.process calls them. CRDS is not asked: its only question
# here would be for the name of the current context.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile --disable-pip-version-check jwst==3.0.0

export CRDS_SERVER_URL=https://crds-serverless-mode.stsci.edu CRDS_PATH="$folder" CRDS_CONTEXT=jwst_1100.pmap
venv/bin/python -W ignore - <<'PYTHON'
import logging
import os

import numpy as np
import stpipe.crds_client
from jwst.pipeline import Coron3Pipeline
from stdatamodels.jwst import datamodels

stpipe.crds_client.get_context_used = lambda *_: os.environ["CRDS_CONTEXT"]
logging.disable(logging.WARNING)


def cube(seed, companion):
    y, x = np.indices((40, 40)) - 19.5
    star = 1000 * np.exp(-(x**2 + y**2) / 50)
    noise = np.random.default_rng(seed).standard_normal((3, 40, 40))
    data = star + noise
    data[:, 30, 30] += companion
    return datamodels.CubeModel(data=data.astype("f4"), err=np.ones((3, 40, 40), "f4"))


def left(skip):
    target, references = cube(1, 50.0), cube(2, 0.0)
    pipeline = Coron3Pipeline()
    pipeline.klip.truncate = 3
    aligned = references
    if skip:
        pipeline.align_refs.skip = True
        aligned = pipeline.align_refs.run(target, references)
        print("align_refs returns the target:", aligned is target)
        assert aligned is target
    result = pipeline.klip.run(target, aligned)
    return float(result.data[0, 30, 30])


companion = left(skip=False)
print(f"references as they are: companion {companion:.1f}")
assert 40 < companion < 60
companion = left(skip=True)
print(f"align_refs.skip: companion {companion:.1e}")
assert abs(companion) < 1e-3
PYTHON
