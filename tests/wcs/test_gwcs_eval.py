"""gWCS read and evaluated without gwcs, against gwcs."""

import io
import re
import subprocess
import sys
from functools import reduce
from operator import or_

import asdf
import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import FK5, ICRS
from astropy.io import fits
from astropy.modeling import Model, models
from gwcs import WCS, FITSImagingWCSTransform, coordinate_frames
from gwcs.geometry import CartesianToSpherical, SphericalToCartesian
from hypothesis import given, settings
from hypothesis import strategies as st
from stdatamodels import asdf_in_fits

from agreement import agree, content
from snakewebb.errors import InputError
from snakewebb.io.asdf_tree import created
from snakewebb.simulate.apertures import Pointing, apertures, make_wcs, wcsinfo
from snakewebb.wcs.geometry import Correction
from snakewebb.wcs.grid import Grid
from snakewebb.wcs.gwcs_eval import read_tree, tangent_point
from snakewebb.wcs.gwcs_library import corrected_wcs, pixel_to_sky
from snakewebb.wcs.gwcs_transforms import UnknownWCS
from snakewebb.wcs.gwcs_yaml import grid_wcs
from snakewebb.wcs.sampling import read_sky

TWICE = models.Mapping((0, 1, 0, 1))
BOX = ((-0.5, 99.5), (3.5, 49.5))


WORLD = coordinate_frames.CelestialFrame(reference_frame=ICRS(), unit=(u.deg, u.deg))


def wcs_of(*transforms: Model, world: object = WORLD) -> WCS:
    """Return a gWCS of steps."""
    frames = [coordinate_frames.Frame2D(name=f"frame{k}") for k in range(len(transforms))]
    wcs = WCS([*zip(frames, transforms, strict=True), (world, None)])
    wcs.bounding_box = BOX
    return wcs


# --- whole gWCS -----------------------------------------------------------------------------------


def pointed(aperture):
    info = wcsinfo(aperture, Pointing(311.0, -40.0, 77.0, aperture.v2_ref + 30, aperture.v3_ref))
    return make_wcs(aperture, info, start=(1, 1), size=aperture.size, va_scale=0.99995), info


def test_every_aperture():
    for aperture in apertures().values():
        wcs, _ = pointed(aperture)
        agree(wcs)


@pytest.mark.parametrize("moving_target", [False, True])
def test_corrected_pointings(moving_target):
    wcs, info = pointed(apertures()["NRCA1_FULL"])
    correction = Correction(311.05, -39.9, ((1.0, 2e-4), (-2e-4, 1.0)), (0.3, -1.2))
    for _ in range(2):
        wcs = corrected_wcs(wcs, correction, info, moving_target=moving_target)
        agree(wcs)


def test_mosaics_of_older_versions():
    # jwst 1.x wrote a chain of transforms where now stands one of its own kind
    old = (
        models.Shift(-50.0) & models.Shift(-30.0)
        | models.AffineTransformation2D([[-0.1, -0.9], [-0.9, 0.1]])
        | models.Scale(3e-5) & models.Scale(3e-5)
        | models.Pix2Sky_TAN()
        | models.RotateNative2Celestial(83.8, -5.4, 180.0)
    )
    wcs = wcs_of(old)
    agree(wcs)


def test_real_pixels(real_data):
    paths = sorted((real_data / "ceers_wcs").glob("*_02201_00001_*.asdf"))
    assert len(paths) == 10
    for path in paths:
        with asdf.open(path) as file:
            agree(file["wcs"], path.read_bytes().replace(b"\nwcs:", b"\nmeta:\n wcs:"))


@pytest.mark.parametrize("folder", ["aumic_f356w", "miri_i2d_orion"])
def test_real_files(real_data, folder):
    paths = sorted((real_data / folder).glob("*.fits"))
    assert paths
    for path in paths:
        with fits.open(path) as hdus, asdf_in_fits.open(hdus) as file:
            agree(file["meta"]["wcs"], hdus["ASDF"].data.tobytes())


