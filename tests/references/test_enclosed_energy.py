"""The aperture corrections of the model, against others' and against its own table."""

import csv
import io

import numpy as np
import pytest

from snakewebb.references import enclosed_energy
from snakewebb.references.detectors import CROSS, DETECTORS, detector_of, star_fwhm
from snakewebb.references.enclosed_energy import (
    NATIVE,
    aperture_rows,
    encircled_energy,
    write_table,
)
from snakewebb.references.filters import FILTERS, narrowest
from snakewebb.references.photometry import MODEL, aperture_parameters

NIRCAM = {"name": "NIRCAM", "filter": "F444W", "pupil": "CLEAR"}
ALL = tuple(range(10, 85, 5))


def rows():
    with open(MODEL, newline="") as file:
        return list(csv.DictReader(file))


def test_apertures_are_those_of_crds():
    """Rows of jwst_nircam_apcorr_0005.fits, which is made of stars in flight.

    As quoted in jwst/source_catalog/tests/helpers.py. Nothing here was fitted to it.
    """
    energies, radii, corrections = (
        (50, 60, 70, 80),
        (1.769, 2.225, 3.074, 4.617),
        (
            *(2.0052, 1.6723),
            *(1.4365, 1.2638),
        ),
    )
    found, reason = aperture_parameters(None, NIRCAM, energies, 1.0)
    assert reason == ""
    np.testing.assert_allclose(found["aperture_radii"], radii, rtol=0.035)
    np.testing.assert_allclose(found["aperture_corrections"], corrections, rtol=0.002)
    assert found["bkg_aperture_inner_radius"] == pytest.approx(8, abs=0.3)
    assert found["bkg_aperture_outer_radius"] == pytest.approx(13, abs=0.7)


@pytest.mark.parametrize(
    ("name", "within_100_mas", "within_500_mas"),
    [
        *(("F070W", 0.735, 0.942), ("F090W", 0.755, 0.936), ("F115W", 0.776, 0.930)),
        *(("F182M", 0.717, 0.913), ("F200W", 0.701, 0.911), ("F212N", 0.683, 0.908)),
        *(("F250M", 0.682, 0.901), ("F360M", 0.626, 0.886), ("F460M", 0.528, 0.858)),
    ],
)
def test_energies_are_those_of_the_exposure_time_calculator(name, within_100_mas, within_500_mas):
    """Without the detector's pixel, which those do not have either."""
    band = FILTERS["NIRCAM"][name]
    detector = detector_of("NIRCAM", band)._replace(scale=1e-6, blur=0.0)
    found = encircled_energy(np.array([0.1, 0.5]), band, detector)
    np.testing.assert_allclose(found, [within_100_mas, within_500_mas], rtol=0.03)


def test_miri_s_cross_is_that_of_stars():
    """F560W within 0.3, 0.5, 1 and 2 arcsec: mean over the three PSFs of Melinder."""
    band = FILTERS["MIRI"]["F560W"]
    found = encircled_energy(
        np.array([0.3, 0.5, 1.0, 2.0]), band, DETECTORS["MIRI"], cross=CROSS["F560W"], smear=1.25
    )
    np.testing.assert_allclose(found, [0.648, 0.769, 0.842, 0.907], atol=0.012)


@pytest.mark.parametrize(
    ("instrument", "name"), [("NIRCAM", "F115W"), ("NIRISS", "F356W"), ("MIRI", "F770W")]
)
def test_table_is_current(instrument, name):
    """If not: python -m snakewebb.references.enclosed_energy > .../references/apcorr.csv."""
    known = [row for row in rows() if (row["instrument"], row["filter"]) == (instrument, name)]
    made = aperture_rows(instrument, name, FILTERS[instrument][name])
    assert len(known) == len(made)
    for row, new in zip(known, made, strict=True):
        np.testing.assert_allclose(
            [float(value) for value in list(row.values())[2:]],
            [float(value) for value in new[2:]],
            rtol=1e-3,
        )


def test_table_has_all_filters(monkeypatch):
    file = io.StringIO()
    monkeypatch.setattr(
        enclosed_energy, "aperture_rows", lambda instrument, name, band: [(instrument, name)]
    )
    write_table(file)
    expected = {tuple(line.split(",")) for line in file.getvalue().splitlines()[1:]}
    assert {(row["instrument"], row["filter"]) for row in rows()} == expected
    assert MODEL.stat().st_size < 300_000


