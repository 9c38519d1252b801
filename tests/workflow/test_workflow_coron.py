"""Coronagraphy from end to end: a small simulated observation, and AU Mic."""

import json
import shutil
import warnings
from dataclasses import replace

import asdf
import numpy as np
import pytest
import yaml
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from stdatamodels.jwst import datamodels

from snakewebb.coronagraphy.combine import combiner, integrations, reducer
from snakewebb.coronagraphy.reduction import read_target
from snakewebb.coronagraphy.star_position import read_stars
from snakewebb.simulate.coron_model import Companion
from snakewebb.simulate.coronagraphy import write
from snakewebb.simulate.presets import preset
from snakewebb.workflow import associations
from workflow import REPO, another, planned, snakemake, table

SCHEMA = yaml.safe_load((REPO / "config" / "schema.yaml").read_text())["properties"]
STEPS = SCHEMA["steps"]["properties"]


@pytest.fixture(scope="module")
def observation(tmp_path_factory):
    """Two rolls and two reference exposures of two integrations each; the association."""
    small = preset("nircam-coron", npix=96)
    small = replace(
        small,
        dithers=small.dithers[:2],
        integrations=2,
        reference_integrations=2,
        companions=(Companion(1.2, 130.0, 3e-4),),
    )
    return write(small, tmp_path_factory.mktemp("coronagraphy"))


@pytest.fixture(scope="module")
def config(observation, tmp_path_factory):
    mask = observation.parent / "references" / "psfmask.fits"
    (throughput,) = (observation.parent / "truth").glob("*throughput.fits")
    offset = tmp_path_factory.mktemp("references") / "abvegaoffset.asdf"
    rows = Table({"filter": ["F335M"], "pupil": ["CLEAR"], "abvega_offset": np.float32([1.75])})
    asdf.AsdfFile({"abvega_offset": rows}).write_to(offset)
    return {
        "associations": [str(observation)],
        "reference_files": {
            "psfmask": {"F335M/MASK335R": str(mask), "MASK335R": "none"},
            "throughput": str(throughput),
            "abvegaoffset": str(offset),
        },
        "steps": {"klip": {"truncate": [50, 2]}, "contrast": {"star_vegamag": 9.2873 - 1.75}},
    }


@pytest.fixture(scope="module")
def results(tmp_path_factory, config):
    folder = tmp_path_factory.mktemp("workflow")
    snakemake(folder, **config)
    return folder / "results"


@pytest.fixture(scope="module")
def product(observation):
    return associations.read(observation)[0]


