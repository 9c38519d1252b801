"""What may be wrong with a gWCS, and is told before anything is made of it."""

import numpy as np
import pytest
from astropy.io import fits

from snakewebb.errors import InputError
from snakewebb.io.asdf_tree import created, extension
from snakewebb.wcs.exposure import locate
from snakewebb.wcs.geometry import PixelToSky
from snakewebb.wcs.sampling import corners, find_pixel, geometry_of, read_sky
from snakewebb.wcs.sphere import from_plane, to_plane

INFO = {
    "v2_ref": 80.0, "v3_ref": -490.0, "roll_ref": 10.0, "ra_ref": 150.0, "dec_ref": -40.0,
    "v3yangle": 0.0, "vparity": -1,
}  # fmt: skip
SHAPE = 60, 80
BOX = (-0.5, 79.5), (-0.5, 59.5)


def sky(scale=0.06, box=BOX, inverse=True, bend=lambda x, y: (x, y), ra=150.0):
    """Return an image on the plane that touches the sky in its middle, bent there."""

    def forward(x, y):
        u, v = bend(np.asarray(x, float) - 39.5, np.asarray(y, float) - 29.5)
        return from_plane(-scale * u, scale * v, ra, -40.0)

    def back(ra0, dec0):
        xi, eta = to_plane(np.asarray(ra0), np.asarray(dec0), ra, -40.0)
        return 39.5 - xi / scale, 29.5 + eta / scale

    return PixelToSky(forward, back if inverse else None, box)


def test_a_plain_image():
    geometry = geometry_of(sky(), SHAPE, INFO, "a")
    assert geometry.pixel_scale * 3600 == pytest.approx(0.06)
    assert geometry.bounding_box == BOX
    np.testing.assert_allclose(geometry.corners(), corners(sky(), SHAPE), rtol=1e-14)
    without = geometry_of(sky(box=None, inverse=False), SHAPE, INFO, "a")
    assert without.bounding_box == BOX
    assert without.pixel_scale == pytest.approx(geometry.pixel_scale, rel=1e-9)


def test_pixels_are_found_by_newtons_method():
    bent = sky(inverse=False, bend=lambda x, y: (x + 1e-3 * x * y, y - 5e-4 * x**2))
    ra, dec = bent.forward(70.0, 5.0)
    np.testing.assert_allclose(find_pixel(bent, ra, dec, (39.5, 29.5)), (70.0, 5.0), atol=1e-6)
    assert np.isnan(find_pixel(bent, 330.0, 40.0, (39.5, 29.5))).all()


@pytest.mark.parametrize("inverse", [True, False])
def test_a_reference_point_far_off_does_not_set_the_scale(inverse):
    bent = sky(inverse=inverse, bend=lambda x, y: (x * (1 + 1e-3 * np.abs(x)), y))
    far = INFO | {"ra_ref": 151.5}
    assert geometry_of(bent, SHAPE, far, "a").pixel_scale * 3600 == pytest.approx(0.06, rel=2e-3)