def test_other_pixels_and_drops_smear_otherwise():
    """The radius on the sky stays, and so does the total flux of a star."""
    band = FILTERS["NIRCAM"]["F115W"]
    detector = detector_of("NIRCAM", band)
    instrument = NIRCAM | {"filter": "F115W"}
    native, _ = aperture_parameters(None, instrument, (30, 50, 70), 1.0)
    for ratio, pixfrac in ((0.5, 1.0), (0.5, 0.5), (1.0, 0.6), (1.3, 1.0), (2.0, 1.0)):
        found, _ = aperture_parameters(None, instrument, (30, 50, 70), ratio, pixfrac)
        radii = ratio * np.array(found["aperture_radii"])
        np.testing.assert_allclose(radii, native["aperture_radii"])
        smear = pixfrac**2 + 2 * ratio**2
        inside = encircled_energy(radii[2:] * detector.scale, band, detector, smear=smear)
        before = encircled_energy(radii[2:] * detector.scale, band, detector, smear=NATIVE)
        np.testing.assert_allclose(
            found["aperture_corrections"][2] * inside,
            native["aperture_corrections"][2] * before,
            rtol=0.003,
        )


def test_any_energy_has_an_aperture():
    found, reason = aperture_parameters(None, NIRCAM, ALL, 1.0)
    assert reason == ""
    assert np.all(np.diff(found["aperture_radii"]) > 0)
    assert np.all(np.diff(found["aperture_corrections"]) < 0)
    assert aperture_parameters(None, NIRCAM, (52,), 1.0)[0]["aperture_radii"][0] == pytest.approx(
        1.82, abs=0.02
    )
    found, reason = aperture_parameters(None, NIRCAM, (50, 70, 90), 1.0)
    assert found["aperture_radii"][2] is None
    assert "no aperture of 90 %" in reason
    found, reason = aperture_parameters(None, NIRCAM, (97, 98, 99), 1.0)
    assert found["bkg_aperture_inner_radius"] is None


@pytest.mark.parametrize(
    ("instrument", "known"),
    [
        ({"name": "NIRCAM", "filter": "F322W2", "pupil": "F323N"}, "F323N"),
        ({"name": "NIRCAM", "filter": "F150W2", "pupil": "F162M"}, "F162M"),
        ({"name": "NIRCAM", "filter": "F212N", "pupil": "WLP8"}, None),
        ({"name": "NIRCAM", "filter": "F356W", "pupil": "GRISMR"}, None),
        ({"name": "NIRISS", "filter": "CLEAR", "pupil": "F115W"}, "F115W"),
        ({"name": "NIRISS", "filter": "F480M", "pupil": "NRM"}, None),
        ({"name": "MIRI", "filter": "F770W", "pupil": None}, "F770W"),
        ({"name": "MIRI", "filter": "FND", "pupil": None}, None),
        ({"name": None, "filter": None, "pupil": None}, None),
    ],
)
def test_the_filter_that_makes_the_image(instrument, known):
    assert narrowest(instrument) == known
    apertures, reason = aperture_parameters(None, instrument, (30, 50, 70), 1.0)
    assert bool(reason) == (known is None)
    assert (apertures["source"] == "none") == (known is None)


def test_guiders_have_one_aperture():
    fgs = {"name": "FGS", "filter": None, "pupil": None, "detector": "GUIDER1"}
    assert aperture_parameters(None, fgs, (30, 50, 70), 1.0)[1] == ""


@pytest.mark.parametrize(
    ("instrument", "name", "fwhm"),
    [
        *(("NIRCAM", "F200W", 2.14), ("NIRCAM", "F444W", 2.30), ("MIRI", "F1000W", 2.89)),
        *(("MIRI", "F1130W", 3.32), ("MIRI", "F1500W", 4.35), ("MIRI", "F2550W", 7.31)),
    ],
)
def test_widths_of_stars_are_those_of_crds(instrument, name, fwhm):
    """``kernel_fwhm`` of pars-tweakregstep files; MIRI's as STScI-MIRI/ImagingFluxCal has them."""
    scale = detector_of(instrument, FILTERS[instrument][name]).scale
    setup = {"name": instrument, "filter": name, "pupil": "CLEAR"}
    assert star_fwhm(setup, scale) == pytest.approx(fwhm, rel=0.15)


def test_the_width_of_stars_behind_a_lens_is_not_known():
    assert star_fwhm({"name": "NIRCAM", "filter": "F212N", "pupil": "WLP8"}, 0.031) is None
    assert star_fwhm({"name": None, "filter": None, "pupil": None}, 0.031) is None