def read(path):
    """Open a product as the reference pipeline does, with all warnings errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return datamodels.open(path)


def test_products_have_their_names(results, product):
    made = {path.name for path in (results / product.name).glob("*.fits")}
    wanted = {f"{product.name}_{kind}.fits" for kind in ("psfstack", "i2d", "k2_i2d", "snr")}
    for member in product.members:
        kinds = ["crfints"]
        if member.exptype == "science":
            kinds += ["psfalign", "psfsub", "k2_psfsub"]
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


def test_every_truncation_has_products_of_its_own(results, product):
    folder = results / product.name
    for name in product.of_type("science"):
        known = {}
        for modes in ("", "_k2"):
            with read(folder / f"{name}_{product.asn_id}{modes}_psfsub.fits") as model:
                known[modes] = model.meta.snakewebb.instance["klip"]["modes"], model.data
        assert known[""][0] == [4]
        assert known["_k2"][0] == [2]
        assert np.nanstd(known["_k2"][1]) > np.nanstd(known[""][1])
    with read(folder / f"{product.name}_k2_i2d.fits") as model:
        assert model.meta.filename == f"{product.name}_k2_i2d.fits"


def test_detections_and_contrast(results, product, observation):
    truth = json.loads(next((observation.parent / "truth").glob("*.json")).read_text())
    companion, folder = truth["companions"][0], results / product.name
    found = Table.read(folder / f"{product.name}_detections.ecsv")
    brightest = found[np.argmax(found["snr"])]
    assert brightest["separation"] == pytest.approx(companion["separation"], abs=0.03)
    assert brightest["pa"] == pytest.approx(companion["position_angle"], abs=1.5)
    assert brightest["contrast"] == pytest.approx(companion["contrast"], rel=0.15)
    assert found.meta["psf"] == "the simulator's model"
    assert found.meta["star_flux_Jy"] == pytest.approx(truth["star"]["flux"], rel=1e-3)
    curve = Table.read(folder / f"{product.name}_contrast.ecsv")
    assert curve["contrast"].unit is None
    assert curve.meta["headline_truncate"] == 50
    assert set(curve["truncate"]) == {50, 2}
    assert curve.meta["coronagraph_transmission"].endswith("throughput.fits")
    far = curve[(curve["separation"] > 1) & (curve["truncate"] == 50)]
    assert (far["contrast"] < far["before"]).all()
    with fits.open(folder / f"{product.name}_i2d.fits") as hdus:
        wcs, shape = WCS(hdus["SCI"].header, fix=False), hdus["SCI"].shape
    with fits.open(folder / f"{product.name}_snr.fits") as hdus:
        snr = hdus["SNR"].data
    assert snr.shape == shape
    x, y = wcs.all_world2pix(brightest["ra"], brightest["dec"], 0)
    assert snr[round(float(y)), round(float(x))] == pytest.approx(brightest["snr"], rel=0.15)
    with read(folder / f"{product.name}_snr.fits"):
        pass


def test_contrast_is_that_of_the_products_own_reduction(results, product, config):
    """What companions are injected into comes out as the combined image, pixel by pixel."""
    folder = results / product.name
    names = [f"{folder}/{name}_{product.asn_id}_" for name in product.of_type("science")]
    stars = read_stars(folder / "work" / f"{product.name}_stars.json")
    target = read_target(
        [f"{name}crfints.fits" for name in names],
        [f"{name}psfalign.fits" for name in names],
        stars,
    )
    _, inputs = integrations([f"{name}psfsub.fits" for name in names])
    (image,) = reducer(target.subtract, combiner(inputs))(target.cubes)
    with fits.open(folder / f"{product.name}_i2d.fits") as hdus:
        np.testing.assert_allclose(image, hdus["SCI"].data, rtol=1e-5, atol=1e-5)


def test_the_report_has_its_figures(results, product):
    made = {path.name for path in (results / product.name / "plots").iterdir()}
    kinds = ("mosaic", "contrast", "subtraction", "shifts", "eigenvalues")
    wanted = {f"{product.name}_{kind}.png" for kind in kinds}
    assert made == wanted | {
        f"{product.name}_{kind}.html" for kind in ("coron_status", "page", "picture")
    }
    page = (results / product.name / "plots" / f"{product.name}_coron_status.html").read_text()
    assert page.count('class="COMPLETE"') == 4 + 2 + 2 + 3


def test_a_deleted_picture_is_drawn_again(results, product, config):
    plots = results / product.name / "plots"
    wanted = {(rule, product.name) for rule in ("plot_coron", "plot_coron_page")} | {("all",)}
    for kind in ("subtraction.png", "shifts.png", "eigenvalues.png", "coron_status.html"):
        path = plots / f"{product.name}_{kind}"
        away = path.rename(path.with_suffix(".away"))
        try:
            assert planned(results.parent, **config) == wanted
        finally:
            away.rename(path)


@pytest.fixture
def copy(results, tmp_path_factory):
    """The finished run in another folder, at the same distance from the library."""
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(results.parent, folder, dirs_exist_ok=True)
    return folder


def test_numbers_do_not_depend_on_cores(results, product, config, copy):
    wanted = f"results/{product.name}/{product.name}_contrast.ecsv"
    before = (copy / wanted).stat().st_mtime_ns
    snakemake(copy, "--cores", "1", "--forcerun", "psfsub", "--", wanted, **config)
    assert (copy / wanted).stat().st_mtime_ns > before
    for path in (results / product.name).glob("*.*"):
        if path.suffix == ".fits":
            difference = fits.FITSDiff(
                path,
                copy / path.relative_to(results.parent),
                ignore_keywords=["DATE", "CHECKSUM", "DATASUM"],  # of what has the date, too
                ignore_fields=["DATE"],
                ignore_hdus=["ASDF"],
            )
            assert difference.identical, difference.report()
        else:
            assert path.read_text() == (copy / path.relative_to(results.parent)).read_text()


def test_adi_and_rdi_together(product, config, copy):
    name = next(iter(product.of_type("science")))
    wanted = f"results/{product.name}/{name}_{product.asn_id}_psfsub.fits"
    steps = {"klip": {"strategy": "ADI+RDI", "inner_radius": 0.3, "outer_radius": 2.0}}
    snakemake(copy, wanted, **(config | {"steps": steps}))
    with read(copy / wanted) as model:
        assert model.meta.snakewebb.instance["klip"]["references"] == [6]
        x, y = model.meta.snakewebb.instance["klip"]["star"]["center"]
        row, column = np.indices(model.shape[1:])
        radius = 0.063 * np.hypot(column - x, row - y)
        assert np.isnan(model.data[:, (radius < 0.29) | (radius > 2.03)]).all()
        assert np.isfinite(model.data[:, (radius > 0.32) & (radius < 1.98)]).mean() > 0.95


def test_the_star_may_be_left_in(product, config, copy):
    name = next(iter(product.of_type("science")))
    start = f"results/{product.name}/{name}_{product.asn_id}"
    snakemake(copy, f"{start}_psfsub.fits", **(config | {"steps": {"klip": {"skip": True}}}))
    with read(copy / f"{start}_psfsub.fits") as model, read(copy / f"{start}_crfints.fits") as own:
        assert model.meta.cal_step.klip == "SKIPPED"
        good = np.isfinite(model.data)
        assert good.mean() > 0.9
        np.testing.assert_array_equal(model.data[good], own.data[good])


def test_adi_needs_no_references(observation, product, tmp_path):
    science = [str(member.path) for member in product.of_type("science").values()]
    products = {"disc": {"science": science}}
    done = snakemake(tmp_path, products=products, check=False)
    assert "set klip.strategy to ADI" in done.stderr + done.stdout
    steps = {"klip": {"strategy": "ADI"}, "contrast": {"skip": True}}
    snakemake(tmp_path, products=products, steps=steps)
    folder = tmp_path / "results" / "disc"
    names = {path.name for path in folder.iterdir()}
    assert not any("psfalign" in name or "psfstack" in name for name in names)
    assert not any("contrast" in name for name in names)
    with read(folder / "disc_i2d.fits") as model:
        assert np.isfinite(model.data).any()
    for name in product.of_type("science"):
        with read(folder / f"{name}_a3001_psfsub.fits") as model:
            assert model.meta.snakewebb.instance["klip"]["references"] == [2]
            assert model.meta.snakewebb.instance["klip"]["parameters"]["strategy"] == "ADI"


def test_the_star_is_in_one_place(results, product, observation):
    stars = read_stars(results / product.name / "work" / f"{product.name}_stars.json")
    truth = json.loads(next((observation.parent / "truth").glob("*.json")).read_text())
    places = []
    for name in product.of_type("science"):
        true = np.mean(truth["exposures"][name]["star"], axis=0)
        assert np.hypot(*np.subtract(stars[name].center, true)) < 0.3
        with read(results / product.name / f"{name}_{product.asn_id}_psfsub.fits") as model:
            places.append(model.meta.wcs(*stars[name].center))
    np.testing.assert_allclose(places[0], places[1], atol=1e-8)


def test_the_mosaic_shows_the_brighter_companion(results, product, observation):
    truth = json.loads(next((observation.parent / "truth").glob("*.json")).read_text())
    companion = truth["companions"][0]
    with fits.open(results / product.name / f"{product.name}_i2d.fits") as hdus:
        image, wcs = hdus["SCI"].data, WCS(hdus["SCI"].header, fix=False)
        scale = hdus["SCI"].header["CDELT1"] * 3600
        assert hdus["CON"].data.max() == 0b1111
        assert len(hdus["HDRTAB"].data) == 2
    stars = read_stars(results / product.name / "work" / f"{product.name}_stars.json")
    first = next(iter(product.of_type("science")))
    with read(results / product.name / f"{first}_{product.asn_id}_psfsub.fits") as model:
        ra, dec = model.meta.wcs(*stars[first].center)
    angle = np.radians(companion["position_angle"])
    east, north = companion["separation"] / 3600 * np.array([np.sin(angle), np.cos(angle)])
    x, y = wcs.all_world2pix(ra + east / np.cos(np.radians(dec)), dec + north, 0)
    star = wcs.all_world2pix(ra, dec, 0)
    row, column = np.indices(image.shape)
    radius = np.hypot(column - star[0], row - star[1]) * scale
    near = np.hypot(column - x, row - y) < 1.5
    ring = (np.abs(radius - companion["separation"]) < 0.15) & (np.hypot(column - x, row - y) > 5)
    assert np.nanmax(image[near]) > 4 * np.nanstd(image[ring])


def changed(config, **sections):
    """Return the configuration with other values of some parameters of steps."""
    own = config["steps"]
    return config | {
        "steps": {
            step: own.get(step, {}) | sections.get(step, {}) for step in own.keys() | sections
        }
    }


def plan(folder, config):
    """Return the jobs that would run, without those of pictures."""
    jobs = planned(folder, **config)
    return {job for job in jobs if not job[0].startswith(("plot", "all"))}


@pytest.mark.parametrize(
    ("section", "keys", "rules"), table("Coronagraphy"), ids=lambda value: str(value)[:40]
)
def test_parameters(results, config, tmp_path, section, keys, rules):
    if section == "reference_files":
        given = {key: str(tmp_path / f"{key}.fits") for key in keys}
        for key, path in given.items():
            if known := config[section].get(key):
                source = next(iter(known.values())) if isinstance(known, dict) else known
                shutil.copyfile(source, path)
            else:
                fits.PrimaryHDU(np.ones((5, 5))).writeto(path)
        changes = [config | {section: config[section] | given}]
    else:
        schemas = STEPS[section]["properties"]
        values = {key: another(key, schemas[key]) for key in keys}
        # Of a star's brightness one is given, of other parameters all are changed at once.
        single = [dict.fromkeys(keys) | {key: value} for key, value in values.items()]
        parts = single if section == "contrast" and "skip" not in keys else [values]
        changes = [changed(config, **{section: part}) for part in parts]
    for change in changes:
        anew = plan(tmp_path, change)
        assert plan(results.parent, change) == {job for job in anew if job[0] in rules}


def test_every_parameter_of_coronagraphy_is_in_the_table():
    listed = [(section, key) for section, keys, _ in table("Coronagraphy") for key in keys]
    for step in ("align_refs", "klip", "contrast"):
        assert set(STEPS[step]["properties"]) == {key for section, key in listed if section == step}


@pytest.mark.parametrize(
    ("truncate", "rules", "modes"),
    [
        ([50, 2], set(), set()),
        ([50], {"contrast"}, set()),
        ([50, 2, 3], {"psfsub", "coron_i2d", "contrast"}, {"_k3"}),
        ([2], {"psfsub", "coron_i2d", "contrast"}, {""}),
    ],
)
def test_numbers_of_modes(results, config, truncate, rules, modes):
    jobs = plan(results.parent, changed(config, klip={"truncate": truncate}))
    assert {job[0] for job in jobs} == rules
    assert {job[-1] for job in jobs if job[0] == "psfsub"} == modes


def test_a_mask_may_be_named_in_two_ways(results, config):
    mask = config["reference_files"]["psfmask"]["F335M/MASK335R"]
    for named in (mask, {"MASKA335R": mask}, {"F335M": mask, "F444W": "other.fits"}):
        files = config["reference_files"] | {"psfmask": named}
        assert not planned(results.parent, **(config | {"reference_files": files}))


def test_au_mic(real_data, tmp_path):
    """The edge-on disc stands out on both sides of the star."""
    table = real_data / "aumic_f356w" / "coron3_asn.json"
    snakemake(tmp_path, associations=[str(table)])
    (product,) = associations.read(table)
    curve = Table.read(tmp_path / "results" / product.name / f"{product.name}_contrast.ecsv")
    assert "approximate" in curve.meta["psf"]
    assert curve["contrast"].unit == "MJy/sr"
    with fits.open(tmp_path / "results" / product.name / f"{product.name}_i2d.fits") as hdus:
        image, wcs = hdus["SCI"].data, WCS(hdus["SCI"].header, fix=False)
        scale = hdus["SCI"].header["CDELT1"] * 3600
    stars = read_stars(tmp_path / "results" / product.name / "work" / f"{product.name}_stars.json")
    ra0, dec0 = next(iter(stars.values())).sky
    x0, y0 = wcs.all_world2pix(ra0, dec0, 0)
    row, column = np.indices(image.shape)
    ra, dec = wcs.all_pix2world(column, row, 0)
    east = (ra - ra0) * np.cos(np.radians(dec0))
    angle = np.degrees(np.arctan2(east, dec - dec0)) % 360
    radius = np.hypot(column - x0, row - y0) * scale
    ring = (radius > 1.5) & (radius < 3.0)

    def brightness(position_angle):
        off = np.abs((angle - position_angle + 180) % 360 - 180)
        return np.nanmean(image[ring & (off < 5)])

    for side in (128, 308):
        assert brightness(side) > 5 * max(abs(brightness(side + 90)), abs(brightness(side - 60)))
