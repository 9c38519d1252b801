import threading

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from snakewebb.errors import InputError
from snakewebb.io.atomic import replacing
from snakewebb.io.bands import MEMORY, cut_rows, in_order, read_window, write_rows

NY, NX = 23, 7
IMAGE = np.arange(NY * NX, dtype=np.float32).reshape(NY, NX)
IMAGES = np.stack((IMAGE, 2 * IMAGE, -IMAGE), axis=1)


@given(
    cuts=st.lists(st.integers(0, NY), max_size=6),
    rows=st.tuples(st.integers(0, NY), st.integers(0, NY)).filter(lambda ends: ends[0] < ends[1]),
    columns=st.tuples(st.integers(0, NX), st.integers(0, NX)).filter(
        lambda ends: ends[0] <= ends[1]
    ),
)
@settings(deadline=None, max_examples=40)
def test_windows_come_back_however_they_were_written(tmp_path_factory, cuts, rows, columns):
    path = tmp_path_factory.mktemp("bands") / "images.fits"
    write_rows(path, IMAGES.shape, np.split(IMAGES, sorted(cuts)))
    window = slice(*rows), slice(None), slice(*columns)
    read = read_window(path, window[0], window[2])
    assert_array_equal(read, IMAGES[window])
    assert read.dtype == ">f4"
    assert_array_equal(fits.getdata(path), IMAGES)


def test_images_without_rows_are_a_file(tmp_path):
    write_rows(tmp_path / "none.fits", (0, 3, NX), [])
    assert (tmp_path / "none.fits").stat().st_size % 2880 == 0


def test_a_file_cut_short_is_told(tmp_path):
    path = tmp_path / "image.fits"
    write_rows(path, (100, 1, 100), [np.zeros((100, 1, 100), np.float32)])
    path.write_bytes(path.read_bytes()[:20000])
    with pytest.raises(InputError, match=r"image.fits: is cut short"):
        read_window(path, slice(0, 100), slice(0, 100))


@given(height=st.integers(0, 5000), row_bytes=st.floats(1, 1e8), threads=st.integers(1, 64))
@settings(deadline=None)
def test_bands_make_up_the_mosaic_and_fit_in_memory(height, row_bytes, threads):
    bands = cut_rows(height, row_bytes, threads)
    assert [row for band in bands for row in range(height)[band]] == list(range(height))
    for band in bands:
        rows = band.stop - band.start
        assert rows == 1 or rows * row_bytes * threads <= MEMORY * 1.0001 + row_bytes * threads


@pytest.mark.parametrize("threads", [1, 3])
def test_results_come_in_order_and_few_wait(threads):
    begun, lock, most = [], threading.Lock(), 0

    def work(number):
        with lock:
            begun.append(number)
        return number

    for taken, number in enumerate(in_order(work, range(20), threads)):
        assert number == taken
        most = max(most, len(begun) - taken)
    assert most <= (1 if threads == 1 else 2 * threads)


def test_an_error_in_a_thread_is_raised():
    def fail(number):
        raise InputError(f"exposure {number}: is bad: fetch it again")

    with pytest.raises(InputError, match="exposure 0"):
        list(in_order(fail, range(5), 2))


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


def test_a_folder_that_is_not_there_is_named(tmp_path):
    path = tmp_path / "nowhere" / "product.fits"
    with pytest.raises(OSError, match=r"product\.fits: cannot be written"), replacing(path):
        pass
