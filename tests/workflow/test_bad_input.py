"""Bad input: each case ends in one line that names file and cause, or in an honest status."""

import gc
import gzip
import json
import shutil
import warnings
from dataclasses import replace

import numpy as np
import pytest
import yaml
from astropy.io import fits

import rates
from chain import image3
from crds_caches import CONTEXT, rmap, write_cache
from snakewebb.coronagraphy.align_refs import align
from snakewebb.coronagraphy.klip import Library
from snakewebb.coronagraphy.outlier_detection import neighbours, reason_to_skip
from snakewebb.coronagraphy.repair import repair_pixels
from snakewebb.coronagraphy.stack_refs import read_cube, stack
from snakewebb.coronagraphy.star import disc, star_position
from snakewebb.errors import InputError
from snakewebb.io import fits_structure, headers, planes
from snakewebb.io.dq import bad_mask
from snakewebb.jobs.cal import calibrate_exposure
from snakewebb.jobs.find_sources import describe_exposure, sources_of_exposure
from snakewebb.jobs.find_stars import locate_stars
from snakewebb.mosaicking import weights
from snakewebb.simulate import coronagraphy
from snakewebb.simulate import observation as simulate
from snakewebb.simulate.presets import preset
from snakewebb.wcs.exposure import locate, read_geometry
from snakewebb.wcs.output_wcs import read_grid
from snakewebb.workflow.checks import check_plan
from snakewebb.workflow.plan import read_plan
from workflow import REPO, planned, snakemake

SCHEMA = yaml.safe_load((REPO / "config" / "schema.yaml").read_text())
FIELD = replace(preset("nircam-f356w", npix=128), stars=60, galaxies=0, cosmic_ray_rate=0.0)


# Snakemake and astropy leave temporary folders and files open where they fail.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture(scope="module", autouse=True)
def swept():
    """Close what cases left open, lest another test trip over it."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def one_line(text, *words):
    """Check a message: one line with the words in it, of the form what: why: what to do."""
    text = str(text)
    assert "\n" not in text
    assert text.count(": ") >= 2, text
    for word in words:
        assert word in text, text


@pytest.fixture(scope="module")
def exposures(tmp_path_factory):
    """Two exposures of a field; their paths."""
    folder = tmp_path_factory.mktemp("field")
    simulate.write(replace(FIELD, dithers=FIELD.dithers[:2]), folder)
    return sorted(folder.glob("*_cal.fits"))


# --- associations and configuration: told when the Snakefile is parsed ----------------------------


def member(name="a_cal.fits", exptype="science", **more):
    return {"expname": name, "exptype": exptype, **more}


def table(*members, name="galaxy", **more):
    return {"asn_id": "o001", "products": [{"name": name, "members": list(members)}], **more}


ASSOCIATIONS = {
    "no JSON": ("{", "cannot be read as JSON"),
    "binary": (b"\x89PNG\xff\xfe", "cannot be read as JSON"),
    "empty": ("", "cannot be read as JSON"),
    "a list": ([], "holds no products"),
    "no products": ({"products": []}, "holds no products"),
    "a product that is none": ({"products": [7]}, "product name None"),
    "no members": (table(), "has no members"),
    "a member that is none": (table("a_cal.fits"), "a member has no 'expname'"),
    "missing member": (table(member("lost_cal.fits")), "lost_cal.fits: there is no such file"),
    "a folder as member": (table(member("sub")), "sub: there is no such file"),
    "member twice": (table(member(), member()), "lists a twice"),
    "member under two paths": (table(member(), member("sub/../a_cal.fits")), "lists a twice"),
    "science and psf at once": (table(member(), member(exptype="psf")), "lists a twice"),
    "misspelt exptype": (table(member(exptype="scince")), "'scince': did you mean science"),
    "unknown exptypes only": (table(member(exptype="sky")), "no member of exptype science"),
    "no exptype": (table({"expname": "a_cal.fits"}), "a_cal.fits has no 'exptype'"),
    "references only": (table(member(exptype="psf")), "no member of exptype science"),
    "name that leads upwards": (table(member(), name="../"), "product name '../'"),
    "name of dots": (table(member(), name=".."), "product name '..'"),
    "name with a blank": (table(member(), name="my galaxy"), "product name 'my galaxy'"),
    "asn_id that leads upwards": (table(member(), asn_id="../o1"), "asn_id '../o1'"),
    "asn_id without end": (table(member(), asn_id="x" * 300), "use up to 16 letters and digits"),
    "a catalogue that is none": (table(member(tweakreg_catalog=3)), "tweakreg_catalog"),
    "a catalogue that is missing": (
        table(member(tweakreg_catalog="lost.ecsv")),
        "lost.ecsv: there is no such file (catalogue of a)",
    ),
    "two products of one name": (
        {"products": 2 * table(member())["products"]},
        "product galaxy stands in the config 2 times (asn.json, asn.json)",
    ),
}  # fmt: skip
OF_ASN = {"associations": ["asn.json"]}
CONFIGURATIONS = {
    "missing association": ({"associations": ["lost.json"]}, "lost.json: there is no such"),
    "missing exposure": ({"associations": ["lost_cal.fits"]}, "lost_cal.fits: there is no such"),
    "a folder": ({"associations": ["sub"]}, "sub: cannot be read as JSON"),
    "associations that are no list": (
        {"associations": "asn.json"},
        "associations: a list of texts, not 'asn.json'",
    ),
    "unknown key": ({"assocations": []}, "assocations: unknown key: did you mean associations"),
    "unknown step": (
        {**OF_ASN, "steps": {"tweak_reg": {}}}, "tweak_reg: unknown key: did you mean tweakreg"
    ),
    "unknown parameter": (
        {**OF_ASN, "steps": {"resample": {"pixfrak": 1}}}, "did you mean pixfrac"
    ),
    "a parameter without meaning here": (
        {**OF_ASN, "steps": {"resample": {"in_memory": True}}}, "has no meaning here"
    ),
    "a step that is no mapping": ({**OF_ASN, "steps": {"resample": 1}}, "resample: must hold keys"),
    "wrong type": (
        {**OF_ASN, "steps": {"tweakreg": {"minobj": "many"}}},
        "steps.tweakreg.minobj: a whole number from 1 to 100000, not 'many'",
    ),
    "out of range": (
        {**OF_ASN, "steps": {"resample": {"pixfrac": 1.5}}},
        "resample.pixfrac: a number from 0 to 1, not 1.5",
    ),
    "shape of one number": (
        {**OF_ASN, "steps": {"resample": {"output_shape": [100]}}},
        "output_shape: a list of 2 whole numbers from 2 to 10000000 or none, not [100]",
    ),
    "not two thresholds": (
        {**OF_ASN, "steps": {"outlier_detection": {"snr": "5"}}},
        'outlier_detection.snr: two numbers, like "5.0 4.0", not',
    ),
    "unknown product": (
        {**OF_ASN, "products": {"galaxies": {}}}, "products.galaxies: no association has this"
    ),
    "unknown parameter of a product": (
        {**OF_ASN, "products": {"galaxy": {"steps": {"klip": {"trunkate": 3}}}}},
        "products.galaxy.steps.klip.trunkate: unknown key: did you mean truncate",
    ),
    "pattern without files": (
        {"products": {"x": {"science": "lost*.fits"}}}, "lost*.fits: no file matches"
    ),
    "product twice": (
        {**OF_ASN, "products": {"galaxy": {"science": "a_cal.fits"}}}, "galaxy stands in the config"
    ),
    "missing reference file": (
        {**OF_ASN, "reference_files": {"apcorr": "lost.fits"}}, "lost.fits: there is no such file"
    ),
    "missing sky levels": (
        {**OF_ASN, "steps": {"skymatch": {"skymethod": "user"}}},
        "skymatch.skylist: there is no such file",
    ),
    "missing catfile": (
        {**OF_ASN, "steps": {"tweakreg": {"use_custom_catalogs": True, "catfile": "lost.txt"}}},
        "lost.txt: catfile cannot be read",
    ),
    "missing abs_refcat": (
        {**OF_ASN, "steps": {"tweakreg": {"abs_refcat": "lost.ecsv"}}},
        "lost.ecsv: there is no such file (tweakreg.abs_refcat)",
    ),
    "missing output_wcs": (
        {**OF_ASN, "steps": {"resample": {"output_wcs": "results/lost/lost_i2d.fits"}}},
        "lost_i2d.fits: there is no such file (resample.output_wcs)",
    ),
    "an output_wcs that is none": (
        {**OF_ASN, "steps": {"resample": {"output_wcs": "asn.json"}}},
        "asn.json: output_wcs cannot be read (no ASDF file)",
    ),
}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """A folder with a file that passes for an exposure, and its association."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "a_cal.fits").touch()
    (tmp_path / "asn.json").write_text(json.dumps(table(member())))
    return tmp_path