MISTAKES = {
    "no numbers": (sky(bend=lambda x, y: (x * np.nan, y)), "pixels of nan arcsec"),
    "no numbers at an edge": (
        sky(bend=lambda x, y: (np.where(x < 35, x, np.nan), y)), "no finite sky positions"
    ),
    "a line": (sky(bend=lambda x, y: (x, 1e-9 * y)), "pixels of "),
    "a fold": (sky(bend=lambda x, y: (x + 0.02 * x**2, y)), "folds the image"),
    "a step": (sky(bend=lambda x, y: (x + (y > 10.2), y)), "too rough"),
    "degrees for pixels": (sky(scale=3600.0), r"pixels of 3\.6e\+03 arcsec"),
    "micro-arcseconds for pixels": (sky(scale=1e-6), "pixels of 1e-06 arcsec"),
    "a box that is turned": (sky(box=((79.5, -0.5), (-0.5, 59.5))), "the bounding box"),
    "a box beside the image": (sky(box=((80.0, 160.0), (-0.5, 59.5))), "the bounding box"),
    "a box without end": (sky(box=((-0.5, np.inf), (-0.5, 59.5))), "the bounding box"),
    "a box of no numbers": (sky(box=((np.nan, 79.5), (-0.5, 59.5))), "the bounding box"),
    "a box of nothing": (sky(box=((5.0, 5.0), (-0.5, 59.5))), "the bounding box"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes(mistake):
    wrong, words = MISTAKES[mistake]
    with pytest.raises(InputError, match=words) as caught:
        geometry_of(wrong, SHAPE, INFO, "a_cal.fits")
    assert str(caught.value).startswith("a_cal.fits: ")
    assert "\n" not in str(caught.value)


def test_what_libraries_say_is_told_in_one_line():
    def fail(*_):
        raise TypeError("units differ\nsee above")

    broken = PixelToSky(fail, None, BOX)
    with pytest.raises(InputError, match=r"^a: its gWCS cannot be evaluated \(units differ\): run"):
        geometry_of(broken, SHAPE, INFO, "a")


# --- files ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exposure(tmp_path_factory):
    from dataclasses import replace

    from snakewebb.simulate import observation
    from snakewebb.simulate.presets import preset

    folder = tmp_path_factory.mktemp("field")
    field = replace(preset("nircam-f356w", npix=64), stars=5, galaxies=0, cosmic_ray_rate=0.0)
    observation.write(replace(field, dithers=field.dithers[:1]), folder)
    return next(folder.glob("*_cal.fits"))


def edited(source, target, **keywords):
    with fits.open(source) as hdus:
        for hdu in hdus:
            for key, value in keywords.items():
                if key in hdu.header:
                    hdu.header[key] = value
        hdus.writeto(target)
    return target


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"RA_REF": 60.0}, r"RA_REF and DEC_REF are \d+ arcmin off where its gWCS puts the image"),
        ({"DEC_REF": 89.0}, r"RA_REF and DEC_REF are [\d.e+]+ arcmin off"),
        ({"DEC_REF": -91.0}, "DEC_REF is -91.0, no number from -90 to 90"),
        ({"RA_REF": 999.0}, "RA_REF is 999.0, no number from -360 to 360"),
        ({"ROLL_REF": 1e30}, r"ROLL_REF is 1e\+30, no number from -360 to 360"),
        ({"V2_REF": -4000.0}, "V2_REF is -4000.0, no number from -3600 to 3600"),
        ({"VPARITY": 0}, "VPARITY is 0, neither -1 nor 1"),
        ({"VPARITY": 2}, "VPARITY is 2, no number from -1 to 1"),
        ({"VPARITY": True}, "VPARITY is True, no number"),
        ({"V3I_YANG": "north"}, "V3I_YANG is 'north', no number"),
    ],
)
def test_headers_that_contradict_the_gwcs(exposure, tmp_path, keywords, words):
    path = edited(exposure, tmp_path / "a_cal.fits", **keywords)
    with pytest.raises(InputError, match=rf"a_cal\.fits: {words}.*: (run assign_wcs|mend)"):
        locate(path)


def test_moving_targets_may_be_elsewhere_than_their_reference(exposure, tmp_path):
    path = edited(exposure, tmp_path / "a_cal.fits", RA_REF=60.0, TARGTYPE="MOVING")
    known = locate(path)[0].geometry
    same = locate(exposure)[0].geometry
    assert known.pixel_scale == pytest.approx(same.pixel_scale, rel=0.01)


def with_tree(source, target, content):
    with fits.open(source) as hdus:
        del hdus["ASDF"]
        hdus.writeto(target)
    with target.open("ab") as file:
        file.write(extension(content))
    return target


def test_trees_that_asdf_is_not_to_see(exposure, tmp_path, monkeypatch):
    # it would follow them to their end
    from snakewebb.wcs import gwcs_library

    monkeypatch.setattr(gwcs_library, "read_wcs", lambda path: pytest.fail("asdf was asked"))
    deep = b"#ASDF 1.0.0\n#ASDF_STANDARD 1.6.0\n%YAML 1.1\n--- {meta: {wcs: " + b"[" * 250
    deep += b"]" * 250 + b"}}\n...\n"
    path = with_tree(exposure, tmp_path / "a_cal.fits", deep)
    with pytest.raises(InputError, match=r"its gWCS cannot be read \(an ASDF tree deeper than"):
        read_sky(path)


def test_extensions_that_a_tree_names_but_are_not_there(exposure, tmp_path):
    path = tmp_path / "a_cal.fits"
    with fits.open(exposure) as hdus:
        del hdus["VAR_FLAT"]
        hdus.writeto(path)
    x, y = np.array([3.0, 20.0]), np.array([7.0, 11.0])
    np.testing.assert_array_equal(read_sky(path).forward(x, y), read_sky(exposure).forward(x, y))


def test_a_tree_without_a_gwcs(exposure, tmp_path):
    path = with_tree(exposure, tmp_path / "a_cal.fits", created({"meta.filename": "a_cal.fits"}))
    with pytest.raises(InputError, match=r"a_cal\.fits: holds no gWCS \(meta\.wcs\): run"):
        read_sky(path)
