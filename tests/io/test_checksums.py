"""Check sums of files, as astropy sees them."""

import io

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from snakewebb.io.checksums import PIECE, add, checksum_text, make_room, seal, sum_of, write_unit


def written(*hdus):
    """Return the bytes of a file with its sums."""
    make_room(hdu.header for hdu in hdus)
    file = io.BytesIO()
    fits.HDUList(list(hdus)).writeto(file)
    seal(file)
    return file.getvalue()


def check(content):
    """Open a file with astropy's own look at its sums; return them."""
    with fits.open(io.BytesIO(content), checksum=True) as hdus:  # a warning is an error
        for hdu in hdus:
            assert hdu.verify_checksum() == hdu.verify_datasum() == 1
        return [(hdu.header["CHECKSUM"], hdu.header["DATASUM"].strip()) for hdu in hdus]


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int32, np.uint32, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1,), (7, 3), (3, 40, 50)])
def test_sums_are_those_of_astropy(kind, shape):
    values = np.random.default_rng(1).integers(0, 100, shape).astype(kind)
    primary, image = fits.PrimaryHDU(), fits.ImageHDU(values, name="SCI")
    table = fits.BinTableHDU(np.zeros(5, [("a", "f4"), ("b", "S3")]), name="T")
    found = check(written(primary, image, table))
    theirs = fits.ImageHDU(values, name="SCI")
    theirs.add_datasum()
    assert found[1][1] == theirs.header["DATASUM"]
    assert found[0][1] == "0"


def test_sums_of_more_than_a_piece():
    values = np.random.default_rng(1).integers(0, 2**31, (PIECE // 4 + 1000,), dtype=np.int32)
    check(written(fits.PrimaryHDU(values)))


def test_units_are_written_with_their_sums():
    """As `seal` fills them in afterwards."""
    values = np.random.default_rng(1).integers(0, 2**31, 5000, dtype=np.int32)
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(values, name="SCI")]
    expected = written(*hdus)
    data = [b"", values.astype(">i4").tobytes()]
    file = io.BytesIO()
    headers = [
        write_unit(
            file,
            hdu.header.tostring().encode(),
            [(part, sum_of(part)) for part in (whole[:8000], whole[8000:]) if part],
        )
        for hdu, whole in zip(hdus, data, strict=True)
    ]
    assert file.getvalue() == expected
    assert expected.startswith(headers[0])
    assert headers[1] in expected


@settings(deadline=None, max_examples=300)
@given(st.integers(0, 2**32 - 1))
def test_any_sum_has_a_text_of_letters_and_digits(value):
    text = checksum_text(value)
    assert len(text) == 16
    assert text.isalnum()
    # A CHECKSUM stands three bytes behind a border of words.
    placed = f"   {text} ".encode()
    total = value
    for start in range(0, 20, 4):
        word = int.from_bytes(placed[start : start + 4], "big")
        blank = int.from_bytes(f"   {'0' * 16} ".encode()[start : start + 4], "big")
        total = add(total, add(word, 2**32 - 1 - blank))
    assert total == 2**32 - 1


def test_units_without_room_stay_as_they_are():
    file = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.ones(3))]).writeto(file)
    before = file.getvalue()
    seal(file)
    assert file.getvalue() == before
