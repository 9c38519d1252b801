"""A configuration is written for a folder of files, and can be planned as it is."""

import subprocess
import sys

import numpy as np
import pytest
import yaml
from astropy.io import fits

from snakewebb.errors import InputError
from snakewebb.workflow import init
from snakewebb.workflow.config import complete
from workflow import REPO

IMAGE = {"INSTRUME": "NIRCAM", "EXP_TYPE": "NRC_IMAGE", "TARGPROP": "M82", "PUPIL": "CLEAR"}
CORON = {"INSTRUME": "MIRI", "EXP_TYPE": "MIR_4QPM", "FILTER": "F1065C", "CORONMSK": "4QPM_1065"}


def around(ra, dec, half=0.018):
    """Return S_REGION of a square of 2 × `half` degrees, as a detector of NIRCam's sees."""
    wide = half / np.cos(np.radians(dec))
    corners = [(ra - wide, dec - half), (ra + wide, dec - half), (ra + wide, dec + half),
               (ra - wide, dec + half)]  # fmt: skip
    return "POLYGON ICRS  " + " ".join(f"{a:.9f} {d:.9f}" for a, d in corners)


def write(path, region=None, **cards):
    path.parent.mkdir(parents=True, exist_ok=True)
    sci = fits.ImageHDU(np.zeros((2, 2), "f4"), name="SCI")
    if region:
        sci.header["S_REGION"] = region
    fits.HDUList([fits.PrimaryHDU(header=fits.Header(cards)), sci]).writeto(path)


def images(folder, *names, **cards):
    for name in names:
        write(folder / name, **(IMAGE | cards))


