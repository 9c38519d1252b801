"""Which reference files are for an exposure."""

import gzip
import json
import time

import pytest
from astropy.io import fits

from crds_caches import CONTEXT, PARKEYS, rmap, write_cache
from snakewebb.errors import InputError
from snakewebb.io.fits_structure import first_header
from snakewebb.references.crds import CrdsCache
from snakewebb.references.select import REFTYPES, Reference, canonical, choose, references_of


@pytest.fixture
def exposure(tmp_path):
    cards = {"INSTRUME": "NIRCAM", "FILTER": "F335M", "CORONMSK": "MASKA335R", "TITLE": "x" * 60}
    fits.PrimaryHDU(header=fits.Header(cards | {f"K{k}": k for k in range(60)})).writeto(
        tmp_path / "a.fits"
    )
    return tmp_path / "a.fits"


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("MASKA335R", "MASK335R"),
        ("mask335r", "MASK335R"),
        ("MASKBLWB", "MASKLWB"),
        ("MASKASWB", "MASKSWB"),
        ("4QPM_1140", "MASK1140"),
        ("MASK1140", "MASK1140"),
        ("LYOT_2300", "MASKLYOT"),
        ("F335M", "F335M"),
    ],
)
def test_masks_have_one_name(name, wanted):
    assert canonical(name) == wanted


@pytest.mark.parametrize(
    ("masks", "wanted"),
    [
        ({"F335M": "f", "MASK335R": "m", "F335M/MASKA335R": "both"}, "both"),
        ({"F335M": "f", "MASK335R/F335M": "both"}, "both"),
        ({"F335M": "f", "MASKA335R": "m"}, "m"),
        ({"F335M": "f", "MASK430R": "m"}, "f"),
        ({"F444W": "f", "F444W/MASK335R": "m"}, None),
        ({}, None),
    ],
)
def test_the_most_specific_is_chosen(exposure, masks, wanted):
    assert choose(masks, exposure) == wanted


def test_mistakes_are_told(exposure, tmp_path):
    with pytest.raises(InputError, match="'335R' is neither filter nor mask"):
        choose({"335R": "m"}, exposure)
    with pytest.raises(InputError, match="335 is neither filter nor mask"):
        choose({335: "m"}, exposure)
    (tmp_path / "b.fits").write_text("no FITS file")
    for name, words in (("b.fits", ".*: fetch it again"), ("absent.fits", "there is no such file")):
        with pytest.raises(InputError, match=f"{name}: {words}"):
            choose({"F335M": "m"}, tmp_path / name)


def test_headers_are_those_astropy_reads(exposure, tmp_path):
    packed = tmp_path / "a.fits.gz"
    packed.write_bytes(gzip.compress(exposure.read_bytes()))
    known = fits.getheader(exposure)
    for path in (exposure, packed):
        header = first_header(path)
        assert {key: header[key] for key in ("FILTER", "CORONMSK", "TITLE")} == {
            key: known[key] for key in ("FILTER", "CORONMSK", "TITLE")
        }


RATE = {
    "INSTRUME": "NIRCAM",
    "DETECTOR": "NRCALONG",
    "CHANNEL": "LONG",
    "MODULE": "A",
    "FILTER": "F356W",
    "PUPIL": "CLEAR",
    "SUBARRAY": "SUB320",
    "EXP_TYPE": "NRC_IMAGE",
    "READPATT": "BRIGHT1",
    "DATE-OBS": "2022-07-01",
    "TIME-OBS": "12:00:00.123",
}
ASDF_FIELDS = {
    "INSTRUME": ("instrument", "name"),
    "DETECTOR": ("instrument", "detector"),
    "CHANNEL": ("instrument", "channel"),
    "MODULE": ("instrument", "module"),
    "P_EXP_TY": ("exposure", "p_exptype"),
}


def card(key, value):
    return f"{key:8}= " + (f"'{value}'" if isinstance(value, str) else f"{value:>20}")


def write_fits(path, header, **more):
    """Write a FITS file without data; fast."""
    header = {"SIMPLE": "T", "BITPIX": "8", "NAXIS": "0"} | header | more
    cards = [f"{key:8}= {header[key]}" for key in ("SIMPLE", "BITPIX", "NAXIS")]
    cards += [card(key, value) for key, value in list(header.items())[3:]]
    path.write_text("".join(f"{card:80}" for card in [*cards, "END"]).ljust(2880))
    return str(path)


def write_asdf(path, header, **more):
    meta = {"instrument": {}, "exposure": {}}
    for key, value in (header | more).items():
        above, name = ASDF_FIELDS.get(key, ("", key.lower()))
        (meta[above] if above else meta)[name] = value
    path.write_text(f"#ASDF 1.0.0\n%YAML 1.1\n---\nmeta: {json.dumps(meta)}\n...\n")
    return str(path)


