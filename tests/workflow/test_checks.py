"""What is asked of exposures before any job runs."""

import numpy as np
import pytest
from astropy.io import fits

from snakewebb.errors import InputError
from snakewebb.workflow import associations
from snakewebb.workflow.checks import LONGEST, check_files, check_tables, check_together

SETUP = {
    "INSTRUME": "NIRCAM",
    "DETECTOR": "NRCALONG",
    "FILTER": "F335M",
    "PUPIL": "MASKRND",
    "CORONMSK": "MASKA335R",
    "SUBARRAY": "SUB320A335R",
}
NONE = {"psfmask": None, "throughput": None, "psf": None}


def image(path, shape, name="SCI", **cards):
    sci = fits.ImageHDU(np.zeros(shape, "f4"), fits.Header(cards), name=name)
    fits.HDUList([fits.PrimaryHDU(), sci]).writeto(path)
    return path


@pytest.fixture
def product(tmp_path):
    """Return a product of two rolls and a reference, of which one exposure may be another kind."""

    def of(odd=None, *, shape=(2, 8, 10), roll=10.0, **cards):
        files = {"science": [], "psf": []}
        for name, exptype, angle in (
            ("one", "science", 0.0), ("two", "science", roll), ("ref", "psf", 90.0)
        ):  # fmt: skip
            own = {"BUNIT": "MJy/sr", "ROLL_REF": angle, "CRPIX1": 4.5, "CRPIX2": 4.5}
            own |= cards if name == odd else {}
            tree = [] if own.pop("tree", "") is None else [fits.ImageHDU(name="ASDF")]
            primary = {key: own.pop(key, value) for key, value in SETUP.items()}
            sci = fits.ImageHDU(
                np.zeros(shape if name == odd else (2, 8, 10), "f4"),
                fits.Header({key: value for key, value in own.items() if value is not None}),
                name="SCI",
            )
            hdus = fits.HDUList([fits.PrimaryHDU(), sci, *tree])
            hdus[0].header.update({k: v for k, v in primary.items() if v is not None})
            hdus.writeto(tmp_path / f"{name}_calints.fits")
            files[exptype].append(tmp_path / f"{name}_calints.fits")
        return associations.of_files("star", files)

    return of


@pytest.mark.parametrize("odd", ["two", "ref"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"FILTER": "F444W"}, "its FILTER is F444W, but that of one is F335M"),
        ({"CORONMSK": "MASKA430R"}, "its CORONMSK is MASK430R, but that of one is MASK335R"),
        ({"SUBARRAY": "FULL"}, "its SUBARRAY is FULL"),
        ({"DETECTOR": "NRCA2"}, "its DETECTOR is NRCA2"),
        ({"PUPIL": "MASKBAR"}, "its PUPIL is MASKBAR"),
        ({"INSTRUME": "MIRI"}, "its INSTRUME is MIRI"),
        ({"BUNIT": "DN/s"}, "its BUNIT is DN/s, but that of one is MJy/sr"),
        ({"shape": (2, 8, 9)}, "its size is 9 × 8, but that of one is 10 × 8"),
    ],
)
def test_exposures_that_do_not_belong_together(product, odd, change, words):
    made = product(odd, **change)
    with pytest.raises(InputError) as caught:
        check_together(made, strategy="RDI", images=NONE)
    assert f"{odd}_calints.fits: {words}" in str(caught.value)
    assert "put them in products of their own" in str(caught.value)
    if odd == "ref":
        check_together(made, strategy="ADI", images=NONE)
        check_together(made, strategy=None, images=NONE)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"CRPIX2": None}, "has no CRPIX1 and CRPIX2, where the star is: add them"),
        ({"tree": None}, "holds no gWCS (meta.wcs): run assign_wcs on it"),
    ],
)
def test_targets_say_where_the_star_is(product, change, words):
    with pytest.raises(InputError) as caught:
        check_together(product("two", **change), strategy=None, images=NONE)
    assert f"two_calints.fits: {words}" in str(caught.value)


@pytest.mark.parametrize("end", ["0" * 20, "ab" * 20, "0" * 19])
def test_names_that_snakemake_takes_for_a_loop(tmp_path, end):
    path = tmp_path / f"a{end}_cal.fits"
    path.touch()
    for made, told in (
        (
            associations.of_files("x", {"science": [path]}),
            f"{path}: its name ends in 20 equal parts",
        ),
        (associations.of_files(f"x{end}", {"science": [path]}), f"product name x{end} ends in 20"),
    ):
        if len(end) == 19:
            check_files(made)
            continue
        with pytest.raises(InputError) as caught:
            check_files(made)
        assert told in str(caught.value)