def test_images_by_filter_and_target(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "data"
    images(data, "a_cal.fits", "b_cal.fits", FILTER="F200W")
    images(data, "c_cal.fits", FILTER="F200W", TARGPROP="NGC 1")
    images(data / "long", "d_cal.fits", "e_cal.fits", FILTER="F444W", PUPIL="F470N")
    images(data, "s_cal.fits", EXP_TYPE="NRC_WFSS")
    images(data / "results", "x_cal.fits", FILTER="F200W")
    (data / "broken_cal.fits").write_bytes(b"SIMPLE")
    found = init.products_in("data")
    assert found.products == {
        "m82-nircam-f200w": {"science": ["data/a_cal.fits", "data/b_cal.fits"]},
        "ngc-1-nircam-f200w": {"science": "data/c_cal.fits"},
        "m82-nircam-f444w-f470n": {"science": "data/long/*_cal.fits"},
    }
    assert any("NRC_WFSS are not used" in remark for remark in found.remarks)
    assert any("broken_cal.fits: " in remark for remark in found.remarks)


def test_separate_parts_of_the_sky_are_products_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Dithers, a tile beside them across RA 0, and another pointing of the same target.
    for k, (ra, dec) in enumerate([(359.97, -0.51), (359.96, -0.51), (0.0, -0.51), (0.6, -0.51)]):
        images(tmp_path, f"{k}_cal.fits", FILTER="F200W", region=around(ra, dec))
        images(tmp_path, f"{k}_long_cal.fits", FILTER="F444W", region=around(ra, dec))
    found = init.products_in(".")
    near, far = "m82-nircam-f200w-j2359-0030", "m82-nircam-f200w-j0002-0030"
    assert {name for name in found.products if "f200w" in name} == {near, far}
    assert found.products[near] == {"science": ["./0_cal.fits", "./1_cal.fits", "./2_cal.fits"]}
    assert found.products[far] == {"science": "./3_cal.fits"}
    assert "3 images; one of 2 separate parts of the sky" in found.notes[near]
    assert found.skies == [[n, n.replace("f200w", "f444w")] for n in (near, far)]


def test_what_belongs_together_though_footprints_do_not_touch(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Both modules of one pointing; an exposure of which it is not known where it is.
    name = "jw01234001001_02101_00001"
    images(tmp_path, f"{name}_nrca1_cal.fits", FILTER="F200W", region=around(10.0, 5.0, 0.009))
    images(tmp_path, f"{name}_nrcb1_cal.fits", FILTER="F200W", region=around(10.05, 5.0, 0.009))
    images(tmp_path, "x_cal.fits", "y_cal.fits", FILTER="F277W", region=around(10.0, 5.0))
    images(tmp_path, "z_cal.fits", FILTER="F277W", region="POLYGON ICRS none")
    images(tmp_path, "z2_cal.fits", FILTER="F277W", region="POLYGON ICRS" + 8 * " nan")
    # A target that moves.
    moving = {"FILTER": "F444W", "TARGTYPE": "MOVING", "TARGPROP": "CERES"}
    images(tmp_path, "a_cal.fits", region=around(20.0, 5.0), **moving, **{"DATE-OBS": "2023-01-01"})
    images(tmp_path, "b_cal.fits", region=around(21.0, 5.0), **moving, **{"DATE-OBS": "2023-03-01"})
    found = init.products_in(".")
    names = {"m82-nircam-f277w", "ceres-nircam-f444w", "m82-nircam-f200w"}
    assert found.products.keys() == names
    assert found.notes["ceres-nircam-f444w"].endswith("taken from 2023-01-01 to 2023-03-01")
    assert found.skies == [["m82-nircam-f200w", "m82-nircam-f277w"]]
    assert found.remarks == [
        "2 of 4 images of M82 NIRCAM F277W have no S_REGION and are taken for one part of the sky "
        "with the others: ./z2_cal.fits …"
    ]


def test_names_that_are_the_same_but_for_their_marks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images(tmp_path, "a_cal.fits", FILTER="F200W", TARGPROP="NGC 1")
    images(tmp_path, "b_cal.fits", FILTER="F200W", TARGPROP="NGC-1")
    found = init.products_in(".")
    assert list(found.products) == ["ngc-1-nircam-f200w", "ngc-1-nircam-f200w-again"]


def test_of_an_exposure_the_calibrated_file_is_taken(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = "a_cal.fits", "a_rate.fits", "b_rate.fits"
    images(tmp_path, *names, FILTER="F200W", region=around(10.0, 5.0))
    images(tmp_path, "c_rate.fits", FILTER="F200W", BKGDTARG=True, TARGPROP="SKY")
    images(tmp_path / "copy", "a_cal.fits", FILTER="F200W")
    found = init.products_in(".")
    assert found.products["m82-nircam-f200w"] == {
        "science": ["./a_cal.fits", "./b_rate.fits"],
        "background": "./c_rate.fits",
    }
    assert found.remarks == ["./copy/a_cal.fits: is there twice: ./a_cal.fits is taken"]
    assert "1 before stage 2" in found.notes["m82-nircam-f200w"]


def test_coronagraphy_by_star_reference_and_roll(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, roll in (("a", 10.0), ("b", 20.0)):
        write(tmp_path / f"{name}_calints.fits", TARGPROP="HD 1", ROLL_REF=roll, **CORON)
    alone = init.products_in(".")
    (entry,) = alone.products.values()
    assert entry["steps"] == {"klip": {"strategy": "ADI"}}
    write(tmp_path / "c_calints.fits", TARGPROP="HD 2", IS_PSF=True, **CORON)
    write(tmp_path / "d_calints.fits", TARGPROP="HD 3", **(CORON | {"CORONMSK": "4QPM_1140"}))
    found = init.products_in(".")
    name = "hd-1-miri-f1065c-4qpm-1065"
    assert found.products[name] == {
        "science": ["./a_calints.fits", "./b_calints.fits"],
        "psf": "./c_calints.fits",
    }
    assert "rolls 10, 20 degrees; 1 exposures of reference stars" in found.notes[name]
    assert "nothing to subtract" in found.notes["hd-3-miri-f1065c-4qpm-1140"]


def test_what_is_written_can_be_planned_and_is_kept(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    here = {"region": around(10.0, 5.0)}
    images(tmp_path / "data", "a_cal.fits", "b_rate.fits", FILTER="F200W", **here)
    images(tmp_path / "data", "c_cal.fits", FILTER="F444W", **here)
    init.main(["data"])
    text = (tmp_path / "config" / "config.yaml").read_text()
    schema = yaml.safe_load((REPO / "config" / "schema.yaml").read_text())
    assert len(complete(yaml.safe_load(text), schema)["products"]) == 2
    assert "# fields: " in text
    assert "# reference_files: " in text
    assert "m82-nircam-f444w: M82: 1 image" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="holds a configuration already"):
        init.main(["data"])
    assert (tmp_path / "config" / "config.yaml").read_text() == text
    (tmp_path / "config" / "config.yaml").write_text("associations: []\n")
    init.main(["data"])
    assert (tmp_path / "config" / "config.yaml").read_text() == text


def test_it_ends_in_one_line_and_imports_nothing_heavy(tmp_path):
    for folder, words in (("nowhere", "there is no such folder"), (".", "no exposures of")):
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "snakewebb.workflow.init", folder],
            cwd=tmp_path, env={"PYTHONPATH": str(REPO / "lib")}, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 1
        assert f"snakewebb: {folder}: {words}" in done.stderr.splitlines()[-1]
        assert "| numpy\n" not in done.stderr
    with pytest.raises(InputError):
        init.products_in(tmp_path)
