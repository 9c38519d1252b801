"""A single exposure is an association of one."""

import json
from dataclasses import replace

import numpy as np
import pytest
from stdatamodels.jwst import datamodels

from chain import image3
from snakewebb.simulate import observation as simulate
from snakewebb.simulate.presets import preset
from snakewebb.wcs.geometry import Correction
from snakewebb.wcs.sphere import to_plane

FIELD = replace(preset("nircam-f356w", npix=200), stars=120, galaxies=0, cosmic_ray_rate=0.0)
ALONE = "there is one exposure only"


@pytest.fixture(scope="module")
def exposure(tmp_path_factory):
    """An exposure 130 mas off, and its folder."""
    folder = tmp_path_factory.mktemp("single")
    simulate.write(replace(FIELD, dithers=FIELD.dithers[:1], pointing_error=130.0), folder)
    (path,) = folder.glob("*_cal.fits")
    return path


def crf(source, folder, refcat):
    """Make the ``_crf`` of one exposure; return its path."""
    options = {"abs_refcat": str(refcat or ""), "abs_minobj": 8}
    image3(folder, [source], refcat=refcat, tweakreg=options)
    return folder / source.name.replace("_cal", "_o001_crf")


def error(model, truth):
    """Return how far off a model's sky is from the truth, mas, at four places."""
    x, y = np.array([20.0, 180.0, 20.0, 180.0]), np.array([20.0, 20.0, 180.0, 180.0])
    with datamodels.open(truth[0]) as before:
        ra, dec = truth[1].apply(*before.meta.wcs(x, y))
    apart = np.subtract(
        to_plane(*model.meta.wcs(x, y), ra[0], dec[0]), to_plane(ra, dec, ra[0], dec[0])
    )
    return 1000 * np.hypot(*apart).max()


def test_it_is_aligned_to_the_sky(exposure, tmp_path):
    folder = exposure.parent / "truth"
    truth = json.loads((folder / exposure.name.replace("_cal.fits", ".json")).read_text())
    pointing = exposure, Correction.from_dict(truth["pointing"])
    (catalog,) = folder.glob("*_sources.ecsv")
    with datamodels.open(crf(exposure, tmp_path, catalog)) as model:
        step = model.meta.cal_step
        assert (step.tweakreg, step.skymatch, step.outlier_detection) == (
            "COMPLETE", "SKIPPED", "SKIPPED",
        )  # fmt: skip
        notes = model.meta.instance["snakewebb"]
        assert notes["tweakreg"]["reason"] == ALONE
        assert notes["tweakreg"]["absolute"] == "COMPLETE"
        assert notes["skymatch"]["reason"] == notes["outlier_detection"]["reason"] == ALONE
        assert error(model, pointing) < 5.0
    with datamodels.open(exposure) as model:
        assert error(model, pointing) > 50.0


def test_without_a_catalogue_it_keeps_its_pointing(exposure, tmp_path):
    with datamodels.open(crf(exposure, tmp_path, None)) as model, datamodels.open(exposure) as raw:
        assert model.meta.cal_step.tweakreg == "SKIPPED"
        assert model.meta.instance["snakewebb"]["tweakreg"]["reason"] == ALONE
        np.testing.assert_array_equal(model.meta.wcs(3.0, 90.0), raw.meta.wcs(3.0, 90.0))
        np.testing.assert_array_equal(model.data, raw.data)