def test_tables_of_photometry_are_of_their_kind(tmp_path):
    table = fits.BinTableHDU.from_columns([fits.Column("a", "D", array=[1.0])], name="APCORR")
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(tmp_path / "apcorr.fits")
    (tmp_path / "vega.asdf").write_bytes(b"#ASDF 1.0.0\n")
    good = {"apcorr": str(tmp_path / "apcorr.fits"), "abvegaoffset": str(tmp_path / "vega.asdf")}
    check_tables(**good)
    check_tables(None, None)
    fits.PrimaryHDU().writeto(tmp_path / "other.fits")
    for name, file, words in (
        ("apcorr", "other.fits", "other.fits: has no APCORR table: give"),
        ("apcorr", "vega.asdf", "vega.asdf: is no FITS file"),
        ("abvegaoffset", "apcorr.fits", "apcorr.fits: is no ASDF file: give"),
    ):
        with pytest.raises(InputError) as caught:
            check_tables(**good | {name: str(tmp_path / file)})
        assert words in str(caught.value)


@pytest.mark.parametrize("change", [{"CRPIX2": None}, {"tree": None}])
def test_references_need_no_place(product, change):
    check_together(product("ref", **change), strategy="RDI", images=NONE)


@pytest.mark.parametrize(
    "change",
    [{"CORONMSK": "MASK335R"}, {"CORONMSK": None}, {"BUNIT": None}, {"shape": (1, 8, 10)},
     {"shape": (8, 10)}],
)  # fmt: skip
def test_differences_that_are_none(product, change):
    check_together(product("ref", **change), strategy="ADI+RDI", images=NONE)


def test_what_cannot_be_read_is_left_to_the_jobs(product, tmp_path):
    made = product()
    (tmp_path / "two_calints.fits").write_bytes(b"SIMPLE")
    check_together(made, strategy="RDI", images=NONE)
    check_together(made, strategy="ADI", images=NONE)


def test_references_that_a_strategy_needs(product, tmp_path):
    made = product(roll=0.5)
    check_together(made, strategy="RDI", images=NONE)
    with pytest.raises(InputError, match="star: no other exposure is turned against one, as ADI"):
        check_together(made, strategy="ADI", images=NONE)
    alone = associations.read(tmp_path / "one_calints.fits")[0]
    for strategy in ("RDI", "ADI+RDI"):
        with pytest.raises(InputError, match="one: has no reference exposures: name psf members"):
            check_together(alone, strategy=strategy, images=NONE)
    with pytest.raises(InputError, match="no other exposure is turned against one"):
        check_together(alone, strategy="ADI", images=NONE)
    check_together(alone, strategy=None, images=NONE)


@pytest.mark.parametrize(
    ("name", "shape", "right"),
    [
        ("psfmask", (8, 10), True),
        ("psfmask", (10, 8), False),
        ("psfmask", (1, 8, 10), False),
        ("throughput", (8, 10), True),
        ("throughput", (9, 10), False),
        ("psf", (5, 5), True),
        ("psf", (4, 4), False),
        ("psf", (5, 7), False),
        ("psf", (5, 5, 5), False),
    ],
)
def test_images_of_reference_files(product, tmp_path, name, shape, right):
    path = image(tmp_path / "reference.fits", shape)
    images = {**NONE, name: path}
    if right:
        check_together(product(), strategy="RDI", images=images)
        return
    with pytest.raises(InputError) as caught:
        check_together(product(), strategy="RDI", images=images)
    assert str(path) in str(caught.value)
    assert str(shape) in str(caught.value)


def test_a_psfmask_needs_the_extension_sci(product, tmp_path):
    made, path = product(), image(tmp_path / "mask.fits", (8, 10), name="MASK")
    with pytest.raises(InputError, match=r"mask.fits: its image has shape \(\)"):
        check_together(made, strategy="RDI", images={"psfmask": path})
    check_together(made, strategy="RDI", images={"throughput": path})


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a[1]_cal.fits", None),
        ("a b'c\"_cal.fits", None),
        ("a{b}_cal.fits", "braces or angle brackets"),
        ("{b}/a_cal.fits", "braces or angle brackets"),
        ("<b>/a_cal.fits", "braces or angle brackets"),
        ("é_cal.fits", "rename it, in ASCII"),
        ("é/a_cal.fits", None),
        ("a\tb_cal.fits", "rename it, in ASCII"),
        ("a" * (LONGEST - 1) + "b" + "_cal.fits", None),
        ("a" * (LONGEST + 1) + "_cal.fits", "too long"),
        ("a" * 300 + "_cal.fits", "there is no such file (x of x_asn.json)"),
        ("a\0_cal.fits", "there is no such file"),
    ],
)
def test_names_of_files(tmp_path, monkeypatch, name, words):
    monkeypatch.chdir(tmp_path)
    if words is None or "no such" not in words:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    product = associations.of_files("x", {"science": [name]})
    if words is None:
        check_files(product)
        return
    with pytest.raises(InputError) as caught:
        check_files(product)
    assert words in str(caught.value)
    assert str(caught.value).isprintable()


def test_long_names_of_products(tmp_path):
    (tmp_path / "a_cal.fits").touch()
    files = {"science": [tmp_path / "a_cal.fits"]}
    check_files(associations.of_files("x" * (LONGEST - 1) + "y", files))
    with pytest.raises(InputError, match="too long"):
        check_files(associations.of_files("x" * (LONGEST + 1), files))