@pytest.fixture
def rate(tmp_path):
    return write_fits(tmp_path / "jw_rate.fits", RATE)


@pytest.fixture
def given(tmp_path):
    """A file of each type, for the exposure."""
    folder = tmp_path / "given"
    folder.mkdir()
    common = {key: RATE[key] for key in ("INSTRUME", "DETECTOR", "CHANNEL", "MODULE")}
    return {
        "distortion": write_asdf(folder / "distortion.asdf", common),
        "filteroffset": write_asdf(folder / "filteroffset.asdf", common),
        "flat": write_fits(folder / "flat.fits", common, FILTER="F356W", PUPIL="CLEAR"),
        "photom": write_fits(folder / "photom.fits", common, FILTER="F070W", SUBARRAY="SUB64"),
        "area": write_fits(folder / "area.fits", common, SUBARRAY="FULL"),
    }


def test_files_given_by_path(rate, given):
    found = references_of(rate, given)
    assert found == {
        reftype: Reference(path, path.rpartition("/")[2]) for reftype, path in given.items()
    }
    spared = {"filteroffset": "N/A", "flat": "n/a", "photom": "N/A", "area": "N/A"}
    assert list(references_of(rate, given | spared)) == ["distortion"]


@pytest.mark.parametrize(
    ("keys", "wanted"),
    [
        (["NRCALONG"], "NRCALONG"),
        (["f356w", "NRCBLONG"], "f356w"),
        (["F356W", "NRCALONG", "NRCALONG/F444W"], "NRCALONG"),
        (["F356W", "CLEAR"], "CLEAR"),
        (["CLEAR", "SUB320"], "SUB320"),
        (["NRCALONG", "CLEAR/F356W"], "CLEAR/F356W"),
        (["NRCALONG/F356W", "F356W/CLEAR", "CLEAR/SUB320"], "NRCALONG/F356W"),
        (["NRCALONG/F356W", "SUB320/F356W/CLEAR"], "SUB320/F356W/CLEAR"),
        (["NRCALONG/F356W/CLEAR", "SUB320/F356W/CLEAR/NRCALONG"], "SUB320/F356W/CLEAR/NRCALONG"),
    ],
)
def test_files_by_words_of_the_header(rate, given, tmp_path, keys, wanted):
    """What names the most is taken; of as many, the detector goes first, then the subarray."""
    files = {key: write_fits(tmp_path / f"{k}.fits", {}) for k, key in enumerate(keys)}
    assert references_of(rate, given | {"flat": files})["flat"].path == files[wanted]


def test_none_by_words_of_the_header(rate, given):
    assert "flat" not in references_of(rate, given | {"flat": {"NRCALONG": "N/A", "F356W": "x"}})


@pytest.mark.parametrize(
    "key", ["NRCLONG", "NRC5", "356", "F356W/", "MIRIMAGER", 356, "FULL/CLEAR/F356W/F444W/NRCA1"]
)
def test_words_that_there_are_not(rate, given, key):
    words = f"^{rate}: flat: {key!r} is neither detector, subarray, pupil nor filter: write NRCA"
    with pytest.raises(InputError, match=words):
        references_of(rate, given | {"flat": {key: given["flat"]}})


BY_HEADER = [
    # Files by name, with what each says; which is taken.
    ({"a": {"DETECTOR": "NRCALONG"}, "b": {"DETECTOR": "NRCBLONG"}}, "a"),
    ({"a": {"FILTER": "F356W"}, "b": {"FILTER": "F444W"}, "c": {"FILTER": "N/A"}}, "a"),
    ({"b": {"FILTER": "F444W"}, "c": {"FILTER": "N/A"}}, "c"),
    ({"a": {"PUPIL": "F405N", "P_PUPIL": "CLEAR|F466N|"}, "b": {"PUPIL": "MASKRND"}}, "a"),
    ({"a": {"SUBARRAY": "FULL"}, "b": {"SUBARRAY": "SUB320"}, "c": {"SUBARRAY": "SUB64"}}, "b"),
    ({"a": {"SUBARRAY": "FULL"}, "c": {"SUBARRAY": "SUB64"}}, "a"),
    ({"a": {"READPATT": "RAPID"}, "b": {"READPATT": "BRIGHT1"}}, "b"),
    ({"a": {"READPATT": "RAPID"}}, "a"),
    ({"a": {"EXP_TYPE": "NRC_FLAT"}}, "a"),  # flats are for all
    ({"a": {"REFTYPE": "flat"}, "b": {"REFTYPE": "PHOTOM"}, "c": {"REFTYPE": "AREA"}}, "a"),
    # The latest that is not after the exposure.
    ({"a": {}, "b": {"USEAFTER": "2014-01-01"}, "c": {"USEAFTER": "2022-07-01T12:00:01"}}, "b"),
    ({"a": {"USEAFTER": "2022-07-01T12:00:00.123"}, "b": {"USEAFTER": "2022-07-01"}}, "a"),
    ({"a": {"USEAFTER": "2022-07-01T12:00:00.124"}, "b": {"USEAFTER": "2022-07-01"}}, "b"),
    ({"a": {"USEAFTER": "2022-07-01T12:00:00"}, "b": {"USEAFTER": "2022-07-01"}}, "a"),
    # What fits better goes first.
    ({"a": {"FILTER": "F356W"}, "b": {"USEAFTER": "2020-01-01"}}, "a"),
    ({"a": {"FILTER": "F356W", "USEAFTER": "2023-01-01"}, "b": {}}, "b"),
]


