"""What is told, and planned, before any job runs."""

import json
import subprocess
import sys
import warnings
from gc import collect

import numpy as np
import pytest
import yaml
from astropy.io import fits

from workflow import REPO, planned

# Snakemake leaves temporary folders and files open where it fails.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture(scope="module", autouse=True)
def swept():
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        collect()


def cube(path, **cards):
    own = fits.Header({"BUNIT": "MJy/sr", "CRPIX1": 4.5, "CRPIX2": 4.5})
    sci = fits.ImageHDU(np.zeros((2, 8, 8), "f4"), own, name="SCI")
    header = fits.Header({"FILTER": "F335M", "CORONMSK": "MASKA335R"} | cards)
    tree = fits.ImageHDU(name="ASDF")
    fits.HDUList([fits.PrimaryHDU(header=header), sci, tree]).writeto(path)
    return str(path)


def refused(folder, **config):
    """Return the one line that a plan ends in."""
    with pytest.raises(SystemExit) as caught:
        planned(folder, **config)
    line = str(caught.value.code)
    assert line.startswith("snakewebb: ")
    assert "\n" not in line
    return line


def test_a_single_exposure_goes_the_whole_way(tmp_path):
    (tmp_path / "a_cal.fits").touch()
    jobs = planned(tmp_path, associations=["a_cal.fits"])
    rules = {job[0] for job in jobs}
    assert {"find_sources", "align", "skymatch", "median", "crf", "i2d"} <= rules
    assert ("crf", "a", "a", "a3001") in jobs


def test_names_that_snakemake_could_misread(tmp_path):
    """Brackets are literal where there is such a file; a product may be called as an ``_i2d``."""
    for name in ("a[12]_cal.fits", "a1_cal.fits", "b_cal.fits"):
        (tmp_path / name).touch()
    products = {
        "literal": {"science": "a[12]_cal.fits"},
        "pattern": {"science": "a[13]_cal.fits"},
        "b_a3001": {"science": "b_cal.fits"},
        "c_i2d.fits": {"science": "b_cal.fits"},
    }
    crfs = {job[1:3] for job in planned(tmp_path, products=products) if job[0] == "crf"}
    assert crfs == {("literal", "a[12]"), ("pattern", "a1"), ("b_a3001", "b"), ("c", "b")}
    line = refused(tmp_path, products=products, exposure_i2d=True)
    assert "b_a3001: is the name of its exposure's _i2d" in line


def test_what_is_not_used_is_said_once(tmp_path, capsys):
    for name in ("a", "b"):
        (tmp_path / f"{name}_cal.fits").touch()
    types = {"a": "science", "b": "science", "c": "target_acquistion", "d": "catalog"}
    members = [{"expname": f"{name}_cal.fits", "exptype": kind} for name, kind in types.items()]
    table = {"asn_type": "image3", "products": [{"name": "x", "members": members}]}
    (tmp_path / "asn.yaml").write_text(yaml.safe_dump(table))
    (tmp_path / "cats.txt").write_text("# none yet\na_cal.fits\n")
    step = {"use_custom_catalogs": True, "catfile": "cats.txt"}
    planned(tmp_path, associations=["asn.yaml"], steps={"tweakreg": step})
    lines = [line for line in capsys.readouterr().err.splitlines() if "snakewebb: " in line]
    assert lines == [
        "snakewebb: x: 2 of 2 exposures have no custom catalogue: their stars are searched",
        "snakewebb: associations hold what is not used: exptype target_acquistion (1), "
        "exptype catalog (1)",
    ]


def test_a_key_that_is_given_twice(tmp_path):
    with pytest.raises(SystemExit) as caught:
        planned(tmp_path, text="associations: []\nsteps: {}\nassociations: [x.json]\n")
    assert "planned.yaml: " in str(caught.value.code)
    assert "line 3: 'associations' is given twice" in str(caught.value.code)


def test_a_dq_bit_that_there_is_none(tmp_path):
    (tmp_path / "a_cal.fits").touch()
    steps = {"skymatch": {"dqbits": "DO_NOT_USE+SATURETED"}}
    line = refused(tmp_path, associations=["a_cal.fits"], steps=steps)
    assert "steps.skymatch.dqbits: " in line
    assert "'SATURETED' is no DQ bit" in line


