"""Coronagraphy from end to end: a small simulated observation, and AU Mic."""

import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from stdatamodels.jwst import datamodels

from snakewebb import association
from snakewebb.simulate.coronagraphy import write
from snakewebb.simulate.presets import preset
from workflow import planned, snakemake


@pytest.fixture(scope="module")
def observation(tmp_path_factory):
    """Two rolls and two reference exposures of two integrations each; the association."""
    small = preset("nircam-coron", npix=96)
    small = replace(small, dithers=small.dithers[:2], integrations=2, reference_integrations=2)
    return write(small, tmp_path_factory.mktemp("coronagraphy"))


@pytest.fixture(scope="module")
def config(observation):
    mask = observation.parent / "references" / "psfmask.fits"
    return {"associations": [str(observation)], "reference_files": {"psfmask": str(mask)}}


@pytest.fixture(scope="module")
def results(tmp_path_factory, config):
    folder = tmp_path_factory.mktemp("workflow")
    snakemake(folder, **config)
    return folder / "results"


@pytest.fixture(scope="module")
def product(observation):
    return association.read(observation)[0]


def read(path):
    """Open a product as the reference pipeline does, with all warnings errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return datamodels.open(path)


def test_products_have_their_names(results, product):
    made = {path.name for path in (results / product.name).glob("*.fits")}
    wanted = {f"{product.name}_psfstack.fits", f"{product.name}_i2d.fits"}
    for member in product.members:
        kinds = ("crfints", "psfalign", "psfsub") if member.exptype == "science" else ("crfints",)
        wanted |= {f"{member.exposure}_{product.asn_id}_{kind}.fits" for kind in kinds}
    assert made == wanted


def test_steps_say_how_they_ended(results, product):
    folder = results / product.name
    for name in product.of_type("science"):
        with read(folder / f"{name}_{product.asn_id}_psfsub.fits") as model:
            assert model.meta.cal_step.outlier_detection == "COMPLETE"
            assert model.meta.cal_step.klip == "COMPLETE"
            assert model.data.shape == (2, 96, 96)
            assert "v2v3corr" in model.meta.wcs.available_frames
            assert model.meta.snakewebb.instance["klip"]["modes"] == [4]
        with read(folder / f"{name}_{product.asn_id}_psfalign.fits") as model:
            assert model.meta.cal_step.align_psfs == "COMPLETE"
            assert model.meta.snakewebb.instance["align_refs"]["mask"] == "psfmask.fits"
            assert model.data.shape[0] == 4
            assert model.dq.any()


def test_the_star_is_in_one_place(results, product, observation):
    stars = json.loads((results / product.name / "work" / f"{product.name}_stars.json").read_text())
    truth = json.loads(next((observation.parent / "truth").glob("*.json")).read_text())
    places = []
    for name in product.of_type("science"):
        true = np.mean(truth["exposures"][name]["star"], axis=0)
        assert np.hypot(*np.subtract(stars[name]["center"], true)) < 0.3
        with read(results / product.name / f"{name}_{product.asn_id}_psfsub.fits") as model:
            places.append(model.meta.wcs(*stars[name]["center"]))
    np.testing.assert_allclose(places[0], places[1], atol=1e-8)


def test_the_mosaic_shows_the_brighter_companion(results, product, observation):
    truth = json.loads(next((observation.parent / "truth").glob("*.json")).read_text())
    companion = truth["companions"][0]
    with fits.open(results / product.name / f"{product.name}_i2d.fits") as hdus:
        image, wcs = hdus["SCI"].data, WCS(hdus["SCI"].header, fix=False)
        scale = hdus["SCI"].header["CDELT1"] * 3600
        assert hdus["CON"].data.max() == 0b1111
        assert len(hdus["HDRTAB"].data) == 2
    stars = json.loads((results / product.name / "work" / f"{product.name}_stars.json").read_text())
    first = next(iter(product.of_type("science")))
    with read(results / product.name / f"{first}_{product.asn_id}_psfsub.fits") as model:
        ra, dec = model.meta.wcs(*stars[first]["center"])
    angle = np.radians(companion["position_angle"])
    east, north = companion["separation"] / 3600 * np.array([np.sin(angle), np.cos(angle)])
    x, y = wcs.all_world2pix(ra + east / np.cos(np.radians(dec)), dec + north, 0)
    star = wcs.all_world2pix(ra, dec, 0)
    row, column = np.indices(image.shape)
    radius = np.hypot(column - star[0], row - star[1]) * scale
    near = np.hypot(column - x, row - y) < 1.5
    ring = (np.abs(radius - companion["separation"]) < 0.15) & (np.hypot(column - x, row - y) > 5)
    assert np.nanmax(image[near]) > 4 * np.nanstd(image[ring])


@pytest.mark.parametrize(
    ("steps", "rules"),
    [
        ({}, set()),
        ({"klip": {"truncate": 2}}, {"psfsub", "coron_i2d"}),
        ({"resample": {"rotation": 0.0}}, {"coron_i2d"}),
        (
            {"align_refs": {"median_box_length": 5}},
            {"find_stars", "psfalign", "psfsub", "coron_i2d"},
        ),
        ({"tweakreg": {"minobj": 3}}, set()),
    ],
)
def test_a_change_rebuilds_what_it_touches(results, config, steps, rules):
    jobs = {job[0] for job in planned(results.parent, **config, steps=steps)}
    assert {job for job in jobs if not job.startswith(("plot", "all"))} == rules


def test_au_mic(real_data, tmp_path):
    """The edge-on disc stands out on both sides of the star."""
    table = real_data / "aumic_f356w" / "coron3_asn.json"
    snakemake(tmp_path, associations=[str(table)])
    (product,) = association.read(table)
    with fits.open(tmp_path / "results" / product.name / f"{product.name}_i2d.fits") as hdus:
        image, wcs = hdus["SCI"].data, WCS(hdus["SCI"].header, fix=False)
        scale = hdus["SCI"].header["CDELT1"] * 3600
    stars = json.loads(
        (tmp_path / "results" / product.name / "work" / f"{product.name}_stars.json").read_text()
    )
    place = next(iter(stars.values()))["correction"]
    x0, y0 = wcs.all_world2pix(place["ra0"], place["dec0"], 0)
    row, column = np.indices(image.shape)
    ra, dec = wcs.all_pix2world(column, row, 0)
    east = (ra - place["ra0"]) * np.cos(np.radians(place["dec0"]))
    angle = np.degrees(np.arctan2(east, dec - place["dec0"])) % 360
    radius = np.hypot(column - x0, row - y0) * scale
    ring = (radius > 1.5) & (radius < 3.0)

    def brightness(position_angle):
        off = np.abs((angle - position_angle + 180) % 360 - 180)
        return np.nanmean(image[ring & (off < 5)])

    for side in (128, 308):
        assert brightness(side) > 5 * max(abs(brightness(side + 90)), abs(brightness(side - 60)))