# --- transforms -----------------------------------------------------------------------------------

numbers = st.floats(-3, 3, allow_subnormal=False)
factors = st.floats(0.5, 2) | st.floats(-2, -0.5)


@st.composite
def polynomials(draw):
    model = models.Polynomial2D(
        draw(st.integers(1, 5)),
        x_domain=(-10.0, 200.0),
        y_domain=draw(st.sampled_from([(-1, 1), (0, 150)])),
        x_window=draw(st.sampled_from([(-1, 1), (-0.5, 2.5)])),
    )
    size = len(model.parameters)
    model.parameters = draw(st.lists(numbers, min_size=size, max_size=size))
    return model


@st.composite
def linear(draw):
    kind = draw(st.sampled_from(["shift", "scale", "swap", "affine"]))
    if kind == "shift":
        return models.Shift(draw(numbers)) & (models.Shift(draw(numbers)) | models.Identity(1))
    if kind == "scale":
        return models.Scale(draw(factors)) & models.Scale(draw(factors))
    if kind == "swap":
        return models.Identity(2) | models.Mapping((1, 0))
    matrix = [[1.0, draw(numbers)], [0.0, draw(factors)]]
    return models.AffineTransformation2D(matrix, [draw(numbers), draw(numbers)])


@st.composite
def distortions(draw):
    bent = TWICE | draw(polynomials()) & draw(polynomials())
    bent.inverse = TWICE | draw(polynomials()) & draw(polynomials())
    return bent


@settings(max_examples=20, deadline=None)
@given(
    st.lists(numbers, min_size=1, max_size=5),
    st.lists(numbers, min_size=1, max_size=4),
    st.sampled_from([(-1, 1), (0.0, 150.0)]),
    st.sampled_from([(-1, 1), (-0.5, 2.5)]),
)
def test_polynomials_of_one_axis_are_astropys(first, second, domain, window):
    one, other = (
        models.Polynomial1D(len(c) - 1, domain=domain, window=window) for c in (first, second)
    )
    one.parameters, other.parameters = first, second
    columns_and_rows = one & other
    columns_and_rows.inverse = other & one
    wcs = wcs_of(columns_and_rows)
    ours, theirs = read_tree(content(wcs)), pixel_to_sky(wcs)
    x, y = np.meshgrid(np.linspace(-3, 99, 5), np.linspace(0, 60, 4))
    for got, expected in (
        (ours.forward(x, y), theirs.forward(x, y)),
        (ours.inverse(x, y), theirs.inverse(x, y)),
    ):
        scale = max(np.abs(expected).max(), 1.0)
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12 * scale)


@settings(max_examples=15, deadline=None)
@given(
    st.tuples(st.floats(0, 360, exclude_max=True), st.floats(-80, 80)),
    st.tuples(numbers, numbers),
    st.tuples(factors, factors),
    st.floats(0, 6.28),
)
def test_projections_of_fits_are_gwcss(crval, crpix, scales, turn):
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    made = FITSImagingWCSTransform(
        models.Pix2Sky_TAN(), crpix=crpix, crval=crval, cdelt=np.array(scales) * 1e-4, pc=rotation
    )
    wcs = wcs_of(made)
    text = content(wcs)
    agree(wcs, text)
    assert tangent_point(text, "meta.wcs") == crval