def test_exposures_and_references_of_coronagraphy(tmp_path):
    """Each fault is told before the first job; without it there is a plan."""
    files = {
        "science": [cube(tmp_path / "a_calints_bgsub.fits")],
        "psf": [cube(tmp_path / "b_calints_bgsub.fits")],
    }
    good = {"products": {"x": files}}
    assert ("psfsub", "x", "a_calints_bgsub", "a3001", "") in planned(tmp_path, **good)

    other = cube(tmp_path / "c_calints.fits", FILTER="F444W")
    line = refused(tmp_path, products={"x": {**files, "psf": [other]}})
    assert "c_calints.fits: its FILTER is F444W, but that of a_calints_bgsub is F335M" in line

    mask = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.ones((8, 9)), name="SCI")])
    mask.writeto(tmp_path / "mask.fits")
    line = refused(tmp_path, **good, reference_files={"psfmask": {"F335M": "mask.fits"}})
    assert "mask.fits: its image has shape (8, 9), the exposures (8, 8)" in line

    alone = {"associations": files["science"]}
    assert "has no reference exposures: name psf members" in refused(tmp_path, **alone)
    line = refused(tmp_path, **alone, steps={"klip": {"strategy": "ADI"}})
    assert "no other exposure is turned against a_calints_bgsub" in line
    rules = {job[0] for job in planned(tmp_path, **alone, steps={"klip": {"skip": True}})}
    assert {"crfints", "psfsub", "coron_i2d"} <= rules
    assert not rules & {"psfstack", "psfalign", "contrast"}


def test_a_star_of_two_brightnesses(tmp_path):
    """Told before the first job, be they of the configuration or of the association."""
    names = {kind: cube(tmp_path / f"{kind}_calints.fits") for kind in ("science", "psf")}
    step = {"star_flux": 1.0, "star_abmag": 8.9}
    files = {"products": {"x": names}}
    line = refused(tmp_path, **files, steps={"contrast": step})
    assert line == "snakewebb: x: star_abmag and star_flux of its star are given: keep one"
    assert planned(tmp_path, **files, steps={"contrast": step | {"skip": True}})
    members = [{"expname": path, "exptype": kind} for kind, path in names.items()]
    table = {"products": [{"name": "x", "members": members, **step}]}
    (tmp_path / "asn.json").write_text(json.dumps(table))
    assert refused(tmp_path, associations=["asn.json"]) == line
    assert planned(tmp_path, associations=["asn.json"], steps={"contrast": {"star_vegamag": 3.0}})


def test_rolls_of_several_stars_are_told(tmp_path, capsys):
    """They are combined about their stars, whatever these are: other names may be of one star."""
    names = {"a": "HD 1", "b": "HD 2", "c": "HD 3", "d": ""}
    paths = {key: cube(tmp_path / f"{key}_calints.fits", TARGNAME=n) for key, n in names.items()}
    files = {"science": [paths["a"], paths["d"]], "psf": [paths["c"]]}
    assert planned(tmp_path, products={"x": files})
    assert "several targets" not in capsys.readouterr().err
    files["science"] = [paths["a"], paths["b"], paths["d"]]
    assert planned(tmp_path, products={"x": files})
    assert (
        "snakewebb: x: its exposures are of several targets: HD 1, HD 2" in capsys.readouterr().err
    )


def test_an_association_of_another_pipeline(tmp_path):
    table = {"asn_type": "wfs-image3", "products": [{"name": "x", "members": []}]}
    (tmp_path / "asn.json").write_text(json.dumps(table))
    line = refused(tmp_path, associations=["asn.json"])
    assert "asn.json: is an association of wfs-image3, but snakewebb makes image2, image3" in line


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ({"separation": 0.5}, "steps.tweakreg.separation: 0.5 arcsec is not larger than √2 × tol"),
        ({"abs_tolerance": 0.8, "abs_refcat": "GAIADR3"}, "tweakreg.abs_separation: 1.0 arcsec is"),
        ({"abs_tolerance": 0.8}, ""),
        ({"skip": True, "tolerance": 0.8}, ""),
        ({"abs_refcat": "GAIADR9"}, "abs_refcat: GAIADR9 is not known: one of GAIAREFCAT"),
        ({"abs_refcat": "gaiadr3"}, ""),
    ],
)
def test_parameters_that_contradict_each_other_are_told_where_they_are_used(tmp_path, step, told):
    (tmp_path / "a_cal.fits").touch()
    options = {"associations": ["a_cal.fits"], "steps": {"tweakreg": step}}
    if told:
        assert told in refused(tmp_path, **options)
    else:
        assert planned(tmp_path, **options)


@pytest.mark.parametrize("text", [None, "", "# mine\n", "associations: []\n"])
def test_an_empty_configuration_plans_nothing(tmp_path, text):
    """Nor does it stop what asks for no configuration: the catalogue of workflows, a linter."""
    if text is not None:
        (tmp_path / "config").mkdir()
        (tmp_path / "config" / "config.yaml").write_text(text)
    for arguments in (["--cores", "1"], ["--lint"], ["--rulegraph"]):
        done = subprocess.run(
            [sys.executable, "-m", "snakemake", "-s", str(REPO / "Snakefile"), *arguments],
            cwd=tmp_path, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert (
            "snakewebb: nothing to do: list your associations under 'associations' in "
            "config/config.yaml"
        ) in done.stderr.splitlines()
    assert "digraph" in done.stdout
    assert not (tmp_path / "results").exists()
