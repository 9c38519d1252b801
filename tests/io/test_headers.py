"""Numbers, words and switches of headers, and what of an exposure's header is believed."""

import logging
import math

import numpy as np
import pytest
from astropy.io import fits

from snakewebb.errors import InputError
from snakewebb.io.headers import (
    LIMITS,
    credible,
    exposure_header,
    is_possible,
    number,
    read_header,
    switch,
    text,
)
from snakewebb.io.planes import check_exposure
from snakewebb.products.blend import read_metadata

GOOD = {
    "V2_REF": 85.9,
    "V3_REF": -493.5,
    "ROLL_REF": 47.0,
    "RA_REF": 53.16,
    "DEC_REF": -27.79,
    "V3I_YANG": -0.06,
    "VPARITY": -1,
    "XPOSURE": 311.0,
    "PHOTMJSR": 0.4,
    "BKGLEVEL": 0.25,
    "BKGSUB": False,
    "BUNIT": "MJy/sr",
}
PRIMARY = {"TMEASURE": 322.0, "EXPMID": 59900.5, "FILTER": "F356W"}


@pytest.fixture
def exposure(tmp_path):
    """Return an exposure with some cards changed, written as they are given."""

    def make(**cards):
        image = fits.ImageHDU(np.zeros((4, 4), np.float32), name="SCI")
        image.header.update(GOOD)
        primary = fits.PrimaryHDU(header=fits.Header(PRIMARY))
        path = tmp_path / "a_cal.fits"
        fits.HDUList([primary, image]).writeto(path, overwrite=True)
        content = path.read_bytes()
        for keyword, value in cards.items():
            at = content.index(f"{keyword:8}=".encode())
            changed = f"{keyword:8}= {value:>20}".ljust(80).encode()
            content = content[:at] + changed + content[at + 80 :]
        path.write_bytes(content)
        return path

    return make


def test_numbers_are_of_their_range():
    header = fits.Header({"A": 2, "B": 2.5, "C": True, "D": "2", "E": 1j})
    assert number(header, "A", path="p") == 2
    assert number(header, "B", 2, 2.5, path="p") == 2.5
    assert number(header, "F", path="p") is None
    for key in ("C", "D", "E"):
        with pytest.raises(InputError, match=f"^p: {key} is .*, no finite number: mend its header"):
            number(header, key, path="p")
    with pytest.raises(InputError, match=r"^p: A is 2, no number from 3 to 4: mend its header$"):
        number(header, "A", 3, 4, path="p")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_are_finite(value):
    with pytest.raises(InputError, match="no finite number"):
        number({"A": value}, "A", path="p")


def test_long_values_are_cut():
    with pytest.raises(InputError) as caught:
        number({"A": "x" * 3000}, "A", path="p")
    assert len(str(caught.value)) < 150


def test_words_and_switches():
    header = fits.Header({"A": "x", "B": True, "C": 5, "D": None})
    assert text(header, "A", path="p") == "x"
    assert switch(header, "B", path="p") is True
    assert text(header, "D", path="p") is switch(header, "E", path="p") is None
    with pytest.raises(InputError, match=r"^p: C is 5, no text: mend its header$"):
        text(header, "C", path="p")
    with pytest.raises(InputError, match=r"^p: C is 5, no T or F: mend its header$"):
        switch(header, "C", path="p")


def test_what_cannot_be_true_is_left_out_and_told(caplog):
    header = fits.Header({"EXPMID": 0.0, "XPOSURE": 5.0})
    assert credible(header, "XPOSURE", path="p") == 5.0
    assert credible(header, "EXPMID", path="p") is None
    assert "p: EXPMID is 0.0, no number from 48000 to 88000" in caplog.text


def test_limits_are_ordered():
    assert all(low < high for low, high in LIMITS.values())
    assert not is_possible("PHOTMJSR", 0.0)
    assert is_possible("UNKNOWN", -1e30)
    assert not is_possible("UNKNOWN", math.nan)


