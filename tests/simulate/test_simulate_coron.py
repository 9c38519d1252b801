import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from numpy.testing import assert_allclose, assert_array_equal
from stdatamodels.jwst import datamodels

from snakewebb.io import names as names_module
from snakewebb.io.dq import DO_NOT_USE, NON_SCIENCE
from snakewebb.io.planes import read_planes
from snakewebb.simulate import __main__ as command_line
from snakewebb.simulate import detector
from snakewebb.simulate.coron_model import OPTICS, Companion
from snakewebb.simulate.coronagraph import Coronagraph, Mask, Modes
from snakewebb.simulate.coronagraphy import (
    coronagraph,
    draw_exposures,
    make_telescope,
    simulate,
    write,
)
from snakewebb.simulate.presets import CORONAGRAPHIC, preset
from snakewebb.wcs.sphere import to_plane
from snakewebb.workflow import associations

SMALL = replace(
    preset("nircam-coron", npix=96),
    dithers=CORONAGRAPHIC["nircam-coron"].dithers[:2],
    integrations=2,
    reference_integrations=2,
)
CALM = {"jitter": 0.0, "drift": 0.0, "cosmic_ray_rate": 0.0}


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """A small observation: its association."""
    return write(SMALL, tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def nircam() -> Coronagraph:
    return coronagraph(SMALL)


def known(path: Path, observation=SMALL) -> dict:
    return json.loads((path.parent / "truth" / f"{observation.product}.json").read_text())


def exposures(path: Path, exptype: str) -> list[Path]:
    (product,) = associations.read(path)
    return [Path(member.path) for member in product.of_type(exptype).values()]


def centroid(image: np.ndarray, x: float, y: float) -> tuple[float, float]:
    """Return where a source near (x, y) is, by a Gaussian window that follows it."""
    i, j = np.indices(image.shape)
    for _ in range(50):
        weight = image * np.exp(-((i - y) ** 2 + (j - x) ** 2) / 8)
        x += 2 * (weight * (j - x)).sum() / weight.sum()
        y += 2 * (weight * (i - y)).sum() / weight.sum()
    return x, y


def first_exposure(observation) -> tuple:
    """Simulate the first exposure, without files."""
    telescope = make_telescope(observation)
    exposure = next(draw_exposures(observation, telescope.modes))
    model, _ = simulate(observation, telescope, exposure)
    return model, exposure, telescope


# Optics


@pytest.mark.parametrize("offset", [(0.0, 0.0), (5.3, -7.8)])
def test_without_mask_a_star_keeps_flux_and_place(nircam, offset):
    position = np.add(nircam.center, offset)
    image = nircam.image(position, masked=False)
    assert_allclose(image.sum(), 1.0, atol=0.02)
    assert_allclose(centroid(image, *position), position, atol=0.02)


def test_mask_hides_the_star_and_not_its_companion(nircam):
    star = nircam.image(nircam.center, masked=False)
    assert nircam.image(nircam.center).max() < 1e-4 * star.max()
    far = np.add(nircam.center, (30.0, 10.0))
    image = nircam.image(far)
    assert_allclose(centroid(image, *far), far, atol=0.03)
    assert image.max() > 0.9 * nircam.image(far, masked=False).max()


def test_round_mask_passes_half_at_its_radius():
    mask = OPTICS["NRCA5_MASK335R"].mask
    assert_allclose(mask.amplitude(np.array(0.63), 0.0) ** 2, 0.5, atol=1e-4)
    assert_allclose(mask.amplitude(np.array(0.0), 0.0), 0.0, atol=1e-12)


@pytest.mark.parametrize("aperture", ["NRCA5_MASK335R", "MIRIM_MASK1140", "MIRIM_MASKLYOT"])
def test_throughput_map_is_the_light_that_passes(aperture):
    filter_name = {"NRCA5_MASK335R": "F335M", "MIRIM_MASK1140": "F1140C"}.get(aperture, "F2300C")
    optics = coronagraph(replace(SMALL, aperture=aperture, filter=filter_name))
    image = optics.throughput_map()
    assert 0 <= image.min() < 0.1
    assert 0.9 < image.max() <= 1
    for x, y in ((50, 60), (58, 41), (30, 75), (90, 52)):
        offset = (np.array([x, y]) - optics.center) * optics.scale
        assert_allclose(image[y, x], min(1, optics.throughput(*offset)), atol=0.05)
        lit = optics.image((x, y)).sum() / optics.image((x, y), masked=False).sum()
        assert_allclose(image[y, x], lit, atol=0.12)


def test_four_quadrants_cancel_along_their_edges():
    optics = Coronagraph(Mask("4qpm", 0, 0.27), 11.3e-6, 6e-7, (64, 64), (31.3, 32.2), (0.11, 0.11))
    assert optics.throughput(0.0, 0.0) < 0.1
    assert optics.throughput(0.0, 2.0) < 0.4
    assert optics.throughput(2.0, 2.0) > 0.9


def test_wavefront_modes_move_no_star(nircam):
    x, pupil = nircam.pupil
    modes = Modes(x, pupil)
    rng = np.random.default_rng(1)
    error = modes.wavefront(modes.draw(rng, 70.0))
    assert_allclose(modes.rms(error), 70.0, rtol=1e-4)
    inside = pupil > 0.5
    for shape in (error, modes.ripples(rng, 30.0)):
        for frame in (np.ones_like(pupil), np.meshgrid(x, x)[0], np.meshgrid(x, x)[1]):
            assert abs((shape * frame)[inside].mean()) < 1e-3 * np.abs(shape * frame).max()


# Files


def test_files_open_as_coronagraphic_cubes(small):
    files = exposures(small, "science") + exposures(small, "psf")
    assert [file.name for file in files] == [
        "jw01399001001_02101_00001_nrcalong_calints.fits",
        "jw01399002001_02101_00001_nrcalong_calints.fits",
        *(f"jw01399003001_02101_0000{i}_nrcalong_calints.fits" for i in (1, 2)),
    ]
    for file in files:
        with fits.open(file) as hdus:
            assert {hdu.name for hdu in hdus[1:]} == {
                "SCI", "ERR", "DQ", "AREA", "INT_TIMES", "VAR_POISSON", "VAR_RNOISE", "VAR_FLAT",
                "ASDF",
            }  # fmt: skip
            assert hdus["SCI"].data.shape == hdus["DQ"].data.shape == (2, 96, 96)
            assert hdus["AREA"].data.shape == (96, 96)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with datamodels.open(file) as model:
                assert isinstance(model, datamodels.CubeModel)
                model.validate()
                assert model.meta.exposure.type == "NRC_CORON"
                assert model.meta.instrument.coronagraph == "MASKA335R"
                assert model.meta.instrument.pupil == "MASKRND"
                assert model.meta.exposure.nints == 2
                assert model.meta.exposure.psf_reference == (file in exposures(small, "psf"))
                assert model.meta.aperture.name == "NRCA5_MASK335R"
                assert_array_equal(model.int_times["integration_number"], [1, 2])
                assert model.meta.wcs.output_frame.name == "world"


def test_products_are_named_as_in_the_archive():
    names = {name: preset(name).product for name in CORONAGRAPHIC}
    assert names == {
        "nircam-coron": "jw01399-c1001_t001_nircam_f335m-maskrnd-sub320a335r",
        "miri-coron": "jw01386-c1001_t001_miri_f1140c-mask1140",
    }


def test_psfmask_is_a_reference_file(small):
    with datamodels.open(small.parent / "references" / "psfmask.fits") as model:
        assert isinstance(model, datamodels.PsfMaskModel)
        model.validate()
        assert model.data.shape == (96, 96)
        assert model.data.min() < 0.02
        assert model.meta.instrument.filter == "F335M"


def test_cosmic_rays_and_bad_pixels_are_known(small):
    (file, *_) = exposures(small, "science")
    planes = read_planes(file)
    bad = (planes["DQ"] & DO_NOT_USE) != 0
    assert bad.any()
    assert_array_equal(np.isnan(planes["SCI"]), bad)
    assert_array_equal(bad[0], bad[1])
    root = names_module.exposure_name(file)
    with np.load(small.parent / "truth" / f"{root}_cosmic_rays.npz") as rays:
        assert set(rays["integration"]) == {0, 1}
        where = rays["integration"], rays["y"], rays["x"]
        other = 1 - rays["integration"], rays["y"], rays["x"]
        excess = (planes["SCI"][where] - planes["SCI"][other]) / planes["ERR"][where]
        strong = rays["significance"] > 15
        assert strong.sum() > 5
        assert np.median((excess / rays["significance"])[strong]) == pytest.approx(1, abs=0.3)


# Truth


def test_companions_are_at_separation_and_position_angle(small):
    truth = known(small)
    for file in exposures(small, "science"):
        exposure = truth["exposures"][names_module.exposure_name(file)]
        with datamodels.open(file) as model:
            wcs = model.meta.wcs
            star = np.mean(exposure["star"], axis=0)
            center = tuple(map(float, wcs(*star)))
            for companion, position in zip(
                truth["companions"], exposure["companions"], strict=True
            ):
                xi, eta = to_plane(*wcs(*position), *center)
                assert_allclose(np.hypot(xi, eta), companion["separation"], atol=5e-4)
                angle = np.degrees(np.arctan2(xi, eta)) % 360
                assert_allclose(angle, companion["position_angle"], atol=0.03)
            # the acquisition's error is what the WCS does not know
            target = np.array([model.meta.target.ra, model.meta.target.dec])
            missed = np.hypot(*to_plane(*wcs(*star), *target))
            assert 0.0005 < missed < 0.06


def test_rolls_turn_the_sky(small):
    first, second = (
        known(small)["exposures"][names_module.exposure_name(file)]
        for file in exposures(small, "science")
    )
    turned = []
    for exposure in (first, second):
        dx, dy = np.array(exposure["companions"][1]) - np.mean(exposure["star"], axis=0)
        turned.append(np.degrees(np.arctan2(dy, dx)))
    # x runs against right ascension: position angles grow counterclockwise, the detector with them
    assert_allclose((turned[0] - turned[1]) % 360, second["roll"] - first["roll"], atol=0.3)
    assert_allclose(second["roll"] - first["roll"], 10.0, atol=0.01)


def test_companion_has_its_flux_and_place():
    observation = replace(
        SMALL,
        **CALM,
        companions=(Companion(1.55, 310.0, 1e5),),
        star_flux=1e-7,
        integrations=1,
        bad_fraction=0.0,
        wavefront=0.0,
    )
    model, exposure, telescope = first_exposure(observation)
    sky = detector.FILTERS["NIRCAM"]["F335M"].sky
    image = (model.data[0] - sky) * model.area
    ((x, y),) = exposure.companions
    assert_allclose(centroid(image, x, y), (x, y), atol=0.03)
    flux = image.sum(dtype=float) * 1e6 * model.meta.photometry.pixelarea_steradians
    passed = telescope.optics.throughput_map()[round(y), round(x)]
    assert_allclose(flux, 0.01 * passed, rtol=0.03)


def test_dithers_move_the_reference_star(small):
    truth = known(small)
    stars = [
        np.mean(truth["exposures"][names_module.exposure_name(file)]["star"], axis=0)
        for file in exposures(small, "psf")
    ]
    for star, dither in zip(stars, SMALL.dithers, strict=True):
        assert_allclose((stars[0] - star) * 0.063, dither, atol=0.004)
    headers = [fits.getheader(file) for file in exposures(small, "psf")]
    assert [(h["XOFFSET"], h["YOFFSET"]) for h in headers] == list(SMALL.dithers)


def test_wavefront_drifts(small):
    truth = known(small)
    changes = {
        exptype: [
            np.mean(e["wavefront_change_rms"])
            for e in truth["exposures"].values()
            if e["exptype"] == exptype
        ]
        for exptype in ("science", "psf")
    }
    assert changes["science"][0] < 3 < changes["science"][1]
    assert min(changes["psf"]) > 3
    for exposure in truth["exposures"].values():
        assert_allclose(exposure["wavefront_rms"], 81, atol=6)


def test_companion_shows_when_the_reference_is_subtracted(small):
    truth = known(small)
    reference = np.median(
        np.concatenate([read_planes(file)["SCI"] for file in exposures(small, "psf")]), axis=0
    )
    y, x = np.indices(reference.shape)
    r = np.hypot(x - truth["mask"]["x"], y - truth["mask"]["y"]) * 0.063
    (file, *_) = exposures(small, "science")
    image = read_planes(file)["SCI"].mean(axis=0)
    near = np.isfinite(image + reference) & (r < 2.5)
    scale = np.sum((image * reference)[near]) / np.sum(reference[near] ** 2)
    assert_allclose(scale, SMALL.star_flux / SMALL.reference_flux, rtol=0.05)
    left = image - scale * reference
    (cx, cy), _ = truth["exposures"][names_module.exposure_name(file)]["companions"]
    companion = np.hypot(x - cx, y - cy) < 1.5
    ring = (r > 0.6) & (r < 0.9) & (np.hypot(x - cx, y - cy) > 6) & np.isfinite(left)
    peak = truth["star"]["flux"] * truth["unocculted_peak"] / fits.getval(file, "PIXAR_SR", "SCI")
    noise = np.std(left[ring]) / (peak * 1e-6)
    assert 1e-6 < noise < 2e-5
    assert 1e-5 < np.mean(image[ring]) / (peak * 1e-6) < 2e-4
    assert np.nanmean(left[companion]) / (peak * 1e-6) > 3 * noise


def test_errors_tell_the_scatter():
    model, _, _ = first_exposure(replace(SMALL, **CALM, companions=()))
    random = model.var_poisson + model.var_rnoise
    pull = (model.data[0] - model.data[1]) / np.sqrt(random.sum(axis=0))
    assert_allclose(np.nanstd(pull), 1.0, atol=0.03)
    assert_allclose(np.nanmean(pull), 0.0, atol=0.05)
    assert_allclose(model.err**2, random + model.var_flat, rtol=1e-5)


def test_seed_decides_everything(small):
    planes = read_planes(exposures(small, "science")[0])
    again, exposure, _ = first_exposure(SMALL)
    other, other_exposure, _ = first_exposure(replace(SMALL, seed=2))
    assert_array_equal(planes["SCI"], again.data)
    assert_array_equal(planes["ERR"], again.err)
    assert_array_equal(planes["DQ"], again.dq)
    assert not np.array_equal(other.dq, again.dq)
    assert np.nanmax(np.abs(other.data - again.data)) > 1
    assert not np.allclose(exposure.star, other_exposure.star)


def test_miri_sees_the_sky_through_its_quadrants(tmp_path, monkeypatch, capsys):
    brief = replace(
        CORONAGRAPHIC["miri-coron"],
        dithers=((0.0, 0.0),),
        rolls=(110.0,),
        integrations=1,
        reference_integrations=1,
    )
    monkeypatch.setitem(CORONAGRAPHIC, "miri-coron", brief)
    monkeypatch.setattr("sys.argv", ["simulate", "miri-coron", str(tmp_path), "--seed", "3"])
    command_line.main()
    path = Path(capsys.readouterr().out.strip())
    assert path.name == "jw01386-c1001_20221118t120000_coron3_00001_asn.json"
    (file,) = exposures(path, "science")
    with datamodels.open(file) as model:
        assert model.meta.exposure.type == "MIR_4QPM"
        assert model.meta.instrument.coronagraph == "4QPM_1140"
        assert model.meta.subarray.name == "MASK1140"
        assert model.data.shape == (1, 224, 288)
        blind = (model.dq[0] & NON_SCIENCE) != 0
        assert blind[:, 240:].all()
        assert not blind[10:210, 20:220].any()
        assert np.isnan(model.data[0][blind]).all()