@settings(max_examples=40, deadline=None)
@given(before=st.lists(linear(), max_size=3), bent=distortions(), after=linear())
def test_planes_are_astropys(before, bent, after):
    wcs = wcs_of(reduce(or_, [*before, bent]), after)
    ours, theirs = read_tree(content(wcs)), pixel_to_sky(wcs)
    x, y = np.meshgrid(np.linspace(-3, 99, 5), np.linspace(0, 60, 4))
    for got, expected in (
        (ours.forward(x, y), theirs.forward(x, y)),
        (ours.inverse(x, y), theirs.inverse(x, y)),
    ):
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("wrap", [180, 360])
@pytest.mark.parametrize("axes", ["xz", "zyx", "zyxyz"])
def test_spheres_are_astropys(axes, wrap):
    angles = [10.0, -200.0, 77.0, 3.0, -91.0][: len(axes)]
    # through a plane that touches the sphere at its x axis, as tweakwcs goes
    from_sphere = (
        SphericalToCartesian(wrap_lon_at=180)
        | models.Mapping((0, 1, 2)) / models.Mapping((0, 0, 0), n_inputs=3)
        | models.Mapping((1, 2), n_inputs=3)
    )
    to_sphere = (
        models.Mapping((0, 0, 1))
        | models.Const1D(1.0) & models.Identity(2)
        | models.RotationSequence3D(angles, axes)
        | CartesianToSpherical(wrap_lon_at=wrap)
    )
    through = from_sphere | to_sphere
    through.inverse = models.Shift(0.5) & models.Shift(0.5)
    agree(wcs_of(models.Scale(0.1) & models.Scale(0.2), through))


# --- what is left to gwcs -------------------------------------------------------------------------

PLANE = models.Shift(1.0) & models.Shift(2.0)
BENT = TWICE | models.Polynomial2D(1, c1_0=0.1) & models.Polynomial2D(1, c0_1=0.1)


@pytest.mark.parametrize(
    "transform",
    [
        models.Rotation2D(30.0),
        PLANE | models.Shift(1.0 * u.pix) & models.Shift(2.0 * u.pix),
        models.EulerAngleRotation(1.0, 2.0, 3.0, "xyz"),
        models.SphericalRotationSequence([1.0, 2.0], "xy"),
        models.Pix2Sky_SIN() | models.RotateNative2Celestial(1.0, 2.0, 180.0),
        TWICE | models.Chebyshev2D(1, 1) & models.Chebyshev2D(1, 1),
    ],
    ids=lambda model: model.__class__.__name__,
)
def test_what_is_not_known(transform):
    with pytest.raises(UnknownWCS):
        read_tree(content(wcs_of(transform)))


FRAMES = {
    "another system": (FK5(), (u.deg, u.deg), (0, 1)),
    "other units": (ICRS(), (u.arcsec, u.arcsec), (0, 1)),
    "another order": (ICRS(), (u.deg, u.deg), (1, 0)),
}


@pytest.mark.parametrize("kind", FRAMES)
def test_other_frames_than_of_ra_and_dec(tmp_path, kind):
    system, unit, order = FRAMES[kind]
    frame = coordinate_frames.CelestialFrame(
        reference_frame=system, unit=unit, axes_order=order, name="world"
    )
    wcs = wcs_of(PLANE, world=frame)
    with pytest.raises(UnknownWCS):
        read_tree(content(wcs))
    with pytest.raises(InputError, match=r"a\.fits: its gWCS leads to world, which is not RA and"):
        read_sky(written(tmp_path / "a.fits", wcs))


def test_frames_that_are_just_names():
    agree(WCS([("detector", PLANE), ("world", None)]))


def test_coordinates_that_are_not_two(tmp_path):
    wcs = WCS([("detector", PLANE & models.Scale(2.0)), ("world", None)])
    with pytest.raises(InputError, match="leads from 3 coordinates to 3: give one of an image"):
        read_sky(written(tmp_path / "a.fits", wcs))


def test_a_way_without_a_way_back():
    agree(wcs_of(BENT))
    assert read_tree(content(wcs_of(BENT))).inverse is None


