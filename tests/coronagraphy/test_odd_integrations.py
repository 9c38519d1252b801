"""Coronagraphy, script by script, of exposures that are not as they should be."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from numpy.testing import assert_allclose, assert_array_equal
from stdatamodels.jwst.datamodels import CubeModel

from scripts import options, run
from snakewebb.coronagraphy.star import reference_pixel
from snakewebb.coronagraphy.star_position import read_stars
from snakewebb.errors import InputError
from snakewebb.io.dq import DO_NOT_USE
from snakewebb.io.planes import read_planes
from snakewebb.io.provenance import read_notes
from snakewebb.jobs import contrast as contrast_job
from snakewebb.jobs.crfints import flag_integrations
from snakewebb.jobs.find_stars import locate_stars, stars_of_product
from snakewebb.jobs.psfsub import subtract_star
from snakewebb.simulate.coronagraphy import write
from snakewebb.simulate.presets import preset
from snakewebb.wcs.cutout import cut_corner
from snakewebb.wcs.sampling import read_sky

pytestmark = pytest.mark.usefixtures("own_logging")

CUBES = ("SCI", "ERR", "DQ", "VAR_POISSON", "VAR_RNOISE", "VAR_FLAT")
VARIANCES = CUBES[3:]


@pytest.fixture(scope="module")
def observation(tmp_path_factory):
    """Two rolls of three integrations, three reference exposures of two; paths by exptype."""
    folder = tmp_path_factory.mktemp("observation")
    small = preset("nircam-coron", npix=64)
    small = replace(
        small,
        dithers=small.dithers[:3],
        integrations=3,
        reference_integrations=2,
        companions=(),
    )
    members = json.loads(write(small, folder).read_text())["products"][0]["members"]
    return {
        exptype: [folder / m["expname"] for m in members if m["exptype"] == exptype]
        for exptype in ("science", "psf")
    }


def edited(folder, paths, edits):
    """Copy exposures, some of them edited, by number; images are called ``_cal``."""
    folder.mkdir()
    made = []
    for number, path in enumerate(paths):
        with fits.open(path) as hdus:
            copy = fits.HDUList([hdu.copy() for hdu in hdus])
        for edit in edits.get(number, ()):
            edit(copy)
        name = path.name if copy["SCI"].data.ndim == 3 else path.name.replace("calints", "cal")
        copy.writeto(folder / name)
        made.append(folder / name)
    return made


def bad(*numbers):
    """Flag integrations as not to be used."""

    def edit(hdus):
        hdus["DQ"].data[[k - 1 for k in numbers]] |= DO_NOT_USE

    return edit


def without_integration(number):
    def edit(hdus):
        for name in CUBES:
            hdus[name].data = np.delete(hdus[name].data, number - 1, axis=0)

    return edit


def first_alone(hdus):
    """Leave the first integration, as an image."""
    for name in CUBES:
        hdus[name].data = hdus[name].data[0]
    hdus[0].header["DATAMODL"] = "ImageModel"


def without(*names):
    def edit(hdus):
        for name in names:
            del hdus[name]

    return edit


def cropped_variances(hdus):
    for name in VARIANCES:
        hdus[name].data = hdus[name].data[:1, 5:-5, 3:-9]


def product_name(path):
    return path.name.rpartition("_")[0]


def coron3(folder, science, psf, **klip):
    """Run the rules up to the mosaic; return files and folders."""
    folder.mkdir()
    log = folder / "log"
    repair = options("align_refs", "repair")
    flagged = {}
    for group in (science, psf):
        for path in group:
            flagged[path] = str(folder / f"{product_name(path)}_c1001_crfints.fits")
            others = [str(other) for other in group if other != path]
            inputs = {"exposure": str(path), "others": others}
            step = options("outlier_detection", "crfints")
            run("crfints", inputs, flagged[path], log=log, step=step)
    stack, stars = str(folder / "p_psfstack.fits"), str(folder / "stars.json")
    run("psfstack", {"exposures": [flagged[path] for path in psf]}, stack, log=log)
    targets = [flagged[path] for path in science]
    run("find_stars", {"exposures": targets}, stars, log=log, step=repair)
    aligned, subtracted = [], []
    for path in science:
        name = product_name(path)
        aligned.append(str(folder / f"{name}_c1001_psfalign.fits"))
        run(
            "psfalign",
            {"exposure": flagged[path], "stack": stack, "stars": stars},
            aligned[-1],
            log=log,
            repair=repair,
            step=options("align_refs", "psfalign"),
        )
    for path, references in zip(science, aligned, strict=True):
        subtracted.append(str(folder / f"{product_name(path)}_c1001_psfsub.fits"))
        run(
            "psfsub",
            {
                "exposure": flagged[path],
                "others": [each for each in targets if each != flagged[path]],
                "references": [references],
                "stars": stars,
            },
            subtracted[-1],
            log=log,
            repair=repair,
            step={**options("klip", "psfsub", **klip), "truncate": 4},
        )
    mosaic = str(folder / "p_i2d.fits")
    run(
        "coron_i2d",
        {"exposures": subtracted},
        mosaic,
        log=log,
        drizzle=options("resample", "drizzle"),
        grid=options("resample", "grid"),
        step=options("resample", "i2d"),
        max_megapixels=None,
    )
    return {
        "flagged": flagged,
        "targets": targets,
        "stack": stack,
        "stars": stars,
        "aligned": aligned,
        "subtracted": subtracted,
        "mosaic": mosaic,
    }


def by_exposure(folder, observation, science, psf):
    return (
        edited(folder / "science", observation["science"], science),
        edited(folder / "psf", observation["psf"], psf),
    )


@pytest.fixture(scope="module")
def spoiled(observation, tmp_path_factory):
    """A product of exposures of which parts are bad."""
    folder = tmp_path_factory.mktemp("spoiled")
    inputs = by_exposure(folder, observation, {0: [bad(2)]}, {0: [bad(1, 2)], 1: [bad(2)]})
    return coron3(folder / "product", *inputs)


@pytest.fixture(scope="module")
def without_them(observation, tmp_path_factory):
    """The product without these parts."""
    folder = tmp_path_factory.mktemp("clean")
    science, psf = by_exposure(
        folder, observation, {0: [without_integration(2)]}, {1: [without_integration(2)]}
    )
    return coron3(folder / "product", science, psf[1:])


def test_what_has_no_good_pixel_is_as_if_it_was_not_there(spoiled, without_them):
    made, expected = (fits.open(each["mosaic"]) for each in (spoiled, without_them))
    with made, expected:
        for name in ("SCI", "ERR", "WHT", "VAR_POISSON", "VAR_FLAT"):
            assert_allclose(made[name].data, expected[name].data, rtol=1e-5, atol=1e-6)
    assert read_stars(spoiled["stars"]) == read_stars(without_them["stars"])


def test_left_out_integrations_are_named(spoiled):
    flagged = list(spoiled["flagged"].values())
    assert read_notes(flagged[0])["outlier_detection"]["without_pixels"] == [2]
    assert read_notes(spoiled["subtracted"][0])["klip"]["without_pixels"] == [2]
    assert "without_pixels" not in read_notes(spoiled["subtracted"][1])["klip"]
    names = [Path(path).name for path in flagged[2:]]
    assert read_notes(spoiled["stack"])["stack_psfs"]["left_out"] == [
        f"{names[0]}: integration 1",
        f"{names[0]}: integration 2",
        f"{names[1]}: integration 2",
    ]
    assert read_notes(spoiled["aligned"][0])["align_refs"]["exposures"] == [
        names[1],
        *np.repeat(names[2:], 2),
    ]


def test_products_keep_their_integrations(spoiled):
    for path in (spoiled["targets"][0], spoiled["subtracted"][0]):
        with CubeModel(path) as model:
            assert model.data.shape == (3, 64, 64)
            assert np.isnan(model.data[1]).all()
            assert (model.dq[1] & DO_NOT_USE).all()
            assert np.isfinite(model.data[[0, 2]]).mean() > 0.9
    with CubeModel(spoiled["stack"]) as model:
        assert model.data.shape == (3, 64, 64)


def test_contrast_combines_what_the_mosaic_does(spoiled, tmp_path, monkeypatch):
    def measured(reduce, combine, scene, **options):
        assert [len(cube) for cube in scene.cubes] == [2, 3]
        assert len(scene.frames) == 2
        (image,) = reduce(scene.cubes)
        with fits.open(spoiled["mosaic"]) as hdus:
            assert_allclose(image, hdus["SCI"].data, rtol=1e-5, atol=1e-5)
        raise InputError("enough")

    monkeypatch.setattr(contrast_job, "measure_contrast", measured)
    files = contrast_job.ProductFiles(
        spoiled["targets"],
        spoiled["aligned"],
        spoiled["subtracted"],
        spoiled["mosaic"],
        spoiled["stars"],
    )
    options = contrast_job.ContrastOptions({"strategy": "RDI", "truncate": [4]})
    out = contrast_job.ContrastFiles(*(tmp_path / name for name in ("c.ecsv", "d.ecsv", "s.fits")))
    with pytest.raises(InputError, match="enough"):
        contrast_job.measure_product(files, out, options)


def test_an_exposure_without_a_good_pixel_leaves_the_other(observation, tmp_path):
    number = 0
    inputs = by_exposure(tmp_path, observation, {number: [bad(1, 2, 3)]}, {})
    made = coron3(tmp_path / "product", *inputs)
    stars = read_stars(made["stars"])
    names = [product_name(path) for path in inputs[0]]
    assert list(stars) == names
    assert np.isnan(stars[names[number]].error).all()
    for path, step in ((made["aligned"], "align_refs"), (made["subtracted"], "klip")):
        assert "has a good pixel" in read_notes(path[number])[step]["reason"]
        assert not read_notes(path[1 - number])[step].get("reason")
    with CubeModel(made["subtracted"][number]) as model:
        assert model.meta.cal_step.klip == "SKIPPED"
        assert np.isnan(model.data).all()
    with fits.open(made["mosaic"]) as hdus:
        assert np.isfinite(hdus["SCI"].data).mean() > 0.5
        assert not (hdus["CON"].data & (0b111 << 3)).any()


def test_no_good_pixel_at_all(observation, tmp_path):
    science = edited(tmp_path / "science", observation["science"][:1], {0: [bad(1, 2, 3)]})
    with pytest.raises(InputError, match="no exposure has a good pixel"):
        locate_stars(science)


def test_images_are_cubes_of_one_integration(observation, tmp_path):
    """References given as ``_cal``, one of them without DQ."""
    edits = {k: [first_alone] for k in range(3)}
    edits[1].append(without("DQ"))
    inputs = by_exposure(tmp_path, observation, {}, edits)
    made = coron3(tmp_path / "product", *inputs)
    expected = np.array([fits.getdata(path, "SCI") for path in inputs[1]])
    with CubeModel(made["stack"]) as model:
        good = model.dq & DO_NOT_USE == 0
        assert good.mean() > 0.95
        assert_array_equal(model.data[good], expected[good])
    for path in list(made["flagged"].values())[2:]:
        with fits.open(path) as hdus, CubeModel(path) as model:
            assert hdus[0].header["DATAMODL"] == "CubeModel"
            for name in ("data", "err", "dq", "var_rnoise"):
                assert getattr(model, name).shape == (1, 64, 64)
            assert hdus["AREA"].data.shape == (64, 64)
            assert "wcs" in model.meta.instance
    with fits.open(made["mosaic"]) as hdus:
        assert np.isfinite(hdus["SCI"].data).mean() > 0.7


def test_errors_and_variances_are_optional(observation, tmp_path):
    """As spaceKLIP leaves the target: variances of another shape; a reference without errors."""
    inputs = by_exposure(
        tmp_path,
        observation,
        {0: [cropped_variances], 1: [without("ERR")]},
        {0: [without("ERR", *VARIANCES)]},
    )
    made = coron3(tmp_path / "product", *inputs)
    flagged = list(made["flagged"].values())
    with fits.open(observation["science"][0]) as hdus, CubeModel(flagged[0]) as model:
        good = model.dq & DO_NOT_USE == 0
        assert_array_equal(model.err[good], hdus["ERR"].data[good])
        assert all(plane is None for plane in read_planes(flagged[0], VARIANCES).values())
        assert model.meta.snakewebb.left_out[0].startswith("VAR_POISSON has shape (1, 54, 52)")
    assert read_planes(flagged[1], ("ERR",))["ERR"] is None
    skipped = read_notes(flagged[2])["outlier_detection"]
    assert skipped["reason"] == "the exposure has neither errors nor variances"
    for path in made["subtracted"]:
        with CubeModel(path) as model:
            assert model.meta.cal_step.klip == "COMPLETE"
            assert np.isfinite(model.data).mean() > 0.9
    assert read_planes(made["stack"], ("ERR",))["ERR"] is None
    with fits.open(made["mosaic"]) as hdus:
        assert np.isfinite(hdus["SCI"].data).mean() > 0.7


def test_a_cropped_exposure_has_the_wcs_of_its_part(observation, tmp_path):
    """As spaceKLIP crops: the planes and CRPIX, but neither variances nor the gWCS."""

    def crop(hdus):
        for name in ("SCI", "ERR", "DQ"):
            hdus[name].data = hdus[name].data[:, 7:-9, 12:-2]
        hdus["SCI"].header["CRPIX1"] -= 12
        hdus["SCI"].header["CRPIX2"] -= 7

    (path,) = edited(tmp_path / "a", observation["science"][:1], {0: [crop]})
    target = tmp_path / "a_o1_crfints.fits"
    flag_integrations(path, target, step={"skip": True})
    whole, part = (read_sky(each) for each in (observation["science"][0], target))
    x, y = np.array([0.0, 3.5, 49.0]), np.array([0.0, 30.0, 47.0])
    assert_allclose(part.forward(x, y), whole.forward(x + 12, y + 7), rtol=0, atol=1e-12)
    assert part.bounding_box == ((-0.5, 49.5), (-0.5, 47.5))
    with CubeModel(target) as model:
        assert_allclose(model.meta.wcs(x, y), whole.forward(x + 12, y + 7), rtol=0, atol=1e-12)
        assert model.meta.wcsinfo.crpix1 == fits.getval(path, "CRPIX1", "SCI")
    ra, dec = whole.forward(x + 12, y + 7)
    assert_allclose(part.inverse(ra, dec), np.subtract(whole.inverse(ra, dec), [[12], [7]]))
    assert cut_corner(target) is None
    assert cut_corner(observation["science"][0]) is None


def test_adi_is_told_which_exposures_it_lacks(observation, tmp_path):
    paths = edited(tmp_path / "a", observation["science"], {1: [bad(1, 2, 3)]})
    flagged = [tmp_path / f"{product_name(path)}_c1001_crfints.fits" for path in paths]
    for path, target in zip(paths, flagged, strict=True):
        flag_integrations(path, target)
    stars, target = tmp_path / "stars.json", tmp_path / "a_c1001_psfsub.fits"
    stars_of_product(flagged, stars)
    files = {"others": flagged[1:], "references": [], "stars": stars}
    with pytest.raises(InputError) as caught:
        subtract_star(flagged[0], target, **files, step={"strategy": "ADI", "truncate": 2})
    name = product_name(paths[0])
    assert str(caught.value).startswith(f"{name}: no other exposure has a good pixel, as ADI needs")
    subtract_star(flagged[0], target, **files, step={"strategy": "ADI", "skip": True})
    assert read_notes(target)["klip"]["reason"] == "skip is set"


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("CRPIX1", 900.0, "CRPIX1 is 900.0, no number from 0.5 to 64.5"),
        ("CRPIX2", "middle", "CRPIX2 is 'middle', no number"),
        ("CRPIX2", None, "has no CRPIX1 and CRPIX2"),
    ],
)
def test_the_star_is_in_the_frame(observation, tmp_path, key, value, words):
    def edit(hdus):
        hdus["SCI"].header.remove(key)
        if value is not None:
            hdus["SCI"].header[key] = value

    (path,) = edited(tmp_path / "a", observation["science"][:1], {0: [edit]})
    with pytest.raises(InputError) as caught:
        reference_pixel(path)
    assert str(caught.value).startswith(f"{path}: {words}")


def test_integrations_of_other_sizes_are_told_at_once(observation, tmp_path):
    def edit(hdus):
        for name in CUBES:
            hdus[name].data = hdus[name].data[:, :-4]

    paths = edited(tmp_path / "a", observation["psf"][:2], {1: [edit]})
    with pytest.raises(SystemExit, match=r"has 64 × 60 pixels, .* 64 × 64: use one subarray"):
        run(
            "crfints",
            {"exposure": str(paths[0]), "others": [str(paths[1])]},
            str(tmp_path / "x_crfints.fits"),
            log=tmp_path / "log",
            step=options("outlier_detection", "crfints"),
        )
    assert not list(tmp_path.glob("*crfints*"))