@pytest.mark.parametrize(("files", "wanted"), BY_HEADER)
@pytest.mark.parametrize("form", ["list", "pattern"])
def test_files_by_their_own_headers(rate, given, tmp_path, files, wanted, form):
    folder = tmp_path / "flats"
    folder.mkdir()
    paths = {name: write_fits(folder / f"{name}.fits", header) for name, header in files.items()}
    (folder / "README.txt").write_text("of no use")
    flats = list(paths.values()) if form == "list" else f"{folder}/*"
    assert references_of(rate, given | {"flat": flats})["flat"].path == paths[wanted]


def test_files_of_all_types_may_lie_in_one_folder(rate, given, tmp_path):
    folder = tmp_path / "all"
    folder.mkdir()
    paths = {}
    for reftype in REFTYPES:
        write = write_asdf if reftype in ("distortion", "filteroffset") else write_fits
        end = "asdf" if write is write_asdf else "fits"
        paths[reftype] = write(folder / f"{reftype}.{end}", {"REFTYPE": reftype.upper()})
    patterns = [f"{folder}/*.asdf", f"{folder}/*.fits"]
    found = references_of(rate, dict.fromkeys(REFTYPES, patterns))
    assert {reftype: reference.path for reftype, reference in found.items()} == paths


def test_distortions_of_other_pupils_are_taken_if_there_is_none_better(rate, given, tmp_path):
    files = [
        write_fits(tmp_path / "a.fits", {"PUPIL": "CLEAR", "P_PUPIL": "MASKRND|FLAT|"}),
        write_fits(tmp_path / "b.fits", {"PUPIL": "CLEAR"}),
    ]
    assert references_of(rate, given | {"distortion": files})["distortion"].path == files[1]
    assert references_of(rate, given | {"distortion": files[:1]})["distortion"].path == files[0]
    assert references_of(rate, given | {"distortion": files[0]})["distortion"].path == files[0]


def test_words_of_tables_decide_nothing(rate, given, tmp_path):
    files = [
        write_fits(tmp_path / "a.fits", {"FILTER": "F356W", "READPATT": "BRIGHT1"}),
        write_fits(tmp_path / "b.fits", {"USEAFTER": "2020-01-01", "SUBARRAY": "SUB64"}),
    ]
    assert references_of(rate, given | {"photom": files})["photom"].path == files[1]


def test_other_types_of_exposures_are_left_out(rate, given, tmp_path):
    photoms = [
        write_fits(tmp_path / "a.fits", {"EXP_TYPE": "NRC_WFSS"}),
        write_fits(tmp_path / "b.fits", {"EXP_TYPE": "NRC_CORON", "P_EXP_TY": "NRC_IMAGE|"}),
    ]
    assert references_of(rate, given | {"photom": photoms})["photom"].path == photoms[1]
    with pytest.raises(InputError, match="its EXP_TYPE is NRC_WFSS, not NRC_IMAGE"):
        references_of(rate, given | {"photom": photoms[:1]})


@pytest.mark.parametrize(
    ("date", "time", "wanted"),
    [("2022-07-01", None, 1), (None, "12:00:00", 2), ("", "", 2), ("soon", "12:00:00", 2)],
)
def test_exposures_without_a_date(given, tmp_path, date, time, wanted):
    """Of a day its first moment counts; without one, the latest file is taken."""
    header = RATE | {"DATE-OBS": date, "TIME-OBS": time}
    known = {key: value for key, value in header.items() if value is not None}
    rate = write_fits(tmp_path / "b_rate.fits", known)
    starts = "2014-01-01", "2022-07-01", "2022-07-01T00:00:01"
    flats = [write_fits(tmp_path / f"{k}.fits", {"USEAFTER": t}) for k, t in enumerate(starts)]
    assert references_of(rate, given | {"flat": flats})["flat"].path == flats[wanted]


