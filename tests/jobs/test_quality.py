"""The job quality: what it says of observations whose flaws are known."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits
from numpy.testing import assert_allclose

from chain import image3
from snakewebb.io.names import exposure_name
from snakewebb.io.provenance import read_notes
from snakewebb.jobs.align import align_product
from snakewebb.jobs.crf import finish_exposure
from snakewebb.jobs.find_sources import describe_exposure
from snakewebb.jobs.i2d import write_mosaic
from snakewebb.jobs.quality import measure_quality
from snakewebb.quality.quality_file import read_repeats, read_rows
from snakewebb.quality.repeats import deviations
from snakewebb.references.photometry import aperture_parameters
from snakewebb.simulate import observation as simulate
from snakewebb.simulate.presets import preset
from snakewebb.simulate.references import exposure_psf, smoothed
from surveys import moved, read_survey, rigid_offsets, write_survey

FIELD = replace(
    preset("nircam-f356w", npix=512), stars=260, galaxies=10, pointing_error=12.0, roll_error=0.0
)


def observe(folder, **changes):
    """Simulate exposures; return their paths."""
    simulate.write(replace(FIELD, **changes), folder)
    return sorted(folder.glob("*_cal.fits"))


def process(folder, paths):
    """Make a mosaic of exposures as they are: not aligned, nor matched, nor searched for hits."""
    folder.mkdir()
    names = [exposure_name(path) for path in paths]
    known = [folder / f"{name}_facts.json" for name in names]
    crfs = [folder / f"{name}_o001_crf.fits" for name in names]
    facts, alignment = folder / "facts.zip", folder / "alignment.json"
    for path, fact in zip(paths, known, strict=True):
        describe_exposure(path, fact, step={"skip": True})
    skipped = {"tweakreg": {"skip": True}, "assign_mtwcs": {"skip": True}}
    align_product(known, alignment, facts, step=skipped)
    for path, fact, crf in zip(paths, known, crfs, strict=True):
        finish_exposure(path, crf, facts=fact, alignment=alignment, step={"sip": None})
    write_mosaic(crfs, facts, alignment, folder / "x_i2d.fits")
    return folder


def measure(folder, threads=1, into=None, **thresholds):
    """Measure the quality of a product in a folder; return its metrics by name, and exposures."""
    into = into or folder
    files = {"metrics": "q.ecsv", "exposures": "e.ecsv", "depth": "d.fits", "repeats": "r.npz"}
    measure_quality(
        SimpleNamespace(**{key: into / name for key, name in files.items()}),
        sorted(folder.glob("*_crf.fits")),
        folder / "facts.zip",
        folder / "alignment.json",
        folder / "x_i2d.fits",
        step={"thresholds": thresholds},
        threads=threads,
    )
    metrics = {row["metric"]: row for row in read_rows(into / "q.ecsv")}
    return metrics, read_rows(into / "e.ecsv")


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return observe(tmp_path_factory.mktemp("quality"))


@pytest.fixture(scope="module")
def raw(paths):
    """The folder of a product that is neither aligned nor matched."""
    return process(paths[0].parent / "raw", paths)


@pytest.fixture(scope="module")
def whole(paths):
    """The folder of a product that is made as it should be."""
    folder = paths[0].parent / "whole"
    image3(folder, paths)
    return folder


def truths(paths):
    """Pointing errors (mas, East and North) and skies that were put in."""
    found = [
        json.loads((p.parent / "truth" / f"{exposure_name(p)}.json").read_text()) for p in paths
    ]
    return np.array([(t["east_mas"], t["north_mas"]) for t in found]), np.array(
        [t["sky"] for t in found]
    )


def test_depth_is_corrected_as_the_catalogue_is(raw, tmp_path):
    """By drops and pixels, too: the image is the same, its header is not."""
    instrument = {"name": "NIRCAM", "filter": "F356W", "pupil": "CLEAR"}
    corrections, depths = [], []
    for pixfrac in (1.0, 0.1):
        folder = shutil.copytree(raw, tmp_path / str(pixfrac))
        fits.setval(folder / "x_i2d.fits", "PIXFRAC", value=pixfrac)
        apertures, _ = aperture_parameters(None, instrument, (30, 50, 70), 1.0, pixfrac)
        corrections.append(apertures["aperture_corrections"][2])
        depths.append(float(measure(folder)[0]["depth"]["value"]))
    expected = -2.5 * np.log10(corrections[1] / corrections[0])
    assert abs(expected) > 0.002
    assert depths[1] - depths[0] == pytest.approx(expected, abs=2e-4)


def test_errors_of_pointing_and_of_sky_are_found(paths, raw):
    metrics, exposures = measure(raw)
    pointing, sky = truths(paths)
    factor = np.sqrt(4 / 3)
    # where the telescope looks too far East, stars seem too far West
    expected = -factor * (pointing - pointing.mean(axis=0))
    found = np.array([(e["offset_east"], e["offset_north"]) for e in exposures])
    assert_allclose(found, expected, atol=1.5)
    value = float(metrics["exposure_offset"]["value"])
    assert value == pytest.approx(np.sqrt(np.mean(expected**2)), rel=0.1)
    assert metrics["exposure_offset"]["status"] == "WARN"
    assert metrics["exposure_offset"]["reason"] == f"{value:.4g} is more than max_offset 5"
    steps = factor * (sky - sky.mean())
    assert_allclose([e["sky_step"] for e in exposures], steps, atol=3e-4)
    step = float(metrics["sky_step"]["value"])
    assert step == pytest.approx(np.std(sky, ddof=1), rel=0.1)
    noise = np.median([e["noise"] for e in exposures])
    assert float(metrics["sky_step_over_noise"]["value"]) == pytest.approx(step / noise, rel=0.01)
    assert metrics["sky_step_over_noise"]["status"] == "WARN"
    table = (raw / "q.ecsv").read_text()
    assert "status: WARN" in table
    assert "is more than max_offset 5" in table


def test_what_alignment_and_matching_mend_is_mended(whole):
    metrics, exposures = measure(whole)
    assert float(metrics["exposure_offset"]["value"]) < 0.5
    assert metrics["sky_step_over_noise"]["value"] < 0.02
    assert 0.85 < metrics["flux_pull"]["value"] < 1.15
    assert {row["status"] for row in metrics.values()} <= {"OK", "ABSENT"}
    assert metrics["detector_offset"]["reason"] == "every exposure is of one detector"
    flagged = [fits.getheader(p)["SWB_OUTL"] for p in sorted(whole.glob("*_crf.fits"))]
    assert_allclose([e["flagged"] for e in exposures], flagged, atol=1e-6)
    assert metrics["flagged"]["value"] == pytest.approx(max(flagged), rel=1e-5)


def test_the_psf_is_that_of_the_simulator(paths, whole):
    header = fits.getheader(paths[0]) + fits.getheader(paths[0], "SCI")
    psf = smoothed(exposure_psf(header), 2)
    n = len(psf.image)
    fine = np.fft.fftshift(np.fft.irfft2(psf.spectrum(psf.size), s=(n, n)))
    area = (fine > fine.max() / 2).sum() / psf.oversample**2
    expected = 2 * np.sqrt(area / np.pi) * np.sqrt(header["PIXAR_A2"])
    metrics, _ = measure(whole)
    assert metrics["psf_fwhm"]["value"] == pytest.approx(expected, rel=0.1)
    assert metrics["psf_ellipticity"]["value"] < 0.03


def test_thresholds_of_the_user_count(whole):
    metrics, _ = measure(whole, min_depth=33.0, max_fwhm=0.01, max_flagged=None)
    for name in ("depth", "psf_fwhm"):
        assert metrics[name]["status"] == "WARN"
    assert metrics["flagged"]["status"] == "OK"
    assert np.isnan(metrics["flagged"]["threshold"])


def test_files_do_not_depend_on_threads(whole, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    for name in ("one", "three"):
        (tmp_path / name).mkdir()
    measure(whole, into=tmp_path / "one")
    measure(whole, threads=3, into=tmp_path / "three")
    for file in ("q.ecsv", "e.ecsv", "d.fits", "r.npz"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "three" / file).read_bytes()


def test_repeats_are_kept_for_figures(raw):
    measure(raw)
    repeats = read_repeats(raw / "r.npz")
    assert len(repeats["offset"]) == len(repeats["star"]) == len(repeats["exposure"])
    assert repeats["star"].max() < len(repeats["ra"])
    with fits.open(raw / "d.fits") as hdus:
        assert hdus["SCI"].header["CTYPE1"] == "RA---TAN"
        assert np.isfinite(hdus["SCI"].data).mean() > 0.8


def test_one_exposure_has_a_depth_and_a_psf(paths, tmp_path):
    metrics, exposures = measure(process(tmp_path / "one", paths[:1]))
    absent = {name for name, row in metrics.items() if row["status"] == "ABSENT"}
    assert {"depth", "psf_fwhm", "noise_ratio"} & absent == set()
    assert {row["reason"] for name, row in metrics.items() if "pull" in name} == {
        "there is one exposure"
    }
    assert metrics["sky_step"]["reason"] == "no two exposures see the same sky"
    assert metrics["flagged"]["reason"] == "outliers were not looked for"
    assert len(exposures) == 1


def test_moving_targets_are_not_judged_by_their_stars(tmp_path):
    changes = {"motion": (20.0, -9.0), "dithers": FIELD.dithers[:3]}
    folder = tmp_path / "moving"
    image3(folder, observe(tmp_path / "data", **changes))
    metrics, _ = measure(folder)
    why = "the target moves, stars are not where they were"
    for name in ("separation_rms_20", "exposure_offset", "flux_pull", "psf_fwhm"):
        assert (metrics[name]["status"], metrics[name]["reason"]) == ("ABSENT", why)
    assert metrics["depth"]["status"] == "OK"
    assert metrics["sky_step_over_noise"]["status"] == "OK"


def test_a_field_without_stars(tmp_path):
    paths = observe(tmp_path / "data", stars=0, galaxies=0, dithers=FIELD.dithers[:2])
    metrics, _ = measure(process(tmp_path / "empty", paths))
    assert metrics["psf_fwhm"]["reason"] == "0 stars in the mosaic that are bright and alone"
    assert metrics["exposure_offset"]["reason"] == metrics["psf_fwhm"]["reason"]
    assert np.isfinite(metrics["depth"]["value"])


def test_other_units_and_no_errors(paths, tmp_path):
    changed = []
    for path in paths[:2]:
        copy = tmp_path / path.name
        with fits.open(path) as hdus:
            hdus["SCI"].header["BUNIT"] = "DN/s"
            for name in ("ERR", "VAR_POISSON", "VAR_RNOISE", "VAR_FLAT"):
                hdus[name].data[:] = np.nan
            hdus.writeto(copy)
        changed.append(copy)
    metrics, _ = measure(process(tmp_path / "other", changed))
    assert metrics["noise_ratio"]["reason"] == "the mosaic has no errors"
    assert metrics["depth"]["reason"] == "no fluxes: the mosaic is in DN/s, not MJy/sr"
    assert "errors are not known" in metrics["position_pull"]["reason"]
    assert np.isfinite(metrics["exposure_offset"]["value"])
    assert metrics["sky_step"]["unit"] == "DN/s"


def test_a_mosaic_notes_what_headers_tell_of_its_exposures(whole, raw):
    notes = read_notes(whole / "x_i2d.fits")["quality"]
    paths = sorted(whole.glob("*_crf.fits"))
    assert_allclose(notes["flagged"], [fits.getheader(p)["SWB_OUTL"] for p in paths])
    assert_allclose(notes["alignment_rms"], [fits.getheader(p)["SWB_RMS"] for p in paths])
    assert notes["alignment_rms_median"] == pytest.approx(np.median(notes["alignment_rms"]))
    assert notes["outlying"] == {}
    assert read_notes(raw / "x_i2d.fits")["quality"] == {"outlying": {}}


def test_detectors_of_a_real_survey_are_off_as_their_wcs_are(real_data, tmp_path):
    """The gWCS of four detectors of CEERS, under a sky as a rigid telescope sees it.

    The exposures are pointed half a detector apart, so that detectors overlap.
    """
    folder = real_data / "ceers_wcs"
    detectors = [f"NRCA{k}" for k in (1, 2, 3, 4)]
    exposures = [
        {d: moved(*wcs, *place) for d, wcs in read_survey(folder, name, detectors).items()}
        for name, place in (("02201_00001", (0.0, 0.0)), ("04201_00002", (-31.0, 33.0)))
    ]
    # All of CEERS' detectors tell where the telescope points, and how it is rolled.
    every = [f"NRC{module}{k}" for module in "AB" for k in (1, 2, 3, 4)]
    off = [
        rigid_offsets(read_survey(folder, name, every)) for name in ("02201_00001", "04201_00002")
    ]
    paths, offsets = write_survey(tmp_path / "data", exposures, off, stars=70)
    product = process(tmp_path / "product", paths)
    metrics, rows = measure(product)
    repeats = read_repeats(product / "r.npz")
    star, exposure, pull = (repeats[name] for name in ("star", "exposure", "pull"))
    weight = (pull / repeats["offset"]) ** 2
    good = np.isfinite(weight).all(axis=1)
    expected = np.full((len(paths), 2), np.nan)
    for k in (0, 1):
        true, _, _ = deviations(star[good], offsets[exposure[good], k], weight[good, k] ** -0.5)
        for index in range(len(paths)):
            expected[index, k] = np.median(true[exposure[good] == index])
    found = np.array([(row["offset_east"], row["offset_north"]) for row in rows])
    assert_allclose(found, expected, atol=2.0)
    assert np.sqrt(np.mean(offsets**2)) > 8.0
    value = float(metrics["exposure_offset"]["value"])
    assert value == pytest.approx(np.sqrt(np.mean(expected**2)), rel=0.1)
    within = [expected[4 * k : 4 * k + 4].var(axis=0, ddof=1) for k in (0, 1)]
    value = float(metrics["detector_offset"]["value"])
    assert value == pytest.approx(np.sqrt(np.mean(within)), rel=0.1)
    assert {metrics[n]["status"] for n in ("detector_offset", "position_pull")} == {"WARN"}
