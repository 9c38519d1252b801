import asdf
import numpy as np
import pytest
from gwcs import WCS

from agreement import agree
from snakewebb.io.asdf_tree import AsdfTree, created
from snakewebb.simulate.apertures import Pointing, apertures, imaging_aperture, make_wcs, wcsinfo
from snakewebb.wcs import gwcs_library as gwcs_module
from snakewebb.wcs import gwcs_yaml
from snakewebb.wcs.geometry import Correction
from snakewebb.wcs.grid import output_grid
from snakewebb.wcs.gwcs_eval import read_tree
from snakewebb.wcs.output_wcs import read_grid
from snakewebb.wcs.pixel_map import PixelMap
from snakewebb.wcs.sampling import geometry_of, map_error
from snakewebb.wcs.sphere import to_plane

KEYS = ("v2_ref", "v3_ref", "roll_ref", "ra_ref", "dec_ref", "v3yangle", "vparity")


def simulated(detector):
    aperture = imaging_aperture(detector)
    return (*located(aperture), tuple(aperture.size[::-1]))


def located(aperture):
    pointing = Pointing(150.0, -40.0, 77.0, aperture.v2_ref + 30, aperture.v3_ref)
    info = wcsinfo(aperture, pointing)
    wcs = make_wcs(aperture, info, start=aperture.start, size=aperture.size, va_scale=0.99995)
    return wcs, {key: info[key] for key in KEYS}


@pytest.mark.parametrize("detector", ["NRCALONG", "NRCA3", "MIRIMAGE", "NIS"])
def test_pixel_maps_are_exact_enough(detector):
    wcs, info, shape = simulated(detector)
    sky = gwcs_module.pixel_to_sky(wcs)
    geometry = geometry_of(sky, shape, info, detector)
    assert map_error(sky, geometry) < 1e-4
    grid = output_grid({"a": geometry})
    rng = np.random.default_rng(2)
    (x0, x1), (y0, y1) = geometry.bounding_box
    x, y = np.sort(rng.uniform(x0, x1, 40)), np.sort(rng.uniform(y0, y1, 30))
    u, v = PixelMap(geometry, grid).lattice(x, y)
    sky = wcs(*np.meshgrid(x, y))
    expected_u, expected_v = grid.sky_to_pixel(np.asarray(sky[0]), np.asarray(sky[1]))
    assert np.hypot(u - expected_u, v - expected_v).max() < 1e-4


def test_pixel_maps_of_real_exposures(real_data):
    errors = []
    for path in sorted((real_data / "ceers_wcs").glob("*.asdf")):
        tree = path.read_bytes().replace(b"\nwcs:", b"\nmeta:\n wcs:")
        sky, wcsinfo = read_tree(tree), AsdfTree(tree).value("wcsinfo")
        info = {key: wcsinfo[key] for key in KEYS}
        errors.append(map_error(sky, geometry_of(sky, (2048, 2048), info, path.name)))
    assert len(errors) == 120
    assert max(errors) < 1e-4


@pytest.mark.parametrize("moving_target", [False, True])
@pytest.mark.parametrize("times", [1, 2])
def test_correction_in_the_gwcs_is_that_of_the_geometry(moving_target, times):
    wcs, info, shape = simulated("NRCALONG")
    geometry = geometry_of(gwcs_module.pixel_to_sky(wcs), shape, info, "a")
    correction = Correction(150.05, -39.9, ((1.0, 2e-4), (-2e-4, 1.0)), (0.3, -1.2))
    for _ in range(times):
        geometry = geometry.corrected(correction)
        wcs = gwcs_module.corrected_wcs(wcs, correction, info, moving_target=moving_target)
    frame = "moving_target" if moving_target else "v2v3corr"
    assert frame in wcs.available_frames
    ra, dec = wcs(*np.meshgrid(geometry.x_nodes, geometry.y_nodes), with_bounding_box=False)
    xi, eta = to_plane(np.asarray(ra), np.asarray(dec), 150.0, -40.0)
    expected = to_plane(geometry.ra, geometry.dec, 150.0, -40.0)
    np.testing.assert_allclose((xi, eta), expected, atol=1e-6)
    x, _ = wcs.invert(ra[3, 4], dec[3, 4], with_bounding_box=False)
    assert abs(x - geometry.x_nodes[4]) < 0.1
    assert wcs.bounding_box is not None


def test_real_gwcs_that_were_adjusted_before_are_corrected(real_data):
    paths = sorted((real_data / "ceers_wcs").glob("*.asdf"))[::40]
    for path in paths:
        with asdf.open(path, lazy_load=False) as file:
            wcs, info = file["wcs"], dict(file["wcsinfo"])
        assert "v2v3corr" in wcs.available_frames
        correction = Correction(info["ra_ref"], info["dec_ref"], SHIFT.matrix, SHIFT.shift)
        x, y = np.meshgrid(np.linspace(0, 2047, 5), np.linspace(0, 2047, 4))
        sky = correction.apply(*map(np.asarray, wcs(x, y)))
        made = gwcs_module.corrected_wcs(wcs, correction, info)(x, y)
        np.testing.assert_allclose(made, sky, rtol=0, atol=1e-10)
    assert len(paths) == 3