def test_names_with_signs_of_patterns(rate, given, tmp_path):
    path = write_fits(tmp_path / "flat[1].fits", {})
    assert references_of(rate, given | {"flat": path})["flat"].path == path
    assert references_of(rate, given | {"flat": [path]})["flat"].path == path


def wrong(folder, case):
    """Return what a user gives that is wrong."""
    if case == "absent":
        return {"flat": f"{folder}/absent.fits"}
    if case == "no file":
        (folder / "b.fits").write_text("text")
        return {"flat": f"{folder}/b.fits"}
    if case == "broken asdf":
        (folder / "b.asdf").write_text("#ASDF 1.0.0\n%YAML 1.1\n--- {")
        return {"distortion": f"{folder}/b.asdf"}
    if case == "pattern":
        return {"flat": f"{folder}/*.fits.bz2"}
    if case == "absent of a list":
        return {"flat": [f"{folder}/absent.fits"]}
    if case == "no distortion":
        return {"distortion": "N/A"}
    if case in ("nothing", "empty", "no key"):
        return {"flat": {"nothing": None, "empty": [], "no key": {"NRCBLONG": "x"}}[case]}
    if case == "late":
        return {"flat": [write_fits(folder / "late.fits", {"USEAFTER": "2023-01-01"})]}
    if case == "date":
        return {"flat": [write_fits(folder / "b.fits", {"USEAFTER": "soon"})]}
    if case == "equal":
        return {"flat": [write_fits(folder / f"{k}.fits", {"FILTER": "F356W"}) for k in "ab"]}
    if case == "type":
        return {"flat": write_fits(folder / "b.fits", {"REFTYPE": "PHOTOM"})}
    if case == "nearest":
        others = {"FILTER": "F444W"}, {"FILTER": "F444W", "PUPIL": "MASKRND"}
        files = [write_fits(folder / f"{k}.fits", header) for k, header in enumerate(others)]
        return {"flat": files[::-1]}
    key, value = case
    return {"flat": write_fits(folder / "b.fits", {key: value})}


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("absent", "absent.fits: there is no such file: check its folder$"),
        ("no file", r"b.fits: is no FITS file \(No SIMPLE card\): fetch it again$"),
        ("broken asdf", r"b.asdf: is no ASDF file \(.*\): fetch it again$"),
        ("pattern", r"no FITS or ASDF file is called .*/\*.fits.bz2: mend reference_files.flat$"),
        ("absent of a list", "absent.fits: there is no such file: check its folder$"),
        (
            "no distortion",
            "NIRCAM F356W CLEAR SUB320 NRCALONG NRC_IMAGE cannot do without: give reference_files."
            "distortion$",
        ),
        (
            "nothing",
            "no file is given for NIRCAM F356W CLEAR SUB320 NRCALONG NRC_IMAGE: give "
            "reference_files.flat, or crds with path and context$",
        ),
        ("empty", "no file is given for NIRCAM F356W CLEAR SUB320 NRCALONG NRC_IMAGE: give refer"),
        ("no key", "no file is given for NIRCAM F356W CLEAR SUB320 NRCALONG NRC_IMAGE: give refer"),
        ("late", r"\(the nearest, .*late.fits, is for exposures after 2023-01-01 00:00:00\): give"),
        ("date", "b.fits: USEAFTER 'soon' is no date: write it as 2022-07-01T00:00:00$"),
        (
            "equal",
            "a.fits and .*b.fits fit NIRCAM .* equally well: leave one of them out",
        ),
        ("type", "b.fits says that its REFTYPE is PHOTOM: give another file$"),
        ("nearest", r"\(the nearest, .*0.fits, says that its FILTER is F444W, not F356W\): give"),
        (
            ("INSTRUME", "MIRI"),
            "b.fits says that its INSTRUME is MIRI, not NIRCAM: give another",
        ),
        (("DETECTOR", "NRCA1"), "b.fits says that its DETECTOR is NRCA1, not NRCALONG: give"),
        (("CHANNEL", "SHORT"), "b.fits says that its CHANNEL is SHORT, not LONG: give"),
        (("MODULE", "B"), "b.fits says that its MODULE is B, not A: give another file$"),
        (("FILTER", "F444W"), "b.fits says that its FILTER is F444W, not F356W: give"),
        (("P_PUPIL", "F405N|FLAT|"), r"says that its PUPIL is F405N\|FLAT, not CLEAR: give"),
        (("SUBARRAY", "SUB64"), "b.fits says that its SUBARRAY is SUB64, not SUB320: give"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(rate, given, tmp_path, case, words):
    reftype = "distortion" if case in ("broken asdf", "no distortion") else "flat"
    with pytest.raises(InputError, match=f"^{rate}: {reftype}: .*{words}"):
        references_of(rate, given | wrong(tmp_path, case))


def test_exposures_that_cannot_be_read(tmp_path, given):
    with pytest.raises(InputError, match=r"absent.fits: there is no such file"):
        references_of(tmp_path / "absent.fits", given)


def test_fgs_has_no_filter_offsets(tmp_path, given):
    rate = write_fits(tmp_path / "fgs_rate.fits", {"INSTRUME": "FGS", "DETECTOR": "GUIDER1"})
    files = {reftype: write_fits(tmp_path / f"{reftype}.fits", {}) for reftype in REFTYPES}
    del files["filteroffset"]
    assert list(references_of(rate, files)) == ["distortion", "flat", "photom", "area"]


@pytest.fixture
def cache(tmp_path, given):
    """A cache that has all for the exposure; its filter offsets are those of the other module."""
    rows = {
        "distortion": "('NRC_IMAGE', 'NRCALONG')",
        "filteroffset": "('LONG', 'A')",
        "flat": "('NRCALONG', 'F356W', 'CLEAR')",
        "photom": "'NRCALONG'",
        "area": "'NRCALONG'",
    }
    rmaps, files = {}, {}
    for reftype, key in rows.items():
        path = given[reftype]
        name = f"jwst_nircam_{reftype}_0001{path[-5:]}"
        value = "'N/A'" if reftype == "area" else f"UseAfter({{'2014-01-01 00:00:00' : '{name}'}})"
        rmaps[reftype] = rmap(PARKEYS[reftype], f"{key} : {value}", reftype)
        with open(path, "rb") as file:
            files[name] = file.read().replace(b'"module": "A"', b'"module": "B"')
    return CrdsCache(write_cache(tmp_path / "cache", rmaps, files), CONTEXT)


def test_crds_is_asked_for_what_is_not_given(rate, given, cache):
    asked = {"flat": given["flat"], "photom": None, "distortion": {"NRCBLONG": "x.asdf"}}
    found = references_of(rate, asked, cache)
    folder = cache.path / "references" / "jwst" / "nircam"
    assert list(found) == ["distortion", "filteroffset", "flat", "photom"]
    assert found["flat"] == (given["flat"], "flat.fits", "")
    name = "jwst_nircam_photom_0001.fits"
    assert found["photom"] == (str(folder / name), f"crds://{name}", "")
    # What CRDS chooses against what the file says is taken, and told.
    name = "jwst_nircam_filteroffset_0001.asdf"
    assert found["filteroffset"] == (
        str(folder / name),
        f"crds://{name}",
        f"{folder / name} says that its MODULE is B, not A, though jwst_0001.pmap chooses it for "
        "NIRCAM F356W CLEAR SUB320 NRCALONG NRC_IMAGE: CRDS has mended rules without a new name: "
        "remove the cache's mappings, and fetch them again: crds sync --contexts jwst_0001.pmap",
    )


def test_what_is_given_as_none_is_not_asked_of_crds(rate, cache):
    found = references_of(rate, {"flat": "N/A", "photom": {"NRCALONG": "N/A"}}, cache)
    assert list(found) == ["distortion", "filteroffset"]


def test_what_crds_lacks_is_told_with_the_exposure(tmp_path, cache):
    rate = write_fits(tmp_path / "b_rate.fits", RATE | {"FILTER": "F444W"})
    words = f"^{rate}: flat: jwst_nircam_flat_0001.rmap of jwst_0001.pmap has none for DETECTOR"
    with pytest.raises(InputError, match=words):
        references_of(rate, {}, cache)


def test_thousands_of_exposures_take_no_time(rate, given, tmp_path, cache):
    """A millisecond each; another file by each of a hundred would take a hundred times that."""
    folder = tmp_path / "flats"
    folder.mkdir()
    for k in range(100):
        write_fits(folder / f"{k}.fits", {"FILTER": f"F{k:03}W"})
    write_fits(folder / "this.fits", {"FILTER": "F356W"})
    asked = {"flat": f"{folder}/*", "area": "N/A"}
    references_of(rate, asked, cache)
    start = time.process_time()
    for _ in range(200):
        references_of(rate, asked, cache)
    assert time.process_time() - start < 2
