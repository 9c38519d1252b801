"""The best references of an exposure from a local cache: right values are those of crds 14.0.3."""

import pytest

from crds_caches import CONTEXT, PARKEYS, mapping, rmap, write_cache
from snakewebb.errors import InputError
from snakewebb.references.crds import CrdsCache

FLATS = """
    ('NRCALONG', 'F356W', 'CLEAR|MASKRND') : UseAfter({
        '2014-01-01 00:00:00' : 'jwst_nircam_flat_0001.fits',
        '2022-07-01 12:00:00' : 'jwst_nircam_flat_0002.fits',
    }),
    ('NRCALONG', 'F444W', 'CLEAR') : UseAfter({'2014-01-01 00:00:00' : 'N/A'}),
    ('NRCALONG', 'F460M', 'CLEAR') : UseAfter({
        '2014-01-01 00:00:00' : 'jwst_nircam_flat_0003.fits',
    }),
"""
HEADER = {
    "INSTRUME": "NIRCAM",
    "DETECTOR": "NRCALONG",
    "FILTER": "F356W",
    "PUPIL": "CLEAR",
    "DATE-OBS": "2022-07-01",
    "TIME-OBS": "12:00:00.123",
}
RMAPS = {"flat": rmap(PARKEYS["flat"], FLATS), "area": "N/A"}
FILES = {f"jwst_nircam_flat_000{k}.fits": b"" for k in (1, 2)}


@pytest.mark.parametrize("layout", ["instrument", "flat"])
def test_files_are_found_in_caches_of_either_layout(tmp_path, layout):
    cache = CrdsCache(write_cache(tmp_path, RMAPS, FILES, layout), CONTEXT)
    folder = tmp_path / "references" / "jwst" / ("nircam" if layout == "instrument" else "")
    assert cache.best(HEADER, "flat") == folder / "jwst_nircam_flat_0002.fits"
    older = cache.best(HEADER | {"TIME-OBS": "11:59:59.999", "PUPIL": "MASKRND"}, "flat")
    assert older == folder / "jwst_nircam_flat_0001.fits"
    assert cache.best(HEADER | {"INSTRUME": " nircam"}, "FLAT") is not None
    assert cache.best(HEADER | {"FILTER": "F444W"}, "flat") is None
    assert cache.best(HEADER, "area") is None


def test_a_folder_may_be_below_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_cache(tmp_path / "crds_cache", RMAPS, FILES)
    assert CrdsCache("~/crds_cache", CONTEXT).best(HEADER, "flat").is_file()


def test_rules_are_read_once(tmp_path, monkeypatch):
    cache = CrdsCache(write_cache(tmp_path, RMAPS, FILES), CONTEXT)
    found = cache.best(HEADER, "flat")
    for path in tmp_path.rglob("*.?map"):
        path.unlink()
    found.unlink()
    assert cache.best(HEADER, "flat") == found