def renamed(wcs):
    """Return a corrected gWCS as another tweakwcs may have made it."""
    steps = [(step.frame, step.transform) for step in wcs.pipeline]
    at = wcs.available_frames.index("v2v3corr") - 1
    correction = steps[at][1].copy()
    correction.name = "TPCorr"
    steps[at] = steps[at][0], correction
    return WCS(steps)


SHIFT = Correction(150.05, -39.9, ((1.0, 2e-4), (-2e-4, 1.0)), (0.3, -1.2))
ADJUSTED = {
    "two frames": lambda wcs, _: WCS([("detector", wcs.forward_transform), ("world", None)]),
    "a correction": lambda wcs, info: gwcs_module.corrected_wcs(wcs, SHIFT, info),
    "another correction": lambda wcs, info: renamed(gwcs_module.corrected_wcs(wcs, SHIFT, info)),
    "a target's mean": lambda wcs, info: gwcs_module.corrected_wcs(
        wcs, SHIFT, info, moving_target=True
    ),
    "no bounding box": lambda wcs, _: WCS(
        [(s.frame, s.transform.copy()) for s in wcs.pipeline[:-1]] + [wcs.pipeline[-1]]
    ),
}


@pytest.mark.parametrize("numbers", [{}, {"v2_ref": -90, "v3_ref": -491}])
@pytest.mark.parametrize("kind", ADJUSTED)
def test_gwcs_that_were_adjusted_before_are_corrected(kind, numbers):
    wcs, info, shape = simulated("NRCBLONG")
    wcs, info = ADJUSTED[kind](wcs, info), info | numbers
    if kind == "no bounding box":
        wcs.bounding_box = None
    before = gwcs_module.pixel_to_sky(wcs)
    for times in (1, 2):
        wcs = gwcs_module.corrected_wcs(wcs, SHIFT, info)
        x, y = np.meshgrid(np.linspace(0, shape[1], 5), np.linspace(0, shape[0], 4))
        sky = before.forward(x, y)
        for _ in range(times):
            sky = SHIFT.apply(*map(np.asarray, sky))
        after = gwcs_module.pixel_to_sky(wcs)
        np.testing.assert_allclose(
            to_plane(*map(np.asarray, after.forward(x, y)), 150.0, -40.0),
            to_plane(*sky, 150.0, -40.0),
            atol=1e-6,
        )
        assert after.bounding_box == before.bounding_box
        if after.bounding_box:
            agree(wcs)


def written(path, grid):
    """Return the gWCS of a grid, which is in a file now."""
    path.write_bytes(created({"wcs": gwcs_yaml.grid_wcs(grid)}))
    with asdf.open(path, lazy_load=False) as file:
        return file["wcs"]


def test_grid_wcs_and_back(tmp_path):
    wcs, info, shape = simulated("MIRIMAGE")
    grid = output_grid(
        {"a": geometry_of(gwcs_module.pixel_to_sky(wcs), shape, info, "a")}, rotation=20.0
    )
    path = tmp_path / "grid.asdf"
    made = written(path, grid)
    x, y = np.array([0.0, 500.0]), np.array([900.0, 3.0])
    np.testing.assert_allclose(made(x, y), grid.pixel_to_sky(x, y), atol=1e-10)
    np.testing.assert_allclose(made.invert(*made(x, y)), [x, y], atol=1e-6)
    back = read_grid(path, grid.cdelt / 2)
    assert back.shape == grid.shape
    assert back.pixel_scale_ratio == pytest.approx(2.0)
    np.testing.assert_allclose(back.pixel_to_sky(x, y), grid.pixel_to_sky(x, y), atol=1e-9)


def test_sip_header_follows_the_gwcs():
    from astropy.io import fits
    from astropy.wcs import WCS

    wcs, *_ = simulated("NRCALONG")
    header = fits.Header(gwcs_module.sip_keywords(wcs, {"crpix1": 1024.5, "crpix2": 1024.5}))
    x, y = np.meshgrid(np.linspace(0, 2047, 9), np.linspace(0, 2047, 9))
    ra, dec = WCS(header, fix=False).all_pix2world(x, y, 0)
    xi, eta = to_plane(ra, dec, 150.0, -40.0)
    expected = to_plane(*map(np.asarray, wcs(x, y)), 150.0, -40.0)
    assert np.abs(np.subtract((xi, eta), expected)).max() < 0.02 * 0.063


def test_every_aperture_has_a_geometry():
    for name, aperture in apertures().items():
        wcs, info = located(aperture)
        geometry = geometry_of(gwcs_module.pixel_to_sky(wcs), aperture.size[::-1], info, name)
        assert np.isfinite(geometry.ra).all()
