"""What reference files say of themselves."""

import gzip
import json

import pytest
from astropy.io import fits

from snakewebb.errors import InputError
from snakewebb.references.headers import (
    agreements,
    alternatives,
    contradictions,
    reference_header,
    useafter,
)

META = {
    "author": "somebody",
    "reftype": "distortion",
    "useafter": "2014-10-01T00:00:00",
    "instrument": {
        "name": "NIRCAM",
        "detector": "NRCALONG",
        "channel": "LONG",
        "module": "A",
        "band": "N/A",
        "filter": "N/A",
        "p_pupil": "CLEAR|F323N|MASKIPR|",
    },
    "exposure": {"type": "NRC_IMAGE", "p_exptype": "NRC_IMAGE|NRC_TACQ|", "readpatt": "ANY"},
    "subarray": {"name": "FULL", "p_subarray": "GENERIC|"},
    "input_units": "pixel",
}
WANTED = {
    "REFTYPE": "distortion",
    "USEAFTER": "2014-10-01T00:00:00",
    "INSTRUME": "NIRCAM",
    "DETECTOR": "NRCALONG",
    "CHANNEL": "LONG",
    "MODULE": "A",
    "BAND": "N/A",
    "FILTER": "N/A",
    "P_PUPIL": "CLEAR|F323N|MASKIPR|",
    "EXP_TYPE": "NRC_IMAGE",
    "P_EXP_TY": "NRC_IMAGE|NRC_TACQ|",
    "READPATT": "ANY",
    "SUBARRAY": "FULL",
    "P_SUBARR": "GENERIC|",
}


def asdf(meta, before="", after="model: !transform/shift-1.2.0 {offset: 1.0}"):
    """Return an ASDF file, with blocks that are no text."""
    head = "#ASDF 1.0.0\n#ASDF_STANDARD 1.3.0\n%YAML 1.1\n%TAG ! tag:stsci.edu:asdf/\n--- "
    tree = f"!core/asdf-1.1.0\n{before}\nmeta: {json.dumps(meta)}\n{after}\n...\n"
    return (head + tree).encode() + b"\xd3BLK\x00\xff\n..."


def write(path, cards):
    fits.PrimaryHDU(header=fits.Header(cards)).writeto(path)
    return path


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", ""),
        ("history: [{meta: {useafter: never}}, [a, [b]]]", "meta2: 5"),
        ("a: {b: {meta: 5}}\nc: &d [1, 2]\ne: *d\nf: ''\n'': {g: h}", "model: [broken"),
    ],
)
def test_asdf(tmp_path, before, after):
    (tmp_path / "a.asdf").write_bytes(asdf(META, before, after))
    assert reference_header(tmp_path / "a.asdf") == WANTED


def test_asdf_in_blocks_of_yaml(tmp_path):
    content = asdf({}).replace(
        b"meta: {}",
        b"meta:\n  ? instrument\n  : &x {name: MIRI, detector: *y}\n  alias: *x\n  exposure:\n"
        b"    type: !tag MIR_IMAGE\n  list:\n  - {name: 5}\n  subarray: {name: FULL}",
    )
    (tmp_path / "a.asdf.gz").write_bytes(gzip.compress(content))
    known = {"INSTRUME": "MIRI", "EXP_TYPE": "MIR_IMAGE", "SUBARRAY": "FULL"}
    assert reference_header(tmp_path / "a.asdf.gz") == known


def test_fits(tmp_path):
    long = "|".join(f"NRC_TYPE{k}" for k in range(20)) + "|"
    path = write(tmp_path / "a.fits", {"INSTRUME": "NIRCAM", "P_EXP_TY": long})
    read = reference_header(path)
    assert read["INSTRUME"] == "NIRCAM"
    assert alternatives(read, "EXP_TYPE") == {f"NRC_TYPE{k}" for k in range(20)}


def test_a_file_that_was_changed_is_read_anew(tmp_path):
    path = tmp_path / "a.asdf"
    path.write_bytes(asdf({"instrument": {"name": "MIRI"}}))
    assert reference_header(path) == {"INSTRUME": "MIRI"}
    path.write_bytes(asdf({"instrument": {"name": "NIRISS"}}))
    assert reference_header(path) == {"INSTRUME": "NIRISS"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is no FITS file"),
        (b"text", "is no FITS file"),
        (b"#ASDF 1.0.0\n%YAML 1.1\n--- {a: [b}", "is no ASDF file .did not find expected"),
        (b"#ASDF 1.0.0\n%YAML 1.1\n--- {[a, b]: c}", "is no ASDF file .a key is no word.: fetch"),
        (b"#ASDF 1.0.0\n%YAML 1.1\n--- {a: \x00}", "is no ASDF file .*control characters"),
        (b"#ASDF 1.0.0\n%YAML 1.1\n--- {a: \xff}", "is no ASDF file .*invalid leading UTF-8"),
    ],
)
def test_files_that_are_none_are_told_in_one_line(tmp_path, content, words):
    (tmp_path / "a.asdf").write_bytes(content)
    with pytest.raises(InputError, match=f"^{tmp_path / 'a.asdf'}: .*{words}"):
        reference_header(tmp_path / "a.asdf")


def test_absent_files_and_folders(tmp_path):
    with pytest.raises(InputError, match="there is no such file"):
        reference_header(tmp_path / "b.fits")
    with pytest.raises(InputError, match="is no FITS file but a folder"):
        reference_header(tmp_path)


