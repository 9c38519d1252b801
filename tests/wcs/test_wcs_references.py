"""gWCS as the reference pipeline makes them of real DISTORTION and FILTEROFFSET files."""

import asdf
import numpy as np
import pytest
from astropy.modeling import models
from gwcs import WCS

from agreement import agree, content
from snakewebb.simulate.apertures import Pointing, imaging_aperture, make_wcs, wcsinfo
from snakewebb.wcs.geometry import Correction
from snakewebb.wcs.gwcs_eval import read_transform, read_tree
from snakewebb.wcs.gwcs_library import corrected_wcs, pixel_to_sky
from snakewebb.wcs.sampling import find_pixel, geometry_of

DISTORTIONS = {
    "jwst_miri_imager_distortion_flt9": "MIRIMAGE",
    "jwst_miri_distortion_0028": "MIRIMAGE",
    "jwst_nircam_distortion_0090": "NRCALONG",
    "jwst_nircam_distortion_0096": "NRCBLONG",
    "jwst_niriss_distortion_0010": "NIS",
    "niriss_ref_distortion": "NIS",
}
TURNED = (1.0001, 2e-4), (-2e-4, 1.0001)
# of a file's inverse, which is a polynomial of its own: MIRI's is off by a tenth of a pixel
ROUND_TRIP = 0.2


@pytest.fixture(params=DISTORTIONS)
def reference(request, real_data):
    """A DISTORTION file and its detector."""
    path = real_data / "references" / f"{request.param}.asdf"
    if not path.exists():
        pytest.skip("no such reference file here")
    return path, DISTORTIONS[request.param]


@pytest.fixture
def miri(real_data):
    """The DISTORTION file of MIRI in flight and its detector."""
    return real_data / "references" / "jwst_miri_imager_distortion_flt9.asdf", "MIRIMAGE"


def model_of(path):
    with asdf.open(path, lazy_load=False) as file:
        return file["model"]


def assigned(path, detector, *, start=(1, 1), size=None, offset=(-0.08, -0.06), va_scale=0.99995):
    """Return a gWCS as assign_wcs makes it, and its wcsinfo."""
    aperture = imaging_aperture(detector)
    info = wcsinfo(aperture, Pointing(150.0, -40.0, 77.0, aperture.v2_ref, aperture.v3_ref))
    wcs = make_wcs(
        aperture, info, start=start, size=size or aperture.size, va_scale=va_scale or 1.0
    )
    shifts = models.Shift(offset[0]) & models.Shift(offset[1])
    first = shifts | model_of(path)
    if start != (1, 1):
        first = models.Identity(1) & models.Shift(start[1] - 1.0) | first
    (detector, _), *others = [(step.frame, step.transform) for step in wcs.pipeline]
    if va_scale is None:
        others[0] = others[0][0], models.Identity(2)
    made = WCS([(detector, first), *others])
    nx, ny = size or aperture.size
    made.bounding_box = (-0.5, nx - 0.5), (-0.5, ny - 0.5)
    return made, info


def test_distortions_are_read_as_asdf_does(reference):
    path, _ = reference
    ours, theirs = read_transform(path.read_bytes(), "model"), model_of(path)
    x, y = np.meshgrid(np.linspace(0, 1031, 9), np.linspace(0, 1023, 8))
    plane = theirs(x, y)
    np.testing.assert_allclose(ours.forward(x, y), plane, rtol=1e-13)
    np.testing.assert_allclose(ours.inverse(*plane), theirs.inverse(*plane), rtol=0, atol=1e-8)
    assert np.hypot(*np.subtract(ours.inverse(*plane), (x, y))).max() < ROUND_TRIP


def test_exposures_are_read_without_gwcs(reference):
    wcs, _ = assigned(*reference)
    agree(wcs, content(wcs, "1.5.0"))


@pytest.mark.parametrize("kind", [{"va_scale": None}, {"start": (1, 245), "size": (288, 224)}])
def test_so_are_others_of_miri(miri, kind):
    agree(assigned(*miri, **kind)[0])


@pytest.mark.parametrize("moving_target", [False, True])
def test_so_are_corrected_ones(miri, moving_target):
    wcs, info = assigned(*miri)
    correction = Correction(150.0, -40.0, TURNED, (0.3, -1.2))
    for _ in range(2):
        wcs = corrected_wcs(wcs, correction, info, moving_target=moving_target)
        agree(wcs)


def test_the_way_back_is_found_where_a_file_has_none(miri):
    wcs, info = assigned(*miri)
    text = content(wcs)
    known = read_tree(text)
    (x0, x1), (y0, y1) = known.bounding_box
    for x, y in ((x0, y0), (700.0, 3.5), (x1, y1)):
        found = find_pixel(known, *known.forward(x, y), (512.0, 512.0))
        np.testing.assert_allclose(found, (x, y), rtol=0, atol=1e-5)
    shape = int(y1 + 0.5), int(x1 + 0.5)
    first = WCS([(wcs.pipeline[0].frame, one_way(wcs.pipeline[0].transform)), *wcs.pipeline[1:]])
    first.bounding_box = wcs.bounding_box
    blind = read_tree(content(first))
    assert blind.inverse is None
    assert pixel_to_sky(first).inverse is None
    scales = [geometry_of(sky, shape, info, "a").pixel_scale for sky in (known, blind)]
    assert scales[0] == pytest.approx(scales[1], rel=1e-6)


def one_way(transform):
    """Return a transform without an inverse."""
    twice = models.Mapping((0, 1, 0, 1))
    plain = models.Polynomial2D(1, c1_0=1.0) & models.Polynomial2D(1, c0_1=1.0)
    return twice | plain | transform


def test_all_reference_files_here_are_known(real_data):
    paths = (real_data / "references").glob("*distortion*.asdf")
    assert {path.stem for path in paths} == set(DISTORTIONS)
