import json
import os
import warnings
from dataclasses import replace
from pathlib import Path

import asdf
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from numpy.testing import assert_allclose, assert_array_equal
from stdatamodels.jwst import datamodels

from snakewebb.io.dq import BITS, DO_NOT_USE, NON_SCIENCE
from snakewebb.io.headers import exposure_header
from snakewebb.io.planes import read_planes
from snakewebb.simulate import __main__ as command_line
from snakewebb.simulate import apertures, detector, scene
from snakewebb.simulate.model import Observation
from snakewebb.simulate.observation import believed_frames, draw_truth, filter_psf, placed, write
from snakewebb.simulate.presets import MIRI_FIELD, NIRCAM_FIELD, NIRCAM_SHORT_A, PRESETS, preset
from snakewebb.simulate.references import write_references
from snakewebb.wcs.geometry import Correction
from snakewebb.wcs.sphere import from_plane, to_plane

DATA = Path(os.environ.get("SNAKEWEBB_DATA", Path(__file__).parents[3] / "shared" / "data"))
SMALL = replace(preset("nircam-f356w", npix=128), dithers=NIRCAM_FIELD.dithers[:2])


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> tuple[Path, list[Path]]:
    """Two small exposures: the association and the files."""
    path = write(SMALL, tmp_path_factory.mktemp("small"))
    return path, sorted(path.parent.glob("*_cal.fits"))


def one_star(x: float, y: float, npix: int = 160, **changes) -> tuple:
    """Paint a star that falls on a given pixel of a mispointed exposure, without noise."""
    observation = replace(NIRCAM_FIELD, npix=npix, pointing_error=80.0, roll_error=20.0, **changes)
    (frame,) = believed_frames(observation)[1]
    truth = draw_truth(observation, 1, [frame])
    sky = truth.pointing.apply(*frame.wcs(x, y, with_bounding_box=False))
    sources = scene.catalog([sky[0]], [sky[1]], [3e-6])
    area = scene.pixel_area(frame.wcs, frame.size[::-1])
    psf = filter_psf(observation, float(area.mean()))
    return scene.paint(sources, frame.wcs, area, psf, truth.pointing), area, psf


