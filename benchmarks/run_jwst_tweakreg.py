"""Align the detections of `astrometry.py export` by jwst's tweakreg, and say how well.

    PYTHONPATH=lib $JWST_PYTHON benchmarks/run_jwst_tweakreg.py FOLDER [--pivot guide_star]

Exposures have no pixels that matter: their stars are custom catalogues. Their WCS scale velocity
aberration about each detector's reference point, as jwst has it, or about the guide star.
"""

import argparse
import json
import os
import tempfile
import warnings
from pathlib import Path

os.environ["CRDS_SERVER_URL"] = "https://crds-serverless-mode.stsci.edu"
os.environ["CRDS_PATH"] = tempfile.mkdtemp()
os.environ["CRDS_CONTEXT"] = "jwst_1100.pmap"

import numpy as np
import stpipe.crds_client
from jwst.tweakreg import TweakRegStep
from stdatamodels.jwst.datamodels import ImageModel

from snakewebb.simulate import apertures

stpipe.crds_client.get_context_used = lambda *_: os.environ["CRDS_CONTEXT"]


def model_of(entry: dict, folder: Path, pivot: tuple[float, float] | None) -> ImageModel:
    """Return an exposure with its WCS and the name of its catalogue."""
    row = apertures.imaging_aperture(entry["detector"])
    model = ImageModel((64, 64))
    model.data[:] = 1.0
    model.meta.filename = f"{entry['name']}_cal.fits"
    model.meta.exposure.type = "NRC_IMAGE"
    model.meta.instrument.name = "NIRCAM"
    model.meta.instrument.detector = entry["detector"]
    model.meta.instrument.filter = "F356W"
    model.meta.instrument.pupil = "CLEAR"
    model.meta.observation.date = "2022-08-01"
    model.meta.observation.time = "00:00:00"
    model.meta.group_id = entry["group"]
    model.meta.tweakreg_catalog = str(folder / f"{entry['name']}.ecsv")
    for key, value in entry["wcsinfo"].items():
        setattr(model.meta.wcsinfo, key, value)
    model.meta.wcs = apertures.make_wcs(
        row,
        entry["wcsinfo"],
        start=(1, 1),
        size=(2048, 2048),
        va_scale=entry["va_scale"],
        pivot=pivot,
    )
    return model


def main() -> None:
    """Run the step on all exposures, and write where it puts their middles and corners."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pivot", choices=("aperture", "guide_star"), default="aperture")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    entries = json.loads((arguments.folder / "exposures.json").read_text())
    models = [
        model_of(e, arguments.folder, e["pivot"] if arguments.pivot == "guide_star" else None)
        for e in entries
    ]
    result = TweakRegStep(use_custom_catalogs=True).process(models)
    spots = {}
    with result:
        for index, entry in enumerate(entries):
            model = result.borrow(index)
            x, y = np.array(entry["spots"]).T
            sky = model.meta.wcs(x, y, with_bounding_box=False)
            spots[entry["name"]] = np.transpose(sky).tolist()
            print(entry["name"], model.meta.cal_step.tweakreg)
            result.shelve(model, index, modify=False)
    target = arguments.folder / f"jwst_{arguments.pivot}.json"
    target.write_text(json.dumps(spots))


if __name__ == "__main__":
    main()