@pytest.mark.parametrize("case", ASSOCIATIONS)
def test_associations(folder, case):
    content, words = ASSOCIATIONS[case]
    if not isinstance(content, bytes):
        content = (content if isinstance(content, str) else json.dumps(content)).encode()
    (folder / "asn.json").write_bytes(content)
    catalogs = {"steps": {"tweakreg": {"use_custom_catalogs": True}}}
    with pytest.raises(SystemExit) as caught:
        planned(folder, **OF_ASN, **catalogs)
    one_line(caught.value.code, "snakewebb: ", "galaxy" if "galaxy" in words else ".", words)
    assert not (folder / "results").exists()


@pytest.mark.parametrize("case", CONFIGURATIONS)
def test_configurations(folder, case):
    config, words = CONFIGURATIONS[case]
    with pytest.raises(SystemExit) as caught:
        planned(folder, **config)
    one_line(caught.value.code, "snakewebb: ", words)
    assert not (folder / "results").exists()


def test_a_reference_may_be_a_product_of_the_same_workflow(folder):
    (folder / "b_cal.fits").touch()
    products = {
        "deep": {"science": "a_cal.fits"},
        "shallow": {
            "science": "b_cal.fits",
            "steps": {
                "tweakreg": {"abs_refcat": "results/deep/deep_cat.ecsv"},
                "resample": {"output_wcs": "results/deep/deep_i2d.fits"},
            },
        },
    }
    assert {job[1] for job in planned(folder, products=products) if len(job) > 1} == {
        "deep",
        "shallow",
    }


# --- files: told by the first job that reads them ---------------------------------------------