def test_what_later_steps_need(exposure):
    known = exposure_header(exposure())
    assert known.wcsinfo == {
        "v2_ref": 85.9,
        "v3_ref": -493.5,
        "roll_ref": 47.0,
        "ra_ref": 53.16,
        "dec_ref": -27.79,
        "v3yangle": -0.06,
        "vparity": -1,
    }
    assert (known.measurement_time, known.exposure_time) == (322.0, 311.0)
    assert known.epoch == pytest.approx(2022.8775, abs=1e-4)
    assert (known.filter, known.bunit, known.pupil) == ("F356W", "MJy/sr", None)
    assert (known.sky_level, known.sky_subtracted) == (0.25, False)
    assert exposure_header(exposure()).remaining_sky == 0.25
    assert exposure_header(exposure(BKGSUB="T")).remaining_sky is None


NEEDED = {
    "V2_REF": ["1E400", "1E30", "-3601", "T"],
    "V3_REF": ["4000.0"],
    "ROLL_REF": ["361.0", "'north'"],
    "RA_REF": ["999.0"],
    "DEC_REF": ["90.5", "-91"],
    "V3I_YANG": ["1E30"],
    "VPARITY": ["0", "2", "-2", "0.5", "T", "1E400"],
    "BKGLEVEL": ["1E400", "'low'", "-1E30"],
    "BKGSUB": ["1", "'T'", "0.0"],
    "FILTER": ["356", "T"],
    "BUNIT": ["5"],
}


@pytest.mark.parametrize(("key", "value"), [(k, v) for k, values in NEEDED.items() for v in values])
def test_what_is_needed_must_be_right(exposure, key, value):
    path = exposure(**{key: value})
    with pytest.raises(InputError) as caught:
        exposure_header(path)
    assert str(caught.value).startswith(f"{path}: {key} is ")
    assert str(caught.value).endswith(": mend its header")


@pytest.mark.parametrize("value", ["1E400", "-1.0", "1E30", "'long'", "T"])
@pytest.mark.parametrize(
    ("key", "fact", "metadatum"),
    [
        ("TMEASURE", "measurement_time", "exposure.measurement_time"),
        ("XPOSURE", "exposure_time", "exposure.effective_exposure_time"),
        ("EXPMID", "epoch", "exposure.mid_time"),
    ],
)
def test_what_is_not_needed_is_left_out(exposure, caplog, key, value, fact, metadatum):
    path = exposure(**{key: value})
    with caplog.at_level(logging.WARNING):
        assert getattr(exposure_header(path), fact) is None
        assert f"meta.{metadatum}" not in read_metadata(path)
    assert f"{path}: {key} is " in caplog.text


@pytest.mark.parametrize("value", ["1E400", "-1.0", "0.0", "'long'"])
def test_factors_are_positive(exposure, value):
    assert read_metadata(exposure())["meta.photometry.conversion_megajanskys"] == 0.4
    path = exposure(PHOTMJSR=value)
    assert "meta.photometry.conversion_megajanskys" not in read_metadata(path)


@pytest.mark.parametrize("key", ["MJD-AVG", "EXPSTART", "EXPEND"])
def test_the_epoch_is_that_of_another_time_of_the_exposure(exposure, key):
    path = exposure(EXPMID="0.0")
    fits.setval(path, key, value=59866.0)
    assert exposure_header(path).epoch == pytest.approx(2022.7830, abs=1e-4)


def test_broken_cards_are_told_before_work(exposure):
    path = exposure(EXPMID="NaN")
    with pytest.raises(InputError) as caught:
        check_exposure(path)
    assert str(caught.value) == f"{path}: the card of EXPMID cannot be read: mend its header"


def test_a_header_without_its_image(tmp_path):
    fits.PrimaryHDU().writeto(tmp_path / "a.fits")
    with pytest.raises(InputError, match="has no SCI extension"):
        read_header(tmp_path / "a.fits")