def moments(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return centroid (x, y) and second moments about it (2, 2)."""
    y, x = np.indices(image.shape)
    weight = image / image.sum(dtype=float)
    center = np.array([(weight * x).sum(), (weight * y).sum()])
    offset = np.stack((x - center[0], y - center[1]))
    return center, np.einsum("ijk,ljk,jk->il", offset, offset, weight)


# Where pixels look


@pytest.mark.parametrize("name", apertures.apertures())
def test_wcs_agrees_with_pysiaf(name):
    row = apertures.apertures()[name]
    pointing = apertures.Pointing(10.0, -30.0, 200.0, row.v2_ref, row.v3_ref)
    info = apertures.wcsinfo(row, pointing)
    wcs = apertures.make_wcs(row, info, start=row.start, size=row.size, va_scale=1.0)
    x, y, v2, v3 = np.transpose(row.control)
    assert_allclose(wcs.get_transform("detector", "v2v3")(x - 1, y - 1), (v2, v3), atol=1e-9)


@pytest.mark.parametrize("detector_name", ["NRCALONG", "NRCB4", "MIRIMAGE", "NIS"])
def test_wcs_has_the_frames_and_inverse_of_the_reference(detector_name):
    row = apertures.imaging_aperture(detector_name)
    pointing = apertures.Pointing(0.001, 60.0, 20.0, row.v2_ref, row.v3_ref)
    info = apertures.wcsinfo(row, pointing)
    wcs = apertures.make_wcs(row, info, start=(1, 1), size=row.full_size, va_scale=0.99995)
    assert wcs.available_frames == ["detector", "v2v3", "v2v3vacorr", "world"]
    x, y = (reference - 1 for reference in row.reference)
    assert_allclose(wcs(x, y), (info["ra_ref"], info["dec_ref"]), atol=1e-10)
    assert_allclose(wcs.invert(*wcs(x + 50, y - 20)), (x + 50, y - 20), atol=0.02)
    box = wcs.bounding_box.bounding_box(order="F")
    if detector_name == "MIRIMAGE":
        assert box == ((3.5, 1027.5), (-0.5, 1023.5))
    else:
        assert box == ((-0.5, 2047.5), (-0.5, 2047.5))


def test_velocity_aberration_scales_about_the_reference_point():
    row = apertures.imaging_aperture("NRCALONG")
    info = apertures.wcsinfo(row, apertures.Pointing(10.0, -30.0, 0.0, 0.0, 0.0))
    wcs = apertures.make_wcs(row, info, start=(1, 1), size=row.size, va_scale=0.9999)
    step = wcs.get_transform("v2v3", "v2v3vacorr")(row.v2_ref + 100, row.v3_ref - 10)
    assert_allclose(step, (row.v2_ref + 99.99, row.v3_ref - 9.999), atol=1e-9)


def test_all_detectors_share_the_attitude():
    pointing = apertures.Pointing(214.9, 52.85, 131.0, 30.0, -480.0)
    first = apertures.imaging_aperture("NRCA1")
    info = apertures.wcsinfo(first, pointing)
    wcs = apertures.make_wcs(first, info, start=(1, 1), size=first.size, va_scale=1.0)
    to_sky = wcs.get_transform("v2v3", "world")
    for name in ("NRCBLONG", "MIRIMAGE", "NIS"):
        row = apertures.imaging_aperture(name)
        ra, dec, roll = pointing.at(row.v2_ref, row.v3_ref)
        assert_allclose(to_sky(row.v2_ref, row.v3_ref), (ra, dec), atol=1e-10)
        xi, eta = to_plane(*to_sky(row.v2_ref, row.v3_ref + 1), ra, dec)
        assert_allclose(np.degrees(np.arctan2(xi, eta)) % 360, roll % 360, atol=1e-4)


def test_subarray_sees_the_same_sky_as_the_whole_detector():
    for field in (NIRCAM_FIELD, MIRI_FIELD):
        (whole,) = believed_frames(field)[0]
        (part,) = believed_frames(replace(field, npix=64))[0]
        x0, y0 = (start - 1 for start in part.start)
        assert_allclose(part.wcs(10, 20), whole.wcs(x0 + 10, y0 + 20), atol=1e-11)


# Light


@pytest.mark.parametrize(("x", "y"), [(80.0, 80.0), (79.63, 81.27), (90.5, 70.5)])
def test_star_falls_where_the_true_pointing_says(x, y):
    image, _, _ = one_star(x, y)
    center, _ = moments(image)
    assert_allclose(center, (x, y), atol=0.005)


@pytest.mark.parametrize(("x", "y"), [(80.0, 80.0), (79.63, 81.27)])
def test_star_has_its_flux(x, y):
    image, area, _ = one_star(x, y)
    assert_allclose((image * area).sum(dtype=float) * 1e6, 3e-6, rtol=1e-4)


def test_encircled_energy_is_what_an_aperture_holds():
    image, area, psf = one_star(80.3, 79.8)
    y, x = np.indices(image.shape)
    fine = (np.arange(10) - 4.5) / 10
    for radius in (3.0, 6.0, 15.0, 40.0):
        inside = np.mean(
            [np.hypot(x + dx - 80.3, y + dy - 79.8) < radius for dx in fine for dy in fine], axis=0
        )
        share = (image * area * inside).sum() * 1e6 / 3e-6
        # pixels cut by the circle are not evenly lit
        assert_allclose(share, psf.encircled_energy(radius), atol=0.01)


def test_stars_outside_spill_in():
    image, area, _ = one_star(-3.0, 80.0)
    assert 0.0 < (image * area).sum() * 1e6 < 1.5e-6
    assert image[:, 0].sum() > 3 * image[:, 20].sum()


@pytest.mark.parametrize("sersic", scene.SERSIC_INDICES)
def test_galaxy_has_flux_shape_and_orientation(sersic):
    observation = replace(NIRCAM_FIELD, npix=512, roll=63.0)
    (frame,) = believed_frames(observation)[0]
    area = scene.pixel_area(frame.wcs, frame.size[::-1])
    psf = filter_psf(observation, float(area.mean()))
    position = tuple(map(float, frame.wcs(250.3, 260.8)))
    galaxy = {"type": "galaxy", "sersic": sersic}
    shape = {"radius": 1.0, "axis_ratio": 0.4, "position_angle": 25.0}
    image, point = (
        scene.paint(
            scene.catalog([position[0]], [position[1]], [1e-5], **galaxy, **kind),
            frame.wcs,
            area,
            psf,
            Correction(*position, ((1.0, 0.0), (0.0, 1.0)), (0.0, 0.0)),
        )
        for kind in (shape, {**shape, "radius": 0.001})
    )
    assert_allclose((image * area).sum(dtype=float) * 1e6, 1e-5, rtol=2e-3)
    center, spread = moments(image * area)
    assert_allclose(center, (250.3, 260.8), atol=0.02)
    _, blur = moments(point * area)
    values, vectors = np.linalg.eigh(spread - blur)
    assert_allclose(np.sqrt(values[0] / values[1]), 0.4, atol=0.02)
    end = center + 10 * vectors[:, 1]
    xi, eta = to_plane(*frame.wcs(*end), *position)
    assert_allclose(np.degrees(np.arctan2(xi, eta)) % 180, 25.0, atol=1.0)
    # half of the (cut) light is within about the half-light ellipse
    y, x = np.indices(image.shape) - center[::-1, None, None]
    u, v = np.einsum("ji,jkl->ikl", vectors, np.stack((x, y)))
    pixel = np.degrees(np.sqrt(area.mean())) * 3600
    inside = np.hypot(v, u / 0.4) * pixel < 1.0
    assert_allclose((image * area)[inside].sum() * 1e6, 0.5e-5, rtol=0.2)


def test_pixel_area_is_that_of_the_pixels_on_the_sky():
    (frame,) = believed_frames(replace(NIRCAM_FIELD, npix=1024))[0]
    area = scene.pixel_area(frame.wcs, (1024, 1024))
    for x, y in ((0, 0), (500, 200), (1023, 1023)):
        x_edge, y_edge = x + np.array([-0.5, 0.5, 0.5, -0.5]), y + np.array([-0.5, -0.5, 0.5, 0.5])
        sky = frame.wcs(x_edge, y_edge, with_bounding_box=False)
        xi, eta = to_plane(*sky, *map(float, frame.wcs(x, y)))
        square = 0.5 * abs(np.dot(xi, np.roll(eta, 1)) - np.dot(eta, np.roll(xi, 1)))
        assert_allclose(area[y, x], square * np.radians(1 / 3600) ** 2, rtol=1e-5)


# Detectors


@pytest.mark.parametrize(
    ("instrument", "filter_name", "sky"), [("NIRCAM", "F356W", 0.1), ("MIRI", "F1130W", 36.0)]
)
def test_errors_tell_the_scatter(instrument, filter_name, sky):
    rng = np.random.default_rng(3)
    truth = np.full((400, 400), sky, np.float32)
    flaws = detector.make_flaws(instrument, "X", (2048, 2048), (900, 900), (400, 400), 0.01, 1)
    planes, rays = detector.expose(rng, truth, instrument, filter_name, 800.0, flaws, 0.0)
    assert len(rays.x) == 0
    pull = (planes["data"] - sky) / planes["err"]
    assert_allclose(np.nanmean(pull), 0.0, atol=0.01)
    assert_allclose(np.nanstd(pull), 1.0, atol=0.01)
    total = planes["var_poisson"] + planes["var_rnoise"] + planes["var_flat"]
    assert_allclose(planes["err"] ** 2, total, rtol=1e-5)
    other, _ = detector.expose(rng, truth, instrument, filter_name, 800.0, flaws, 0.0)
    # the flat's error does not average out
    random = np.nanvar(planes["data"] - other["data"]) / 2
    assert_allclose(random, np.nanmean(total - planes["var_flat"]), rtol=0.02)


def test_bad_pixels_stay_on_the_detector():
    def flaws(start, seed=1):
        return detector.make_flaws(
            "NIRCAM", "NRCALONG", (2048, 2048), start, (300, 300), 0.01, seed
        )

    middle = flaws((900, 900))
    assert_array_equal(middle.dq, flaws((900, 900)).dq)
    assert not np.array_equal(middle.dq, flaws((900, 900), seed=2).dq)
    assert_allclose(np.mean(middle.dq & DO_NOT_USE), 0.01, atol=0.002)
    corner = flaws((1, 1)).dq
    assert np.all(corner[:4] & BITS["REFERENCE_PIXEL"])
    assert np.all(corner[:, :4] & DO_NOT_USE)
    assert not np.any(corner[4:, 4:] & BITS["REFERENCE_PIXEL"])


def test_miri_sees_the_sky_only_in_part():
    dq = detector.make_flaws("MIRI", "MIRIMAGE", (1032, 1024), (1, 1), (1032, 1024), 0.0, 1).dq
    assert np.all(dq[:700, 4:350] == DO_NOT_USE | NON_SCIENCE)
    assert np.all(dq[:, [0, 3, 1028, 1031]] == DO_NOT_USE | BITS["REFERENCE_PIXEL"])
    assert not np.any(dq[:, 360:1028])
    assert not np.any(dq[800:, 10:270])


def test_cosmic_rays_are_known():
    truth = np.full((300, 300), 0.1, np.float32)
    flaws = detector.make_flaws("NIRCAM", "X", (2048, 2048), (900, 900), (300, 300), 0.01, 1)
    arguments = (truth, "NIRCAM", "F356W", 800.0, flaws)
    without, _ = detector.expose(np.random.default_rng(5), *arguments, 0.0)
    planes, rays = detector.expose(np.random.default_rng(5), *arguments, 2000.0)
    struck = np.zeros_like(truth)
    struck[rays.y, rays.x] = rays.brightness
    good = np.isfinite(without["data"])
    assert_allclose((planes["data"] - without["data"])[good], struck[good], atol=2e-5)
    assert_allclose(rays.significance, struck[rays.y, rays.x] / planes["err"][rays.y, rays.x])
    assert_array_equal(planes["dq"], without["dq"])
    assert 180 * 2 < len(rays.x) < 180 * 8


def test_hits_may_inflate_their_errors():
    truth = np.full((300, 300), 0.1, np.float32)
    flaws = detector.make_flaws("NIRCAM", "X", (2048, 2048), (900, 900), (300, 300), 0.01, 1)
    arguments = (truth, "NIRCAM", "F356W", 800.0, flaws, 2000.0)
    clean, rays = detector.expose(np.random.default_rng(5), *arguments)
    planes, inflating = detector.expose(np.random.default_rng(5), *arguments, 0.5)
    assert_array_equal(planes["data"], clean["data"])
    assert_array_equal(inflating.significance, rays.significance)
    assert (rays.inflation == 1).all()
    where = rays.y, rays.x
    assert_allclose(planes["err"][where] / clean["err"][where], inflating.inflation, rtol=1e-5)
    grown = inflating.inflation > 1
    strong = rays.significance > 3
    assert 0.4 < grown[strong].mean() < 0.6
    own = rays.significance / inflating.inflation
    assert np.all((own[grown] > 0.999) & (own[grown] < 3.001))
    total = sum(planes[name] for name in ("var_poisson", "var_rnoise", "var_flat"))
    good = np.isfinite(total)
    assert_allclose(np.sqrt(total[good]), planes["err"][good], rtol=1e-5)
    for name in ("var_poisson", "var_rnoise"):
        assert (planes[name][where] > 1.01 * clean[name][where])[grown & strong].mean() > 0.9


def test_noisy_pixels_are_the_same_in_all_exposures(tmp_path):
    field = replace(preset("nircam-f115w", npix=128), stars=3)
    quiet, noisy = (tmp_path / name for name in ("quiet", "noisy"))
    for folder, share in ((quiet, 0.0), (noisy, 0.02)):
        write(replace(field, noisy_fraction=share), folder)
    ratio = [
        read_planes(path)["VAR_RNOISE"] / read_planes(quiet / path.name)["VAR_RNOISE"]
        for path in sorted(noisy.glob("*_cal.fits"))
    ]
    np.testing.assert_allclose(ratio[0], ratio[1], rtol=1e-5)
    assert 0.01 < (ratio[0] > 8).mean() < 0.03
    assert np.nanmax(ratio[0]) < 226


# Files


def test_files_open_as_stage_2_exposures(small):
    path, files = small
    assert [file.name for file in files] == [
        f"jw01234001001_02101_0000{i}_nrcalong_cal.fits" for i in (1, 2)
    ]
    for file in files:
        with fits.open(file) as hdus:
            assert [hdu.name for hdu in hdus[1:]] == [
                "SCI", "ERR", "DQ", "AREA", "VAR_POISSON", "VAR_RNOISE", "VAR_FLAT", "ASDF",
            ]  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with datamodels.open(file) as model:
                assert isinstance(model, datamodels.ImageModel)
                model.validate()
                assert model.meta.wcs.output_frame.name == "world"
                assert model.meta.cal_step.photom == "COMPLETE"
                assert model.meta.bunit_data == "MJy/sr"
                assert model.meta.filename == file.name
    assert json.loads(path.read_text())["asn_type"] == "image3"


def test_association_names_the_members(small):
    path, files = small
    (product,) = json.loads(path.read_text())["products"]
    assert product["name"] == "jw01234-o001_t001_nircam_clear-f356w-sub128"
    assert [member["expname"] for member in product["members"]] == [file.name for file in files]
    assert {member["exptype"] for member in product["members"]} == {"science"}


def test_not_a_number_means_do_not_use(small):
    planes = read_planes(small[1][0])
    bad = (planes["DQ"] & DO_NOT_USE) != 0
    assert bad.any()
    for name in ("SCI", "ERR", "VAR_POISSON", "VAR_RNOISE", "VAR_FLAT"):
        assert_array_equal(np.isnan(planes[name]), bad)
    assert_allclose(planes["AREA"], 1.0, atol=0.01)


def test_header_wcs_agrees_with_the_gwcs(small):
    with datamodels.open(small[1][1]) as model, fits.open(small[1][1]) as hdus:
        x, y = np.array([3.0, 60.0, 120.0]), np.array([100.0, 7.0, 64.0])
        header = WCS(hdus["SCI"].header, fix=False)
        assert_allclose(header.all_world2pix(*model.meta.wcs(x, y), 0), (x, y), atol=0.01)
        text = hdus["SCI"].header["S_REGION"].split()
    assert text[:2] == ["POLYGON", "ICRS"]
    vertices = np.array(text[2:], float).reshape(4, 2)
    assert_allclose(
        header.all_world2pix(vertices, 0),
        [(-0.5, -0.5), (-0.5, 127.5), (127.5, 127.5), (127.5, -0.5)],
        atol=0.02,
    )


def test_truth_lies_beside_the_files(small):
    folder = small[0].parent / "truth"
    sources = Table.read(folder / f"{SMALL.product}_sources.ecsv")
    assert set(sources["type"]) == {"star", "galaxy"}
    assert_allclose(sources["abmag"], -2.5 * np.log10(sources["flux"].value / 3631))
    for file in small[1]:
        root = file.name.removesuffix("_cal.fits")
        truth = json.loads((folder / f"{root}.json").read_text())
        planes = read_planes(file)
        faint = np.nanpercentile(planes["SCI"], 40)
        assert_allclose(faint, truth["sky"], atol=float(np.nanmedian(planes["ERR"])))
        assert 1.0 < abs(truth["east_mas"]) < 400.0
        with np.load(folder / f"{root}_cosmic_rays.npz") as rays:
            brightness = planes["SCI"][rays["y"], rays["x"]]
            assert np.all(brightness > truth["sky"] + 0.5 * rays["brightness"])


def test_seed_decides_everything(small, tmp_path):
    again = write(SMALL, tmp_path / "again").parent
    other = write(replace(SMALL, seed=2), tmp_path / "other").parent
    for file in small[1]:
        first, second, third = (read_planes(f / file.name) for f in (file.parent, again, other))
        for name in first:
            assert_array_equal(first[name], second[name])
        assert np.nanmax(np.abs(first["SCI"] - third["SCI"])) > 0.1


def test_detectors_of_an_exposure_are_one_group(tmp_path):
    observation = replace(
        preset("nircam-short", npix=64), detectors=NIRCAM_SHORT_A[:2], dithers=((0, 0), (1, 2))
    )
    folder = write(observation, tmp_path).parent
    groups = {}
    for file in sorted(folder.glob("*_cal.fits")):
        groups.setdefault(exposure_header(file).group_id, []).append(file.name.split("_")[3])
    assert groups == {
        "jw01237001001_02101_1": ["nrca1", "nrca2"],
        "jw01237001001_02101_2": ["nrca1", "nrca2"],
    }
    pointings = [
        json.loads((folder / "truth" / f"jw01237001001_02101_0000{i}_nrca{d}.json").read_text())
        for i in (1, 2)
        for d in (1, 2)
    ]
    assert pointings[0] == pointings[1]
    assert pointings[2] == pointings[3]
    assert pointings[0] != pointings[2]


def test_moving_target_stays_and_stars_pass(tmp_path):
    observation = replace(
        preset("nircam-moving", npix=96),
        dithers=((0.0, 0.0), (0.0, 0.0)),
        pointing_error=0.0,
        roll_error=0.0,
        cosmic_ray_rate=0.0,
        sources=scene.catalog([53.16], [-27.79], [3e-6]),
        target_flux=1e-4,
    )
    folder = write(observation, tmp_path).parent
    targets = []
    for file in sorted(folder.glob("*_cal.fits")):
        known = exposure_header(file)
        assert known.target_type == "MOVING"
        targets.append((known.mt_ra, known.mt_dec))
        image = np.nan_to_num(read_planes(file, ["SCI"])["SCI"])
        assert np.hypot(*(np.array(np.unravel_index(image.argmax(), (96, 96))) - 47.5)) < 2
    hours = 1120.0 / 3600
    assert_allclose(to_plane(*targets[1], 53.16, -27.79), (20.0 * hours, -9.0 * hours), atol=1e-6)


@pytest.mark.skipif(not (DATA / "ceers_wcs").exists(), reason="no real WCS here")
def test_real_wcs_takes_the_place_of_the_siaf(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tags of an older asdf
        name = "jw01345003001_02201_00001_nrcalong_tweakreg.asdf"
        with asdf.open(DATA / "ceers_wcs" / name) as tree:
            wcs, info = tree["wcs"], tree["wcsinfo"]
    star = tuple(map(float, wcs(1500.25, 400.5)))
    observation = Observation(
        detectors=("NRCALONG",),
        filter="F356W",
        dithers=(),
        wcs=({"NRCALONG": (wcs, info)},),
        sources=scene.catalog([star[0]], [star[1]], [1e-4]),
        cosmic_ray_rate=0.0,
        bad_fraction=0.0,
    )
    write(observation, tmp_path)
    (file,) = tmp_path.glob("*_cal.fits")
    image = read_planes(file, ["SCI"])["SCI"]
    center, _ = moments(image[395:406, 1495:1506] - np.nanmedian(image))
    assert_allclose(center, (5.25, 5.5), atol=0.1)
    with datamodels.open(file) as model:
        assert_allclose(model.meta.wcs(10.0, 20.0), wcs(10.0, 20.0), rtol=0, atol=1e-12)


# Presets


@pytest.mark.parametrize("name", PRESETS)
def test_presets_cover_each_other(name):
    observation = PRESETS[name]
    assert observation.filter in detector.FILTERS[observation.instrument]
    exposures = believed_frames(replace(observation, npix=32))
    assert len({frame.corners()[0][0] for frames in exposures for frame in frames}) == len(
        observation.dithers
    ) * len(observation.detectors)


def test_dithers_move_along_the_detector():
    observation = replace(NIRCAM_FIELD, npix=256, dithers=((0.0, 0.0), (3.0, 1.0)))
    (first,), (second,) = believed_frames(observation)
    x, y = second.wcs.invert(*first.wcs(127.5, 127.5))
    assert_allclose((127.5 - x, 127.5 - y), (3.0 / 0.0628, 1.0 / 0.0630), rtol=0.01)


def test_scene_covers_the_field_across_the_meridian():
    observation = replace(NIRCAM_FIELD, npix=128, ra=0.0, dec=60.0)
    (frame,) = believed_frames(observation)[0]
    from snakewebb.simulate.observation import random_sources

    sources = random_sources(observation, [frame])
    xi, eta = to_plane(sources["ra"].value, sources["dec"].value, 0.0, 60.0)
    assert np.abs(xi).max() < 20
    assert np.abs(eta).max() < 20
    assert from_plane(0, 0, 0.0, 60.0)[0] == 0.0


def test_command_line_writes_a_preset(tmp_path, monkeypatch, capsys):
    arguments = ["simulate", "miri-f1130w", str(tmp_path), "--npix", "32", "--seed", "4"]
    monkeypatch.setattr("sys.argv", arguments)
    command_line.main()
    path = Path(capsys.readouterr().out.strip())
    assert path.name == "jw01235-o001_20221118t120000_image3_00001_asn.json"
    assert len(list(tmp_path.glob("jw*_mirimage_cal.fits"))) == 4


def test_reference_files_of_a_simulated_filter(tmp_path):
    observation = replace(preset("miri-f1130w", npix=96), dithers=((0.0, 0.0),))
    write(observation, tmp_path / "data")
    (exposure,) = (tmp_path / "data").glob("*_cal.fits")
    write_references(exposure, tmp_path / "references")
    table = Table.read(tmp_path / "references" / "apcorr.fits", hdu=1)
    assert (np.diff(table["radius"]) > 0).all()
    # The sky annulus holds some light of the star too.
    np.testing.assert_allclose(1 / table["apcorr"], table["eefraction"], rtol=0.03)
    assert (tmp_path / "references" / "abvegaoffset.asdf").is_file()


def test_detectors_are_off_their_places_alike_in_all_exposures():
    observation = Observation(
        detectors=("NRCA1", "NRCA3"),
        filter="F200W",
        dithers=((0, 0), (30, -20)),
        npix=200,
        pointing_error=80.0,
        roll_error=5.0,
        placement_error=50.0,
    )
    offs = []
    for index, frames in enumerate(believed_frames(observation)):
        truth = draw_truth(observation, index, frames)
        for frame in frames:
            own = placed(observation, frame, truth).pointing
            plane = own.ra0, own.dec0
            ends = [np.stack(to_plane(*p.apply(*frame.corners()), *plane), -1)
                    for p in (truth.pointing, own)]  # fmt: skip
            roll = np.radians(frame.wcsinfo["roll_ref"]) - np.arctan2(
                truth.pointing.matrix[1][0], truth.pointing.matrix[0][0]
            )
            axes = np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
            offs.append((ends[1] - ends[0]) @ axes)  # along V2 and V3
    one, other, again, another = offs
    assert_allclose(again, one, atol=1e-5)
    assert_allclose(another, other, atol=1e-5)
    assert np.abs(one - other).max() > 0.01
    size = np.abs(offs).max()
    assert 0.02 < size < 0.3
    still = replace(observation, placement_error=0.0)
    assert placed(still, frames[0], truth) is truth