def cut(path, content):
    path.write_bytes(content[: len(content) // 2])


def without(name):
    def edit(hdus):
        del hdus[name]

    return edit


def with_data(name, change):
    def edit(hdus):
        hdus[name].data = change(hdus[name].data)

    return edit


def with_card(name, **cards):
    def edit(hdus):
        hdus[name].header.update(cards)

    return edit


def cubes(hdus):
    for name in planes.PLANES:
        hdus[name].data = np.stack([hdus[name].data] * 2)


def without_keyword(hdus):
    del hdus["SCI"].header["ROLL_REF"]


def keyword_of_text(hdus):
    hdus["SCI"].header["ROLL_REF"] = "north"


def spoiled_asdf(hdus):
    tree = hdus["ASDF"].data.copy()
    tree["ASDF_METADATA"][0][200:400] = 0
    hdus["ASDF"].data = tree


def asdf_of_other_things(hdus):
    tree = b"#ASDF 1.0.0\n#ASDF_STANDARD 1.5.0\n%YAML 1.1\n--- {meta: {wcs: 3}}\n...\n"
    column = fits.Column("ASDF_METADATA", f"{len(tree)}B", array=[np.frombuffer(tree, np.uint8)])
    hdus["ASDF"] = fits.BinTableHDU.from_columns([column], name="ASDF")


RAW = {
    "empty": (lambda path, content: path.touch(), "is no FITS file"),
    "text": (lambda path, content: path.write_text("hello\n"), "is no FITS file (No SIMPLE"),
    "cut short": (cut, "is cut short"),
    "a header alone": (
        lambda path, content: path.write_bytes(b"SIMPLE  =                    T" + b" " * 3000),
        ": ",
    ),
    "cut gzip": (lambda path, content: cut(path, gzip.compress(content)), ": "),
    "a folder": (lambda path, content: path.mkdir(), "is no FITS file"),
    "missing": (lambda path, content: None, "there is no such file"),
}
EDITS = {
    "no SCI": (without("SCI"), "has no SCI extension"),
    "SCI without pixels": (with_data("SCI", lambda data: None), "SCI has shape ()"),
    "SCI of one axis": (with_data("SCI", lambda data: data[0]), "SCI has shape (128,)"),
    "a cube": (cubes, "is a cube"),
    "ERR of another shape": (with_data("ERR", lambda d: d[:-3]), "ERR has shape (125, 128)"),
    "DQ of another shape": (with_data("DQ", lambda d: d[:, :-3]), "DQ has shape (128, 125)"),
    "DQ a cube": (with_data("DQ", lambda d: np.stack([d] * 2)), "DQ has shape (2, 128, 128)"),
    "no ASDF": (without("ASDF"), "holds no gWCS"),
    "spoiled ASDF": (spoiled_asdf, "gWCS"),
    "ASDF without gWCS": (asdf_of_other_things, "holds no gWCS"),
    "missing keyword": (without_keyword, "no number for roll_ref"),
    "keyword of text": (keyword_of_text, "ROLL_REF is 'north', no number"),
}


def first_look(path):
    """Do what the first jobs of an exposure do; return its sources."""
    known, sky = locate(path)
    weights.typical_weights(path, known.header)
    sources = sources_of_exposure(path, known, sky)
    planes.read_planes(path)
    return sources["x"]


@pytest.mark.parametrize("case", RAW)
def test_raw_files(tmp_path, exposures, case):
    make, words = RAW[case]
    path = tmp_path / "bad_cal.fits"
    make(path, exposures[0].read_bytes())
    with pytest.raises(InputError) as caught:
        first_look(path)
    one_line(caught.value, str(path), words)


def edited(source, target, edit):
    with fits.open(source) as hdus:
        copy = fits.HDUList([hdu.copy() for hdu in hdus])
    edit(copy)
    copy.writeto(target)
    return target


@pytest.mark.parametrize("case", EDITS)
def test_edited_files(tmp_path, exposures, case):
    edit, words = EDITS[case]
    path = edited(exposures[0], tmp_path / "bad_cal.fits", edit)
    with pytest.raises(InputError) as caught:
        first_look(path)
    one_line(caught.value, str(path), words)


def test_a_file_that_may_not_be_read(tmp_path, exposures, monkeypatch):
    def refuse(*args, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(fits_structure, "open", refuse, raising=False)
    with pytest.raises(InputError) as caught:
        headers.exposure_header(exposures[0])
    one_line(caught.value, str(exposures[0]), "may not be read")


@pytest.mark.parametrize("kind", [">f8", ">i2", "gzip"])
def test_oddities_that_do_no_harm(tmp_path, exposures, kind):
    path = tmp_path / "odd_cal.fits"
    if kind == "gzip":
        path.write_bytes(gzip.compress(exposures[0].read_bytes()))
    else:
        scale = 1 if kind == ">f8" else 1000
        change = with_data("SCI", lambda d: np.nan_to_num(d * scale).clip(-3e4, 3e4).astype(kind))
        edited(exposures[0], path, change)
    assert len(first_look(path)) == pytest.approx(len(first_look(exposures[0])), abs=3)


def test_a_cropped_image_is_refused(tmp_path, exposures):
    """The gWCS of the whole frame would put it elsewhere; where nothing moved it does not."""

    def crop(left):
        def edit(hdus):
            for name in planes.PLANES:
                hdus[name].data = hdus[name].data[:-7, left:]
            hdus["SCI"].header["CRPIX1"] -= left

        return edit

    path = edited(exposures[0], tmp_path / "cut_cal.fits", crop(12))
    with pytest.raises(InputError) as caught:
        describe_exposure(path, tmp_path / "facts.json")
    one_line(caught.value, str(path), "is cut out of the frame of its gWCS at 12, 0", "whole frame")
    describe_exposure(edited(exposures[0], path.with_name("a_cal.fits"), crop(0)), tmp_path / "f")


# --- data: through all steps of image3 ------------------------------------------------------------


def finals(folder):
    return sorted(path.name for path in folder.glob("x_*"))


def no_stars(hdus):
    noise = np.random.default_rng(1).normal(size=hdus["SCI"].shape)
    hdus["SCI"].data = (0.1 + noise * hdus["ERR"].data).astype(np.float32)


def fill(name, value):
    def edit(hdus):
        for each in name.split():
            hdus[each].data[:] = value

    return edit


def infinite_patch(hdus):
    hdus["SCI"].data[10:20, 10:20] = np.inf
    hdus["VAR_RNOISE"].data[30, 30] = np.inf


EMPTY = {
    "all NaN": fill("SCI", np.nan),
    "all infinite": fill("SCI", np.inf),
    "all DO_NOT_USE": fill("DQ", 1),
}


@pytest.mark.parametrize("case", EMPTY)
def test_a_mosaic_of_nothing_is_none(tmp_path, exposures, case):
    bad = edited(exposures[1], tmp_path / "bad_cal.fits", EMPTY[case])
    with pytest.raises(InputError) as caught:
        image3(tmp_path / "x", [bad])
    one_line(caught.value, "x_i2d.fits", "usable pixel")
    assert finals(tmp_path / "x") == []


def test_an_exposure_without_a_pixel_leaves_the_others_alone(tmp_path, exposures):
    bad = edited(exposures[1], tmp_path / "bad_cal.fits", EMPTY["all NaN"])
    outcome = image3(tmp_path / "x", [exposures[0], bad])
    for step in ("tweakreg", "skymatch"):
        assert outcome["bad"][step]["status"] in ("FAILED", "SKIPPED")
        assert outcome["bad"][step]["reason"]
    assert np.isfinite(fits.getdata(tmp_path / "x" / "x_i2d.fits")).sum() > 16000


def test_infinite_pixels_are_left_out(tmp_path, exposures):
    bad = edited(exposures[0], tmp_path / "bad_cal.fits", infinite_patch)
    image3(tmp_path, [bad])
    sci = fits.getdata(tmp_path / "x_i2d.fits")
    assert not np.isinf(sci).any()
    assert np.isnan(sci).sum() > 50


def test_noise_alone_has_no_alignment_and_no_sources(tmp_path, exposures):
    bad = edited(exposures[1], tmp_path / "bad_cal.fits", no_stars)
    outcome = image3(tmp_path / "both", [exposures[0], bad])
    assert outcome["bad"]["tweakreg"]["status"] in ("FAILED", "SKIPPED")
    assert "s" in outcome["bad"]["tweakreg"]["reason"]
    alone = image3(tmp_path / "alone", [bad], catalog=True)
    assert alone["catalog"]["sources"] == 0
    assert "no source" in alone["catalog"]["reason"]


def test_fields_without_overlap(tmp_path):
    apart = ((0.0, 0.0), (20.0, 20.0))
    simulate.write(replace(FIELD, dithers=apart), tmp_path / "field")
    outcome = image3(tmp_path / "x", sorted((tmp_path / "field").glob("*_cal.fits")))
    for step in ("tweakreg", "skymatch"):
        assert {o[step]["status"] for o in outcome.values()} == {"SKIPPED"}
        assert all(o[step]["reason"] for o in outcome.values())


def test_one_star_is_too_few(tmp_path):
    lonely = replace(FIELD, dithers=FIELD.dithers[:2], stars=1, npix=64)
    simulate.write(lonely, tmp_path / "field")
    outcome = image3(tmp_path / "x", sorted((tmp_path / "field").glob("*_cal.fits")))
    assert {o["tweakreg"]["status"] for o in outcome.values()} <= {"FAILED", "SKIPPED"}
    assert all(o["tweakreg"]["reason"] for o in outcome.values())


def test_a_pointing_a_degree_off_is_named(tmp_path, exposures):
    astray = replace(FIELD, dithers=FIELD.dithers[:1], dec=FIELD.dec + 1.0)
    simulate.write(astray, tmp_path / "astray")
    bad = next((tmp_path / "astray").glob("*_cal.fits")).rename(tmp_path / "bad_cal.fits")
    with pytest.raises(InputError) as caught:
        image3(tmp_path / "x", [*exposures, bad])
    one_line(caught.value, "bad: ", "60.0 arcmin")
    assert finals(tmp_path / "x") == []


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("INSTRUME", "NIRISS"), ("FILTER", "F444W"), ("PUPIL", "F405N"), ("BUNIT", "DN/s")],
)
def test_exposures_that_do_not_belong_together(tmp_path, exposures, keyword, value):
    def change(hdus):
        hdus["SCI" if keyword == "BUNIT" else 0].header[keyword] = value

    bad = edited(exposures[1], tmp_path / "bad_cal.fits", change)
    with pytest.raises(InputError) as caught:
        image3(tmp_path / "x", [exposures[0], bad])
    one_line(caught.value, "bad: ", value, "products of their own")


def test_counts_have_no_magnitudes(tmp_path, exposures):
    def in_counts(hdus):
        hdus["SCI"].header["BUNIT"] = hdus["ERR"].header["BUNIT"] = "DN/s"

    bad = edited(exposures[0], tmp_path / "bad_cal.fits", in_counts)
    outcome = image3(tmp_path / "x", [bad], catalog=True)["catalog"]
    assert outcome["status"] == "FAILED"
    assert outcome["sources"] > 5
    assert outcome["reason"] == "no fluxes: the mosaic is in DN/s, not MJy/sr"
    assert finals(tmp_path / "x") == [
        *("x_cat.ecsv", "x_cat.fits", "x_cat.reg", "x_i2d.fits", "x_segm.fits")
    ]


def test_no_exposure_time_is_an_obstacle_for_weights_by_time_alone(tmp_path, exposures):
    def at_once(hdus):
        hdus["SCI"].header["XPOSURE"] = hdus[0].header["TMEASURE"] = 0.0

    bad = edited(exposures[0], tmp_path / "bad_cal.fits", at_once)
    image3(tmp_path / "x", [bad])
    assert np.isfinite(fits.getdata(tmp_path / "x" / "x_i2d.fits")).mean() > 0.9
    with pytest.raises(InputError) as caught:
        image3(tmp_path / "y", [bad], drizzle={"weight_type": "exptime"})
    one_line(caught.value, "bad: has neither a measurement nor an exposure time", "'ivm'")
    assert finals(tmp_path / "y") == []


def test_parameters_that_contradict_each_other(tmp_path, exposures):
    with pytest.raises(InputError) as caught:
        image3(tmp_path, exposures, tweakreg={"separation": 0.9, "tolerance": 0.7})
    one_line(caught.value, "separation", "tolerance")
    with pytest.raises(InputError) as caught:
        bad_mask("DO_NOT_USE+SATURETED")
    one_line(caught.value, "SATURETED")


def test_an_output_wcs_that_is_none(tmp_path, exposures):
    path = tmp_path / "grid.asdf"
    path.write_text("hello\n")
    for bad in (path, exposures[0]):
        with pytest.raises(InputError) as caught:
            read_grid(bad, 1e-5)
        one_line(caught.value, str(bad), "output_wcs")


# --- coronagraphy ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def coron(tmp_path_factory):
    """A target and one reference, an integration each; their paths."""
    folder = tmp_path_factory.mktemp("coron")
    small = replace(
        preset("nircam-coron", npix=64), integrations=1, reference_integrations=1, companions=()
    )
    small = replace(small, dithers=small.dithers[:1], rolls=small.rolls[:1])
    table = json.loads(coronagraphy.write(small, folder).read_text())
    files = {m["exptype"]: folder / m["expname"] for m in table["products"][0]["members"]}
    return files["science"], files["psf"]


def test_one_integration_and_one_reference(tmp_path, coron):
    target, reference = map(read_cube, coron)
    assert neighbours(coron[0], []) == []
    assert "one" in reason_to_skip(1, 0)
    image, _, _ = repair_pixels(target.data, target.dq)
    data, err, bad = repair_pixels(*reference)
    mask = disc(image.shape[1:], (31.0, 31.0))
    aligned = align(image[0], data, err, reference.dq, mask, bad=bad)
    library = Library(aligned.data, aligned.err)
    (made,) = library.subtract(image, np.sqrt(np.abs(image)) + 1)
    assert np.max(made.modes) == 1, "no more modes than references"
    assert np.isfinite(made.data).any()


def test_references_of_another_shape(tmp_path, coron):
    target, reference = map(read_cube, coron)
    image, _, _ = repair_pixels(target.data, target.dq)
    data, err, _ = repair_pixels(*reference)
    cropped = (plane[:, :-4] for plane in (data, err, reference.dq))
    with pytest.raises(InputError) as caught:
        align(image[0], *cropped, disc(image.shape[1:], (31.0, 31.0)))
    one_line(caught.value, "(64, 64)", "(60, 64)", "use one subarray")

    def crop(hdus):
        for hdu in hdus[1:]:
            if hdu.name in planes.PLANES:
                hdu.data = hdu.data[..., :-4, :]

    other = edited(coron[1], tmp_path / "other_calints.fits", crop)
    with pytest.raises(InputError) as caught:
        stack([coron[1], other])
    one_line(caught.value, str(other), "use one subarray")


def test_no_references_no_pixels_no_star(tmp_path, coron):
    with pytest.raises(InputError) as caught:
        stack([])
    one_line(caught.value, "no references")
    bad = edited(coron[0], tmp_path / "bad_calints.fits", fill("SCI", np.nan))
    with pytest.raises(InputError) as caught:
        locate_stars([bad])
    one_line(caught.value, str(bad), "no exposure has a good pixel")

    def nowhere(hdus):
        del hdus["SCI"].header["CRPIX1"]

    bad = edited(coron[0], tmp_path / "blind_calints.fits", nowhere)
    with pytest.raises(InputError) as caught:
        locate_stars([bad])
    one_line(caught.value, str(bad), "CRPIX1")


def test_a_star_that_is_not_found_is_where_the_header_says(tmp_path, coron):
    flat = edited(coron[0], tmp_path / "flat_t001_crfints.fits", fill("SCI", 1.0))
    (found,) = locate_stars([coron[0]]).values()
    stars = locate_stars([flat, coron[0]])
    (lost,) = (star for name, star in stars.items() if name == "flat")
    header = fits.getheader(flat, "SCI")
    assert lost.center == (header["CRPIX1"] - 1, header["CRPIX2"] - 1)
    assert np.isnan(lost.error).all()
    assert lost.reason.startswith("the star is taken to be at CRPIX: ")
    # Both are brought to where the star is that was found.
    (other,) = (star for name, star in stars.items() if name != "flat")
    assert other == found
    geometry = read_geometry(coron[0])
    moved = geometry.corrected(lost.correction)
    place = star_position(geometry, found.center)
    assert star_position(moved, lost.center) == pytest.approx(place, abs=1e-9)


# --- stage 2: told at the start by headers, or by the job, which leaves nothing ----------------


GIVEN = {
    "distortion": "distortion.asdf",
    "filteroffset": "N/A",
    "flat": "flat.fits",
    "photom": "photom.fits",
    "area": "area.fits",
}


def of(**files):
    return {"reference_files": {**GIVEN, **files}}


def steps(**image2):
    return {"image2": image2}


def crds(**changes):
    cache = {"path": "cache", "context": CONTEXT, **changes}
    return {"reference_files": {"crds": {key: value for key, value in cache.items() if value}}}


def cards(name, **values):
    """Return a function that changes cards of a file's first header."""

    def change(folder):
        with fits.open(folder / name) as hdus:
            for key, value in values.items():
                if value is None:
                    hdus[0].header.remove(key)
                else:
                    hdus[0].header[key] = value
            hdus.writeto(folder / name, overwrite=True)

    return change


def halved(name, packed=False):
    def change(folder):
        content = (folder / name.removesuffix(".gz")).read_bytes()
        cut(folder / name, gzip.compress(content) if packed else content)

    return change


def copy(name, other, edit=None):
    def change(folder):
        (folder / other).parent.mkdir(exist_ok=True)
        if edit:
            edited(folder / name, folder / other, edit)
        else:
            shutil.copy(folder / name, folder / other)

    return change


def level2(*members, name="a", **more):
    """Return a function that writes an association of stage 2."""
    listed = [member(*each) for each in members]
    content = {**table(*listed, name=name), "asn_type": "image2", **more}
    return lambda folder: (folder / "l2.json").write_text(json.dumps(content))


def both(*changes):
    return lambda folder: [change(folder) for change in changes]


def as_cube(number):
    def edit(hdus):
        for name in planes.PLANES:
            if name in hdus:
                plane = hdus[name].data
                hdus[name].data = np.zeros((number, *plane.shape), plane.dtype)

    return edit


def listed(*associations, **more):
    return {"associations": list(associations), **more}


def product(science="a_rate.fits", name="x", **more):
    return {"associations": [], "products": {name: {"science": science, **more}}}


WITH_SKY = level2(["a_rate.fits"], ["s_rate.fits", "background"])
STAGE2 = {
    # exposures
    "a _cal for a _rate": (
        cards("a_rate.fits", S_PHOTOM="COMPLETE"), {}, "a_rate.fits: is calibrated: give the _rate"
    ),
    "what is divided by a flat": (
        cards("a_rate.fits", S_FLAT="COMPLETE"), {}, "a_rate.fits: is divided by a flat field"
    ),
    "what has no background any more": (
        both(cards("a_rate.fits", S_BKDSUB="COMPLETE"), WITH_SKY),
        listed("l2.json"),
        "a_rate.fits: has no background any more: give it none",
    ),
    "a spectrum": (
        cards("a_rate.fits", EXP_TYPE="NRC_WFSS"), {}, "a_rate.fits: EXP_TYPE is NRC_WFSS: give"
    ),
    "no EXP_TYPE": (cards("a_rate.fits", EXP_TYPE=None), {}, "a_rate.fits: EXP_TYPE is missing"),
    "a rate cut short": (halved("a_rate.fits"), {}, "a_rate.fits: is cut short: fetch it again"),
    "a packed rate cut short": (
        halved("a_rate.fits.gz", packed=True), listed("a_rate.fits.gz"), "a_rate.fits.gz: cannot"
    ),
    "a rate without SCI": (
        copy("b_rate.fits", "c_rate.fits", without("SCI")),
        listed("c_rate.fits"),
        "c_rate.fits: has no SCI extension: give a _rate",
    ),
    "no integrations": (
        copy("b_rate.fits", "c_rateints.fits", as_cube(0)),
        listed("c_rateints.fits"),
        "c_rateints.fits: SCI has no pixel, or 0 integrations: give a _rateints",
    ),
    "a cube called _rate": (
        copy("b_rate.fits", "c_rate.fits", as_cube(2)),
        listed("c_rate.fits"),
        "c_rate.fits: SCI has 3 axes: give a _rate, or call it what it is",
    ),
    "an image called _rateints": (
        copy("b_rate.fits", "c_rateints.fits"), listed("c_rateints.fits"), "SCI has 2 axes: give a"
    ),
    "a name with braces": (
        copy("a_rate.fits", "a{1}_rate.fits"),
        product("a{1}_rate.fits"),
        "a{1}_rate.fits: has braces or angle brackets",
    ),
    "a name with a blank": (
        copy("a_rate.fits", "my a_rate.fits"), listed("my a_rate.fits"), "product name 'my a': use"
    ),
    "a pattern for an exposure": (
        None, listed("?_rate.fits"), "?_rate.fits: is a pattern: give it as 'science' of one of"
    ),
    "nothing of that name": (None, listed("lost_rate.fits"), "lost_rate.fits: there is no such"),
    "one exposure from two folders": (
        copy("b_rate.fits", "sub/a_rate.fits"),
        {"associations": [], "products": {
            "x": {"science": "a_rate.fits"}, "y": {"science": "sub/a_rate.fits"}
        }},
        "a_cal: is to be made in two ways, of a_rate.fits (none, 0 backgrounds) and of sub/a_rate",
    ),
    "products that differ in an exposure": (
        None,
        {"associations": [], "products": {
            "x": {"science": "a_rate.fits"},
            "y": {"science": "a_rate.fits", "reference_files": {"flat": "N/A"}},
        }},
        "a: is made for x and y, whose image2 or reference_files differ: say under products.a",
    ),
    # associations of stage 2
    "science that is missing": (
        level2(["lost_rate.fits"]), listed("l2.json"), "lost_rate.fits: there is no such file"
    ),
    "no science": (
        level2(["a_rate.fits", "background"]), listed("l2.json"), "product a has no member of"
    ),
    "a background that is missing": (
        level2(["a_rate.fits"], ["lost_rate.fits", "background"]),
        listed("l2.json"),
        "lost_rate.fits: there is no such file (l2.json",
    ),
    "a misspelt background": (
        level2(["a_rate.fits"], ["s_rate.fits", "backgroud"]),
        listed("l2.json"),
        "unknown exptype 'backgroud': did you mean background?",
    ),
    "a name that clashes": (
        level2(["b_rate.fits"]),
        listed("l2.json", "a_rate.fits"),
        "a_cal: is to be made in two ways, of b_rate.fits (l2.json, 0 backgrounds) and of a_rate",
    ),
    "an association of spectra": (
        level2(["a_rate.fits"], asn_type="spec2"),
        listed("l2.json"),
        "l2.json: is an association of spec2, but snakewebb makes image2, image3 and coron3: give",
    ),
    # backgrounds
    **{
        f"a background of another {key}": (
            both(cards("s_rate.fits", **{key: value}), WITH_SKY),
            listed("l2.json"),
            f"s_rate.fits: {key} is {value}, in a_rate.fits ",
        )
        for key, value in (
            ("INSTRUME", "NIRISS"), ("DETECTOR", "NRCBLONG"), ("FILTER", "F444W"), ("PUPIL", "FLAT")
        )
    },
    "a background that is calibrated": (
        both(cards("s_rate.fits", S_PHOTOM="COMPLETE"), WITH_SKY),
        listed("l2.json"),
        "s_rate.fits: background of a_rate.fits: is calibrated: give the _rate",
    ),
    "a background cut short": (
        both(halved("s_rate.fits"), WITH_SKY), listed("l2.json"), "s_rate.fits: is cut short: fetch"
    ),
    "backgrounds of other filters": (
        cards("s_rate.fits", FILTER="F444W"),
        product(background="s_rate.fits"),
        "a_rate.fits: no background exposure is of NIRCAM NRCALONG F356W CLEAR: add one",
    ),
    "_cal that are still _rate": (
        None, product("?_cal.fits"), "?_cal.fits: no file matches: give ?_rate.fits"
    ),
    "raw exposures": (
        copy("a_rate.fits", "a_uncal.fits"),
        product("a_uncal.fits"),
        "a_uncal.fits: is not through stage 1: run calwebb_detector1",
    ),
    "a product without a WCS": (
        None,
        {**product(), **steps(assign_wcs={"skip": True})},
        "image2.assign_wcs.skip: x needs the WCS of a: leave it out",
    ),
    "a quick look without a WCS": (
        None,
        steps(assign_wcs={"skip": True}, resample={"skip": False}),
        "image2.assign_wcs.skip: a needs a WCS to be rectified: leave it out",
    ),
    "no such backgrounds": (None, product(background="sky*.fits"), "sky*.fits: no file matches:"),
    "an empty pattern": (None, product(background=""), "'': no file matches: check 'products'"),
    "too few of themselves": (
        None,
        product(["a_rate.fits", "b_rate.fits"], background="self"),
        "a_rate.fits: is a background of its own product, with 1 other exposures of NIRCAM",
    ),
    "a background of what is calibrated": (
        lambda folder: (folder / "c_cal.fits").touch(),
        product("c_cal.fits", background="s_rate.fits"),
        "c_cal.fits: is not made by stage 2, so products.x.background cannot be subtracted: give",
    ),
    "a background of an association": (
        level2(["a_cal.fits"], name="x", asn_type="image3"),
        listed("l2.json", products={"x": {"background": "s_rate.fits"}}),
        "products.x.background: counts for a product of 'science' alone: name background members",
    ),
    "a background of an exposure": (
        None,
        {"products": {"a": {"background": "self"}}},
        "products.a: is an exposure, of which only image2 and reference_files count: say the rest",
    ),
    "steps of an exposure": (
        None,
        {"products": {"a": {"steps": {"resample": {"skip": True}}}}},
        "products.a: is an exposure, of which only image2 and reference_files count: say the rest",
    ),
    # reference files
    **{
        f"a flat of another {key}": (
            cards("flat.fits", **{key: value}),
            {},
            f"a_rate.fits: flat: flat.fits says that its {key} is {value}, not ",
        )
        for key, value in (
            ("INSTRUME", "MIRI"), ("DETECTOR", "NRCBLONG"), ("FILTER", "F444W"), ("PUPIL", "F405N"),
            ("SUBARRAY", "SUB320"),
        )
    },
    "a photom of another detector": (
        cards("photom.fits", DETECTOR="NRCA1"), {}, "photom.fits says that its DETECTOR is NRCA1,"
    ),
    "a flat for a photom": (None, of(photom="flat.fits"), "flat.fits says that its REFTYPE is"),
    "a dark for a flat": (
        cards("flat.fits", REFTYPE="DARK"), {}, "flat.fits says that its REFTYPE is DARK: give"
    ),
    "an exposure for a flat": (
        None, of(flat="b_rate.fits"), "b_rate.fits says that it is an exposure (ImageModel): give"
    ),
    "a flat cut short": (halved("flat.fits"), {}, "flat.fits: is cut short: fetch it again"),
    "a distortion cut short": (
        lambda folder: (folder / "distortion.asdf").write_bytes(
            (folder / "distortion.asdf").read_bytes().partition(b"\n...")[0]
        ),
        {},
        "distortion.asdf: is cut short: fetch it again",
    ),
    "no distortion": (None, of(distortion="N/A"), "NRC_IMAGE cannot do without: give"),
    "no flat": (None, of(flat=""), "a_rate.fits: flat: no file is given for NIRCAM F356W CLEAR"),
    "a flat that is missing": (None, of(flat="lost.fits"), "flat: lost.fits: there is no such"),
    "a flat of other detectors": (
        None, of(flat={"NRCBLONG": "flat.fits"}), "flat: no file is given for NIRCAM F356W CLEAR"
    ),
    "a flat of no detector": (
        None, of(flat={"NRCLONG": "flat.fits"}), "'NRCLONG' is neither detector, subarray, pupil"
    ),
    "a pattern that matches nothing": (
        None, of(flat="refs/*.fits"), "flat: no FITS or ASDF file is called refs/*.fits: mend"
    ),
    "two flats alike": (
        copy("flat.fits", "flat2.fits"),
        of(flat="flat*.fits"),
        "flat: flat.fits and flat2.fits fit NIRCAM F356W CLEAR SUB64 NRCALONG NRC_IMAGE equally",
    ),
    # CRDS
    "a cache without a context": (
        None, crds(context=None), "reference_files.crds.context: is not given: write it as jwst"
    ),
    "a context without a cache": (
        None, crds(path=None), "give reference_files.distortion, or crds with path and context"
    ),
    "a context that is none": (
        None, crds(context="latest"),
        "crds.context: a context, like jwst_1413.pmap or none, not 'latest'",
    ),
    "an unknown context": (
        None, crds(context="jwst_9999.pmap"), "cache lacks jwst_9999.pmap (its last context is jwst"
    ),
    "no cache": (None, crds(path="lost"), "crds: lost is no cache of CRDS (mappings/jwst holds"),
    "an incomplete cache": (
        None, crds(), "crds: cache lacks jwst_nircam_distortion_0001.asdf, which jwst_0001.pmap"
    ),
    # configuration
    "an unknown step": (None, steps(bkg_substract={}), "image2.bkg_substract: unknown key: did"),
    "an unknown parameter": (
        None, steps(assign_wcs={"dva_pivt": 1}), "assign_wcs.dva_pivt: unknown key: did you mean"
    ),
    "a parameter of spectra": (
        None, steps(photom={"mrs_time_correction": True}), "mrs_time_correction: is a parameter of"
    ),
    "a step of stage 3": (None, steps(tweakreg={}), "image2.tweakreg: stands in the wrong place:"),
    "a step of stage 2 in stage 3": (
        None,
        {"products": {"a": {"steps": {"flat_field": {}}}}},
        "products.a.steps.flat_field: stands in the wrong place: write",
    ),
    "a step of either stage": (
        None, {"resample": {}}, "resample: stands in the wrong place: write image2.resample or"
    ),
    "text for a choice": (
        None, steps(photom={"skip": "yes"}),
        "image2.photom.skip: true or false, not 'yes'",
    ),
    "a pivot that is none": (
        None, steps(assign_wcs={"dva_pivot": "star"}),
        "dva_pivot: guide_star or aperture, not 'star'",
    ),
    "out of SIP's range": (
        None, steps(assign_wcs={"sip_degree": 9}),
        "sip_degree: a whole number from 1 to 6 or none, not 9",
    ),
    "the inverse of what was not done": (
        None, steps(photom={"inverse": True}), "a_rate.fits: is not calibrated, as"
    ),
}  # fmt: skip


def zero_rows(hdus):
    hdus["PHOTOM"].data["filter"] = "F444W"


def elsewhere(hdus):
    hdus[0].header["SUBSTRT1"] = 500


def without_pointing(hdus):
    del hdus["SCI"].header["ROLL_REF"]


JOBS = {
    "no row of its filter": (
        "photom",
        zero_rows,
        "PHOTOM has no row for filter F356W, pupil CLEAR",
    ),
    "a flat of NaN": ("flat", fill("SCI", np.nan), "has no good pixel where the exposure is: give"),
    "a flat of another place": ("flat", elsewhere, "pixels at (500, 21), the exposure 40 × 30"),
    "an area of another place": ("area", elsewhere, "pixels at (500, 21), the exposure 40 × 30"),
    "no pointing": ("rate", without_pointing, "has no ROLL_REF: run set_telescope_pointing"),
    "a spoiled tree": ("rate", spoiled_asdf, "has no ASDF extension that can be read"),
    "another unit": ("rate", with_card("SCI", BUNIT="DN"), "is in DN, not DN/s: give a _rate"),
}


@pytest.fixture(scope="module")
def rate_files(tmp_path_factory):
    """A folder with count rates and their reference files."""
    folder = tmp_path_factory.mktemp("stage2")
    for seed, name in enumerate(("a", "b", "s")):
        rates.write_rate(folder / f"{name}_rate.fits", seed=seed)
    rates.write_distortion(folder / "distortion.asdf")
    rates.write_flat(folder / "flat.fits")
    rates.write_photom(
        folder / "photom.fits", rows=[{"filter": "F356W", "pupil": "CLEAR", "photmjsr": 0.5}]
    )
    rates.write_area(folder / "area.fits")
    rows = "('NRCALONG',): UseAfter({'2014-01-01 00:00:00': 'jwst_nircam_distortion_0001.asdf'}),"
    rules = rmap(("META.INSTRUMENT.DETECTOR",), rows, "distortion")
    write_cache(folder / "cache", {"distortion": rules}, {})
    return folder


@pytest.fixture
def stage2_folder(tmp_path, monkeypatch, rate_files):
    shutil.copytree(rate_files, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def checked(**config):
    """Do what is done before any job: return the plan."""
    plan = read_plan({"associations": ["a_rate.fits"], **of(), **config}, SCHEMA)
    check_plan(plan)
    return plan


@pytest.mark.parametrize("case", STAGE2)
def test_stage_2_at_the_start(stage2_folder, case):
    change, config, words = STAGE2[case]
    if change:
        change(stage2_folder)
    with pytest.raises(InputError) as caught:
        checked(**config)
    one_line(f"snakewebb: {caught.value}", words)


@pytest.mark.parametrize("case", JOBS)
def test_stage_2_in_its_job(stage2_folder, case):
    what, edit, words = JOBS[case]
    files = {"rate": "a_rate.fits", **GIVEN}
    files[what] = edited(files[what], "bad.fits", edit)
    exposure, before = files.pop("rate"), sorted(stage2_folder.iterdir())
    del files["filteroffset"]
    with pytest.raises(InputError) as caught:
        calibrate_exposure(exposure, "a_cal.fits", references=files)
    one_line(caught.value, "bad.fits: ", words)
    assert sorted(stage2_folder.iterdir()) == before


def test_a_rate_that_may_not_be_read(stage2_folder, monkeypatch):
    def refuse(*args, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(fits_structure, "open", refuse, raising=False)
    with pytest.raises(InputError, match=r"a_rate.fits: may not be read: change its permissions"):
        checked()


def test_stage_2_oddities_that_do_no_harm(stage2_folder):
    """The files of all cases are fine as they are, and one may be written in several ways."""
    level2(["a_rate.fits"])(stage2_folder)
    (stage2_folder / "b_rate.fits.gz").write_bytes(
        gzip.compress((stage2_folder / "b_rate.fits").read_bytes())
    )
    shutil.copy("b_rate.fits", "c[1]_rate.fits")
    plan = checked(
        associations=["l2.json", "./a_rate.fits", "b_rate.fits.gz"],
        products={"x": {"science": [str(stage2_folder / "a_rate.fits"), "c[1]_rate.fits"]}},
        **of(flat={"NRCALONG": "flat.fits"}, photom="photom*.fits", area="n/a"),
    )
    assert list(plan.stage2.exposures) == ["a_cal", "b_cal", "c[1]_cal"]
    for known in plan.stage2.exposures.values():
        references = plan.stage2.references(known.name, known.kind)
        calibrate_exposure(known.rate, f"{known.key}.fits", references=references)


def test_stage_2_with_snakemake(stage2_folder):
    """As one line, in a dry run too."""
    halved("flat.fits")(stage2_folder)
    with pytest.raises(SystemExit) as caught:
        planned(stage2_folder, **listed("a_rate.fits"), **of())
    one_line(caught.value.code, "snakewebb: flat.fits: is cut short")
    assert not (stage2_folder / "results").exists()


# --- end to end -----------------------------------------------------------------------------------


def test_a_failing_job_says_what_to_do(tmp_path, exposures):
    """Among other products: these are made, and the last lines tell why one is not."""
    content = exposures[0].read_bytes()
    cut(tmp_path / "short_cal.fits", content)
    edited(exposures[0], tmp_path / "blind_cal.fits", without("ASDF"))
    (tmp_path / "good_cal.fits").write_bytes(content)
    config = {"associations": [f"{name}_cal.fits" for name in ("short", "blind", "good")]}
    targets = [f"results/{name}/{name}_i2d.fits" for name in ("short", "blind", "good")]
    done = snakemake(tmp_path, *targets, "--keep-going", check=False, **config)
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if line.startswith("snakewebb: ")]
    # Those of jobs themselves come as they fail, and name their logs at the end.
    told = [line for line in lines if not line.endswith(".log)")]
    assert len(told) == 3
    assert told == lines[-3:]
    for name, why in (("short", "is cut short: fetch it again"), ("blind", "holds no gWCS")):
        (line,) = (line for line in told if f"{name}_cal.fits: {why}" in line)
        log = line.removeprefix("snakewebb: ").partition(":")[0]
        assert why in (tmp_path / log).read_text()
        assert line.count("\n") == 0
    assert "same command again" in told[-1]
    assert "Traceback" not in done.stderr
    assert "CalledProcessError" not in done.stderr
    assert [path.name for path in tmp_path.glob("results/*/*_i2d.fits")] == ["good_i2d.fits"]
    assert not list(tmp_path.glob("results/**/.*.partial"))
