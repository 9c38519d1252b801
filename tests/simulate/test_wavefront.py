"""One wavefront against the model that is the mean over many."""

import numpy as np
import pytest

from snakewebb.references.detectors import cross_of, detector_of
from snakewebb.references.filters import FILTERS
from snakewebb.references.photometry import aperture_parameters
from snakewebb.references.pupil import WAVEFRONT, make_pupil
from snakewebb.simulate.references import energy_within, smoothed
from snakewebb.simulate.wavefront import flight_psf, optical_path


def test_errors_are_as_large_as_they_should_be():
    _, pupil = make_pupil()
    expected = np.sqrt(sum(sigma**2 for sigma, _ in WAVEFRONT))
    for seed in (1, 2):
        path = optical_path(seed)
        rms = np.sqrt(np.average(path**2, weights=pupil))
        assert rms == pytest.approx(expected, rel=0.1)
    assert abs(np.corrcoef(optical_path(1)[pupil > 0], optical_path(2)[pupil > 0])[0, 1]) < 0.2


@pytest.mark.parametrize(
    ("instrument", "name", "within"),
    [
        *(("NIRCAM", "F115W", 0.02), ("NIRCAM", "F200W", 0.015), ("NIRCAM", "F444W", 0.01)),
        *(("NIRISS", "F200W", 0.03), ("MIRI", "F770W", 0.01), ("MIRI", "F1500W", 0.01)),
    ],
)
def test_totals_of_a_star_are_right(instrument, name, within):
    band = FILTERS[instrument][name]
    scale = detector_of(instrument, band).scale
    psf = flight_psf(band, scale, 5, cross_of(instrument, name))
    assert 0.9 < psf.image.sum() < 0.99  # the rest is far away
    setup = {"name": instrument, "filter": name, "pupil": "CLEAR"}
    apertures, _ = aperture_parameters(None, setup, (30, 50, 70), 1.0)
    y, x = np.indices((psf.size, psf.size)) - psf.size // 2
    distance = np.hypot(x, y)
    inner, outer = (apertures[f"bkg_aperture_{edge}_radius"] for edge in ("inner", "outer"))
    ring = smoothed(psf, 2).stamp(psf.size, 0, 0)[(inner < distance) & (distance < outer)]
    measured, radius = smoothed(psf, 3), apertures["aperture_radii"][2]
    inside = energy_within(measured, radius) - np.pi * radius**2 * np.median(ring)
    assert inside * apertures["aperture_corrections"][2] == pytest.approx(1, abs=within)
    # What `is_extended` asks of a star, which is none.
    assert energy_within(measured, apertures["aperture_radii"][1]) == pytest.approx(0.5, abs=0.05)
