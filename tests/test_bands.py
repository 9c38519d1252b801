from itertools import pairwise

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from snakewebb.bands import read_band, read_rows, replacing, write_band
from snakewebb.errors import InputError

NY, NX = 23, 7
MOSAIC = np.arange(NY * NX, dtype=np.float32).reshape(NY, NX)
CONTEXT = np.stack((np.full((NY, NX), 1 << 31, np.uint32), np.ones((NY, NX), np.uint32)))


def cut(folder, edges):
    """Write the mosaic in bands with the given edges."""
    paths = []
    for number, (start, stop) in enumerate(pairwise(edges)):
        paths.append(folder / f"band_{number}.fits")
        planes = {"sci": MOSAIC[start:stop], "CON": CONTEXT[:, start:stop], "WHT": None}
        write_band(paths[-1], planes, start)
    return paths


def test_a_band_comes_back_as_it_was(tmp_path):
    start, planes = read_band(cut(tmp_path, [0, 10, NY])[1])
    assert start == 10
    assert set(planes) == {"SCI", "CON"}
    assert_array_equal(planes["SCI"], MOSAIC[10:])
    assert_array_equal(planes["CON"].view(np.uint32), CONTEXT[:, 10:])
    for plane in planes.values():
        assert plane.dtype.isnative
        assert plane.flags.c_contiguous


@given(
    cuts=st.lists(st.integers(0, NY), max_size=6),
    rows=st.tuples(st.integers(0, NY), st.integers(0, NY)).filter(lambda ends: ends[0] < ends[1]),
)
@settings(deadline=None, max_examples=40)
def test_rows_do_not_depend_on_the_bands(tmp_path_factory, cuts, rows):
    paths = cut(tmp_path_factory.mktemp("bands"), [0, *sorted(cuts), NY])
    assert_array_equal(read_rows(paths, "SCI", *rows), MOSAIC[slice(*rows)])
    context = read_rows(paths, "CON", *rows)
    assert_array_equal(context.view(np.uint32), CONTEXT[:, slice(*rows)])


def test_bands_that_hold_none_of_the_rows_can_be_left_out(tmp_path):
    paths = cut(tmp_path, [0, 5, 10, 15, NY])
    assert_array_equal(read_rows(paths[1:3], "SCI", 6, 14), MOSAIC[6:14])


def test_missing_rows_are_told(tmp_path):
    paths = cut(tmp_path, [0, 5, 10, NY])
    with pytest.raises(InputError, match="rows 5 to 12 are in none of 2 band files"):
        read_rows([paths[0], paths[2]], "SCI", 2, 12)
    with pytest.raises(InputError, match="rows 23 to 24"):
        read_rows(paths, "SCI", 2, NY + 1)


def test_a_file_that_is_no_band_is_told(tmp_path):
    fits.PrimaryHDU(MOSAIC).writeto(tmp_path / "image.fits")
    with pytest.raises(InputError, match=r"image\.fits: is no band"):
        read_band(tmp_path / "image.fits")
    with pytest.raises(InputError, match="has no plane WHT"):
        read_rows(cut(tmp_path, [0, NY]), "WHT", 0, 1)


def test_a_band_cut_short_is_told(tmp_path):
    path = cut(tmp_path, [0, NY])[0]
    path.write_bytes(path.read_bytes()[: 4 * 2880 + 100])
    with pytest.raises(InputError, match="is cut short"):
        read_band(path)


def test_an_interrupted_file_never_has_its_name(tmp_path):
    target = tmp_path / "product.fits"

    def interrupt():
        with replacing(target) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt()
    assert list(tmp_path.iterdir()) == []
    target.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        interrupt()
    assert list(tmp_path.iterdir()) == [target]
    assert target.read_bytes() == b"old"
    with replacing(target) as file:
        file.write(b"new")
        assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]
    assert target.read_bytes() == b"new"
