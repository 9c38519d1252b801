"""What headers tell of exposures, and which stand out."""

import numpy as np
import pytest
from astropy.io import fits
from numpy.testing import assert_array_equal

from snakewebb.products.input_quality import (
    header_numbers,
    input_quality,
    outlying,
    standing_out,
)


@pytest.fixture
def write(tmp_path):
    """A function: files with these numbers in their headers."""

    def files(rms, flagged):
        paths = []
        for k, (own, fraction) in enumerate(zip(rms, flagged, strict=True)):
            header = fits.Header()
            if own is not None:
                header["SWB_RMS"] = own
            if fraction is not None:
                header["SWB_OUTL"] = fraction
            paths.append(tmp_path / f"e{k}_o001_crf.fits")
            fits.PrimaryHDU(header=header).writeto(paths[-1])
        return paths

    return files


def test_the_exposure_that_is_worse_than_others_is_named(write):
    paths = write([4.0, 4.2, 3.9, 40.0, 4.1, 0.1], [0.01, 0.011, 0.009, 0.01, 0.2, 0.0])
    notes = input_quality(paths)
    assert notes["alignment_rms"] == [4.0, 4.2, 3.9, 40.0, 4.1, 0.1]
    assert notes["flagged_median"] == pytest.approx(0.01)
    assert notes["outlying"] == {
        "e3": "its stars are off by 40 mas, of others 4.05",
        "e4": "20 % of its pixels are flagged, of others 1",
    }


def test_what_headers_do_not_tell(write):
    paths = write([None, 3.0, None], [None, None, None])
    assert np.isnan(header_numbers(paths)["flagged"]).all()
    assert input_quality(paths) == {
        "alignment_rms": [None, 3.0, None],
        "alignment_rms_median": 3.0,
        "outlying": {},
    }


def test_few_exposures_do_not_stand_out():
    assert not standing_out(np.array([1.0, 1.0, 50.0]), 5.0).any()
    assert_array_equal(standing_out(np.array([1.0, 1.0, 1.0, 50.0]), 5.0), [0, 0, 0, 1])
    assert_array_equal(
        standing_out(np.array([1.0, np.nan, 1.0, 1.0, 2.0]), 5.0, 0.1), [0] * 4 + [1]
    )
    assert not standing_out(np.array([1.0, 1.0, 1.0, 2.0]), 5.0, 0.5).any()


def test_scatter_that_is_usual_does_not_stand_out():
    rng = np.random.default_rng(1)
    numbers = {"alignment_rms": rng.normal(4, 0.3, 500), "flagged": rng.gamma(20, 0.001, 500)}
    assert sum(map(bool, outlying(numbers))) < 5


@pytest.mark.parametrize(
    ("rms", "flagged"),
    [
        ([40.0, 40.1, 39.9, 40.0, 60.0], [0.02, 0.02, 0.02, 0.02, 0.035]),  # a fifth of the median
        ([0.02, 0.02, 0.02, 0.02, 0.2], [0.0, 0.0, 0.0, 0.0, 1e-6]),  # whatever the median
    ],
)
def test_what_hardly_differs_does_not_stand_out(rms, flagged):
    assert not any(outlying({"alignment_rms": np.array(rms), "flagged": np.array(flagged)}))


def test_an_exposure_stands_out_of_others_without_flags():
    numbers = {"alignment_rms": np.zeros(5), "flagged": np.array([0.0, 0.0, 0.0, 0.0, 0.02])}
    assert outlying(numbers) == ["", "", "", "", "2 % of its pixels are flagged, of others 0"]