def broken(folder, case):
    """Break a cache; return the header to ask for, and the type."""
    mappings = folder / "mappings" / "jwst"
    rules = mappings / "jwst_nircam_flat_0001.rmap"
    header, reftype = HEADER, "flat"
    if case == "context":
        (mappings / "jwst_0012.pmap").write_text("")
        (mappings / CONTEXT).unlink()
    elif case == "no cache":
        (mappings / CONTEXT).unlink()
    elif case == "mapping":
        rules.unlink()
    elif case == "syntax":
        rules.write_text("header = {")
    elif case == "no rules":
        rules.write_text(rmap((5,), "'a' : 'b'", substitutions=5))
    elif case == "observatory":
        rules.write_text(rmap(PARKEYS["flat"], FLATS, observatory="HST"))
    elif case == "kind":
        rules.write_text(rmap(PARKEYS["flat"], FLATS, filekind="DARK"))
    elif case == "selector":
        (mappings / CONTEXT).write_text(mapping({"mapping": "PIPELINE"}, "Match({'a' : 'b'})"))
    elif case == "parameter":
        rules.write_text(rmap(("META.INSTRUMENT.COLOUR",), "'RED' : 'a.fits'"))
    elif case == "reference":
        header = HEADER | {"FILTER": "F460M"}
    elif case == "invalid":
        (folder / "config/jwst/bad_files.txt").write_text("x.fits\njwst_nircam_flat_0002.fits\n")
    elif case == "row":
        header = HEADER | {"FILTER": "F200W"}
    elif case == "old":
        header = HEADER | {"DATE-OBS": "2013-12-31"}
    elif case == "time":
        header = {key: value for key, value in HEADER.items() if key != "TIME-OBS"}
    elif case == "instrument":
        header = HEADER | {"INSTRUME": "WFC3"}
    elif case == "no instrument":
        header = {}
    elif case == "type":
        reftype = "dark"
    return header, reftype


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (
            "context",
            r"^crds: .* lacks jwst_0001.pmap \(its last context is jwst_0012.pmap\): fetch it: "
            r"crds sync --contexts jwst_0001.pmap$",
        ),
        (
            "no cache",
            r"is no cache of CRDS \(mappings/jwst holds no context\): give the folder tha",
        ),
        ("mapping", "lacks jwst_nircam_flat_0001.rmap .*: fetch it: crds sync --contexts jwst_000"),
        ("syntax", r"flat_0001.rmap: is no CRDS mapping \('\{' was never closed"),
        ("no rules", r"^jwst_nircam_flat_0001.rmap: its header is not understood here: choose w"),
        ("observatory", r"flat_0001.rmap: .*belongs here \(observatory is HST, not JWST\)"),
        ("kind", r"flat_0001.rmap: .*belongs here \(filekind is DARK, not FLAT\): fetch it again$"),
        ("selector", r"jwst_0001.pmap: is no CRDS mapping \(it names no others\): fetch it again$"),
        ("parameter", "the parameter META.INSTRUMENT.COLOUR is not understood here: choose with t"),
        (
            "reference",
            "lacks jwst_nircam_flat_0003.fits, which jwst_0001.pmap chooses: fetch it: crds sync "
            r"--contexts jwst_0001.pmap --dataset-files \*_rate\*.fits --fetch-references$",
        ),
        ("invalid", "chooses jwst_nircam_flat_0002.fits, which CRDS has called scientifically inv"),
        (
            "row",
            "^jwst_nircam_flat_0001.rmap of jwst_0001.pmap has none for DETECTOR NRCALONG, FILTER "
            "F200W, PUPIL CLEAR: give reference_files.flat, or take a later context$",
        ),
        ("old", "none for DETECTOR NRCALONG, .* CLEAR, at 2013-12-31 12:00:00.123000: give"),
        ("time", "none for DATE and TIME '2022-07-01 UNDEFINED': give reference_files.flat"),
        (
            "instrument",
            "^jwst_0001.pmap knows no instrument WFC3, but NIRCAM: give exposures of these, or "
            "take another context$",
        ),
        ("no instrument", r"knows no instrument \(INSTRUME is missing\), but NIRCAM: give expos"),
        ("type", "jwst_nircam_0001.imap of jwst_0001.pmap knows no such type: give reference_fil"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(tmp_path, case, words):
    folder = write_cache(tmp_path, RMAPS, FILES)
    header, reftype = broken(folder, case)
    with pytest.raises(InputError, match=words):
        CrdsCache(folder, CONTEXT).best(header, reftype)


@pytest.mark.parametrize("context", ["jwst_0001", "latest", "../jwst_0001.pmap", None, 1])
def test_contexts_have_names(tmp_path, context):
    with pytest.raises(InputError, match=r"crds: context: .* is none: write it as jwst_1234.pmap"):
        CrdsCache(tmp_path, context)


REAL = [
    ("NIRCAM NRCALONG F356W CLEAR NRC_IMAGE LONG A", "0090 0002 0359 0071 0015"),
    ("NIRCAM NRCBLONG F410M CLEAR NRC_IMAGE LONG B", "0096 0001 0268 0067 0026"),
    ("NIRCAM NRCA2 F210M MASKRND NRC_CORON SHORT A", "0088 0004 0405 0065 0028"),
    ("NIRCAM NRCALONG F335M MASKRND NRC_CORON LONG A", "0097 0002 0451 0071 0014"),
    ("NIRCAM NRCB4 F150W2 F164N NRC_IMAGE SHORT B", "0085 0003 0306 0069 0020"),
    ("NIRCAM NRCB1 WLP4 CLEAR NRC_TSIMAGE SHORT B", "0100 0003 0342 0066 0025"),
    ("NIRCAM NRCA3 F150W2 GDHS0 NRC_FOCUS SHORT A", "0089 0004 0381 0072 N/A"),
    ("MIRI MIRIMAGE F770W - MIR_IMAGE - - FAST FULL", "0028 0005 0533 0044 0004"),
    ("MIRI MIRIMAGE F770W - MIR_IMAGE N/A - SLOW BRIGHTSKY", "0028 0005 ? 0044 0004"),
    ("MIRI MIRIMAGE F1140C - MIR_4QPM - - FASTR1 MASK1140", "0028 0005 ? 0044 N/A"),
    ("MIRI MIRIMAGE F2300C - MIR_LYOT - - FAST MASKLYOT", "0028 0005 0395 0044 N/A"),
    ("MIRI MIRIMAGE F560W - MIR_TACQ - - FAST SUB64", "0028 0005 0401 0044 N/A"),
    ("NIRISS NIS CLEAR F150W NIS_IMAGE", "0010 N/A 0185 0038 0011"),
    ("NIRISS NIS F480M NRM NIS_AMI", "0010 N/A 0206 0038 N/A"),
    ("NIRISS NIS F277W CLEARP NIS_IMAGE", "0010 N/A 0184 0038 0011"),
    ("FGS GUIDER1 - - FGS_IMAGE", "0004 N/A 0010 0012 0010"),
    ("FGS GUIDER2 - - FGS_FOCUS", "0003 N/A 0011 N/A 0012"),
]
"""What jwst_0676.pmap chooses: numbers of the files; N/A for none, ? where it has no row."""


@pytest.mark.parametrize(("words", "wanted"), REAL)
def test_choices_by_real_rules(real_data, monkeypatch, words, wanted):
    cache = CrdsCache(real_data / "references" / "crds_mappings", "jwst_0676.pmap")
    if not cache.path.is_dir():
        pytest.skip("no mappings there")
    monkeypatch.setattr(cache, "_find", lambda instrument, name: name)  # the files are not there
    keys = ("INSTRUME", "DETECTOR", "FILTER", "PUPIL", "EXP_TYPE", "CHANNEL", "MODULE")
    keys += ("READPATT", "SUBARRAY")
    header = {key: word for key, word in zip(keys, words.split(), strict=False) if word != "-"}
    header |= {"DATE-OBS": "2022-07-01", "TIME-OBS": "12:00:00.123"}
    numbers = []
    for reftype in ("distortion", "filteroffset", "flat", "photom", "area"):
        try:
            name = cache.best(header, reftype)
        except InputError:
            name = "?.fits"
        numbers.append(name.rpartition(".")[0].rpartition("_")[2] if name else "N/A")
    assert " ".join(numbers) == wanted