EDITS = {
    "a new major version": (r"shift-1\.", "shift-2."),
    "a key more": (r"offset: 1\.0", "offset: 1.0\n          base: 2.0"),
    "text for a number": (r"offset: 1\.0", "offset: one"),
    "true for a number": (r"offset: 1\.0", "offset: true"),
    "more inputs": (r"inputs: \[x\]", "inputs: [x, y]"),
    "an ignored axis": (r"ignore: \[\]", "ignore: [x0]"),
    "an unknown frame": (r"transform: null", "transform: 3"),
    "broken YAML": (r"inputs: \[x\]", "inputs: [x"),
    "no WCS": (r"wcs: !", "other: !"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_what_is_not_as_it_should_be(edit):
    text = content(wcs_of(PLANE)).decode()
    assert read_tree(text.encode()).forward(1.0, 1.0) == (2.0, 3.0)
    changed_text = re.sub(*EDITS[edit], text, count=1)
    assert changed_text != text
    with pytest.raises(UnknownWCS):
        read_tree(changed_text.encode())


@pytest.mark.parametrize(
    "storage", [{"all_array_storage": "inline"}, {"all_array_compression": "zlib"}]
)
def test_arrays_stored_otherwise(storage):
    wcs, _ = pointed(apertures()["NRCA1_FULL"])
    agree(wcs, content(wcs, **storage))


def test_arrays_that_are_cut_short():
    text = content(pointed(apertures()["NRCA1_FULL"])[0]).partition(b"#ASDF BLOCK INDEX")[0]
    read_tree(text)
    for missing in (1, 200, 1000):
        with pytest.raises(UnknownWCS):
            read_tree(text[:-missing])


def test_bounding_boxes_of_older_versions():
    text = content(wcs_of(PLANE)).decode()
    (x0, x1), (y0, y1) = BOX
    old = re.sub(
        "bounding_box: !.*?order: F",
        f"bounding_box: [[{y0}, {y1}], [{x0}, {x1}]]",
        text,
        flags=re.DOTALL,
    )
    assert read_tree(old.encode()).bounding_box == BOX
    with asdf.open(io.BytesIO(old.encode())) as file:
        assert pixel_to_sky(file["meta"]["wcs"]).bounding_box == BOX
    wcs = wcs_of(PLANE)
    wcs.bounding_box = None
    assert read_tree(content(wcs)).bounding_box is None


def written(path, wcs):
    tree = np.frombuffer(content(wcs), np.uint8)
    column = fits.Column("ASDF_METADATA", f"{len(tree)}B", array=[tree])
    table = fits.BinTableHDU.from_columns([column], name="ASDF")
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(path)
    return path


def test_older_versions_name_no_inputs_and_leave_out_what_is_none():
    text = content(wcs_of(PLANE)).decode()
    without = re.sub(r"inputs: \[x\]\n *(?=offset)", "", text)
    without = re.sub(r" *transform: null\n", "", without)
    assert len(without) < len(text) - 40
    assert read_tree(without.encode()).forward(1.0, 1.0) == (2.0, 3.0)


def test_mosaics_of_today(tmp_path):
    grid = Grid((80.0, -30.0), (20.0, 10.0), 1e-5, ((-1.0, 0.0), (0.0, 1.0)), (50, 100))
    with asdf.open(io.BytesIO(created({"wcs": grid_wcs(grid)})), lazy_load=False) as file:
        wcs = file["wcs"]
    agree(wcs)
    sky = read_sky(written(tmp_path / "grid.fits", wcs))
    np.testing.assert_allclose(sky.forward(3.0, 4.0), grid.pixel_to_sky(3.0, 4.0), rtol=1e-14)
    assert sky.bounding_box == ((-0.5, 99.5), (-0.5, 49.5))


def test_gwcs_is_asked_where_needed(tmp_path):
    turned = PLANE | models.Rotation2D(30.0) | models.Scale(1e-3) & models.Scale(1e-3)
    sky = read_sky(written(tmp_path / "a.fits", wcs_of(turned)))
    np.testing.assert_allclose(sky.forward(3.0, 4.0), turned(3.0, 4.0), rtol=1e-14)
    assert sky.bounding_box == BOX


def test_nothing_heavy_is_imported(tmp_path, repo):
    wcs, _ = pointed(apertures()["MIRIM_FULL"])
    code = f"""
import sys
import snakewebb.sources.star_finders
from snakewebb.wcs.sampling import read_sky
read_sky({str(written(tmp_path / "a.fits", wcs))!r})
print(*{{"asdf", "astropy.modeling", "astropy.table", "gwcs", "scipy.linalg"}} & set(sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(repo / "lib")},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == []
