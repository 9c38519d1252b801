import numpy as np
import pytest
from astropy.io import fits

from snakewebb.errors import InputError
from snakewebb.references.subarrays import Subarray, cut_out, subarray_of


def write(path, shape, **header):
    primary = fits.PrimaryHDU()
    primary.header.update(header)
    fits.HDUList([primary, fits.ImageHDU(np.zeros(shape, np.int16), name="SCI")]).writeto(path)
    return path


def test_a_window_is_where_one_is_in_the_other():
    outer, inner = Subarray(11, 21, 40, 30), Subarray(13, 26, 5, 7)
    image = np.arange(40 * 30).reshape(30, 40)
    rows, columns = outer.window(inner)
    assert image[rows, columns].shape == (7, 5)
    assert image[rows, columns][0, 0] == 5 * 40 + 2
    assert outer.window(outer) == (slice(0, 30), slice(0, 40))


@pytest.mark.parametrize(
    "inner", [(10, 21, 40, 30), (11, 20, 40, 30), (12, 21, 40, 30), (11, 22, 40, 30)]
)
def test_there_is_no_window_beyond_the_edges(inner):
    assert Subarray(11, 21, 40, 30).window(Subarray(*inner)) is None


def test_a_union_holds_both():
    assert Subarray(11, 21, 40, 30).union(Subarray(5, 30, 10, 40)) == (5, 21, 46, 49)


@pytest.mark.parametrize("shape", [(2048, 2048), (1024, 1032)])
def test_a_whole_detector_needs_no_corner(tmp_path, shape):
    assert subarray_of(write(tmp_path / "a.fits", shape)) == (1, 1, shape[1], shape[0])


def test_a_corner_is_read(tmp_path):
    path = write(tmp_path / "a.fits", (3, 30, 40), SUBSTRT1=11, SUBSTRT2=21, SUBSIZE1=99)
    assert subarray_of(path) == (11, 21, 40, 30)
    assert cut_out(path, Subarray(12, 21, 3, 4), "") == (slice(0, 4), slice(1, 4))
    with pytest.raises(InputError, match=r"has 40 × 30 pixels at \(11, 21\), the exposure .*: do"):
        cut_out(path, Subarray(12, 21, 40, 30), "do something")


@pytest.mark.parametrize("header", [{}, {"SUBSTRT1": 1}, {"SUBSTRT1": 1, "SUBSTRT2": 0}])
def test_what_cannot_be_placed_is_told(tmp_path, header):
    with pytest.raises(InputError, match=r"SUBSTRT2.*mend its header"):
        subarray_of(write(tmp_path / "a.fits", (30, 40), **header))