def test_deep_trees_are_no_trouble(tmp_path):
    (tmp_path / "a.asdf").write_bytes(asdf(META, "deep: " + "[" * 5000 + "]" * 5000))
    assert reference_header(tmp_path / "a.asdf") == WANTED


@pytest.mark.parametrize(
    ("reference", "keyword", "wanted"),
    [
        ({"PUPIL": "CLEAR"}, "PUPIL", {"CLEAR"}),
        ({"PUPIL": " clear "}, "PUPIL", {"CLEAR"}),
        ({"PUPIL": "CLEAR", "P_PUPIL": "MASKRND|F405N |"}, "PUPIL", {"MASKRND", "F405N"}),
        ({"PUPIL": "CLEAR", "P_PUPIL": " "}, "PUPIL", {"CLEAR"}),
        ({"PUPIL": "CLEAR", "P_PUPIL": "CLEAR|ANY|"}, "PUPIL", set()),
        ({"PUPIL": "N/A"}, "PUPIL", set()),
        ({}, "PUPIL", set()),
        ({"MODULE": "MULTIPLE"}, "MODULE", set()),
        ({"SUBARRAY": "FULL", "P_SUBARR": "GENERIC|"}, "SUBARRAY", set()),
    ],
)
def test_alternatives(reference, keyword, wanted):
    assert alternatives(reference, keyword) == wanted


@pytest.mark.parametrize(
    ("reference", "wanted"),
    [
        ({}, {}),
        ({"INSTRUME": "NIRCAM", "DETECTOR": "NRCALONG", "MODULE": "A"}, {}),
        ({"MODULE": "B", "DETECTOR": "NRCBLONG"}, {"MODULE": "B", "DETECTOR": "NRCBLONG"}),
        ({"PUPIL": "F405N", "P_PUPIL": "CLEAR|FLAT|"}, {}),
        ({"PUPIL": "CLEAR", "P_PUPIL": "F405N|FLAT|"}, {"PUPIL": "F405N|FLAT"}),
        ({"BAND": "LONG"}, {}),  # the exposure does not say
        ({"FILTER": "F356W"}, {}),  # nor this
        ({"SUBARRAY": "FULL"}, {}),
        ({"SUBARRAY": "SUB64"}, {"SUBARRAY": "SUB64"}),
        ({"SUBARRAY": "SUB320"}, {}),
        ({"SUBARRAY": "SUB64", "P_SUBARR": "FULL|SUB64|"}, {}),
        ({"READPATT": "RAPID"}, {}),  # was not asked
    ],
)
def test_contradictions(reference, wanted):
    exposure = {"INSTRUME": "NIRCAM", "DETECTOR": "nrcalong ", "MODULE": "A", "PUPIL": "CLEAR"}
    exposure |= {"SUBARRAY": "SUB320", "FILTER": "N/A", "READPATT": "BRIGHT1"}
    keys = ("INSTRUME", "DETECTOR", "MODULE", "BAND", "FILTER", "PUPIL", "SUBARRAY")
    assert contradictions(exposure, reference, keys) == wanted


def test_agreements():
    exposure = {"INSTRUME": "NIRCAM", "MODULE": "A", "PUPIL": " clear", "SUBARRAY": "SUB64"}
    reference = {"INSTRUME": "nircam", "MODULE": "B", "PUPIL": "N/A", "P_PUPIL": "CLEAR|FLAT|"}
    keys = ("INSTRUME", "MODULE", "PUPIL", "SUBARRAY", "BAND")
    assert agreements(exposure, reference | {"SUBARRAY": "FULL"}, keys) == 2
    assert agreements(exposure, reference | {"SUBARRAY": "SUB64"}, keys) == 3


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2014-10-01T00:00:00", "2014-10-01 00:00:00"),
        ("2014-10-01", "2014-10-01 00:00:00"),
        ("2014-10-01T00:00:00Z", "2014-10-01 00:00:00"),
        ("2014-10-01 12:30:00.5", "2014-10-01 12:30:00.500000"),
        ("Jan 01 2015 00:00:00", "2015-01-01 00:00:00"),
        ("Jan 1 2015", "2015-01-01 00:00:00"),
        ("", ""),
        ("N/A", ""),
    ],
)
def test_useafter(text, wanted):
    assert useafter({"USEAFTER": text}, "a.fits") == wanted
    assert useafter({}, "a.fits") == ""


def test_dates_that_are_none():
    with pytest.raises(InputError, match=r"^a.fits: USEAFTER 'soon' is no date: write it as 2022"):
        useafter({"USEAFTER": "soon"}, "a.fits")


def test_real_files(real_data):
    folder = real_data / "references"
    read = reference_header(folder / "jwst_nircam_filteroffset_0001.asdf")
    assert [read[key] for key in ("CHANNEL", "MODULE", "USEAFTER")] == ["LONG", "B", "2019-12-01"]
    read = reference_header(folder / "jwst_nircam_distortion_0090.asdf")
    assert read["DETECTOR"] == "NRCALONG"
    assert "MASKIPR" in alternatives(read, "PUPIL")
    assert alternatives(read, "SUBARRAY") == alternatives(read, "FILTER") == set()
    read = reference_header(folder / "jwst_miri_filteroffset_mask1065_flt9.asdf")
    assert read["SUBARRAY"] == "MASK1065"
    for path in (*folder.glob("*.asdf"), *folder.glob("*.fits")):
        useafter(reference_header(path), path)
