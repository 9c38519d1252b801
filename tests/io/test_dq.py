import pytest

from snakewebb.errors import InputError
from snakewebb.io.dq import ALL, BITS, bad_mask


@pytest.mark.parametrize(
    ("good_bits", "bad"),
    [
        ("~DO_NOT_USE", 1),
        ("~DO_NOT_USE+NON_SCIENCE", 513),
        ("~(DO_NOT_USE|NON_SCIENCE)", 513),
        ("DO_NOT_USE, 512", ALL ^ 513),
        (0, ALL),
        (4, ALL ^ 4),
        (None, 0),
        ("None", 0),
        ("~0", 0),
    ],
)
def test_bits_that_make_a_pixel_bad(good_bits, bad):
    assert bad_mask(good_bits) == bad


def test_unknown_name_is_named():
    with pytest.raises(InputError, match="DO_NOT_EAT"):
        bad_mask("~DO_NOT_EAT")


def test_every_bit_is_one_bit():
    assert all(value.bit_count() == 1 for value in BITS.values())
    assert len(set(BITS.values())) == len(BITS) == 31
