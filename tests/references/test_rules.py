"""How the rules of CRDS choose: right values are those of crds 14.0.3."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crds_caches import WHEN, mapping, rmap
from snakewebb.errors import InputError
from snakewebb.references.rules import (
    NoRowError,
    Rules,
    Selector,
    condition,
    read_mapping,
)

DETECTOR, FILTER = "META.INSTRUMENT.DETECTOR", "META.INSTRUMENT.FILTER"
READPATT, SUBARRAY = "META.EXPOSURE.READPATT", "META.SUBARRAY.NAME"
PARKEY = (DETECTOR, FILTER, READPATT, SUBARRAY)
ROWS = """
    ('NRCA1', 'F200W', 'N/A', 'GENERIC') : UseAfter({
        '2014-01-01 00:00:00' : 'a_2014.fits',
        '2022-07-01 12:00:00' : 'a_2022.fits',
    }),
    ('NRCA1', 'F200W|F210M', 'ANY', 'FULL') : UseAfter({
        '2022-07-01 12:00:00' : 'b_2022.fits',
        '2023-01-01 00:00:00' : 'N/A',
    }),
    ('NRCA1', 'NOT F200W', 'N/A', 'N/A') : 'N/A',
    ('nrca2 | NRCA3|', 'F2*', 'N/A', 'N/A') : UseAfter({'2014-01-01 00:00:00' : 'c.fits'}),
    ('NRCA2', 'N/A', 'RAPID', 'N/A') : UseAfter({
        '2014-01-01 00:00:00' : 'd.fits',
        '2022-01-01 00:00:00' : 'd_2022.fits',
    }),
    ('NRCB1', 'NOT F200W|F210M', 'N/A', 'N/A') : UseAfter({'2014-01-01 00:00:00' : 'e.fits'}),
    ('NRCB1', '12', 'N/A', 'N/A') : UseAfter({'2014-01-01 00:00:00' : 'f.fits'}),
    ('NRCB2', 'N/A', ('FAST', 'SLOW'), 'N/A') : 'OMIT',
    ('NRCB3', 'N/A', 'N/A', 'SUB64') : UseAfter({'2014-01-01 00:00:00' : 'g_1.fits'}),
    ('NRCB3', 'F200W', 'N/A', 'N/A') : UseAfter({
        '2014-01-01 00:00:00' : 'g_2.fits',
        '2022-01-01 00:00:00' : 'g_2022.fits',
    }),
"""


def rules(parkey=PARKEY, rows=ROWS, folder=None, **more):
    path = Path(folder) / "jwst_nircam_flat_0001.rmap"
    path.write_text(rmap(parkey, rows, **more))
    header, selector = read_mapping(path, mapping="REFERENCE")
    return Rules(header, selector, path.name)


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    return rules(folder=tmp_path_factory.mktemp("rules"))


def choose(known, *values, at="2022-08-01 00:00:00.123"):
    date, time = at.split(" ")
    header = dict(zip(PARKEY, values, strict=False)) | dict(zip(WHEN, (date, time), strict=True))
    return known.choose({key: value for key, value in header.items() if value is not None})


CASES = [
    # What matches most, by more than N/A, goes first; where it is too young, the next.
    (("NRCA1", "F200W", "RAPID", "FULL"), "2022-08-01 00:00:00", "b_2022.fits"),
    (("NRCA1", "F200W", "RAPID", "SUB64"), "2022-08-01 00:00:00", "a_2022.fits"),
    (("NRCA1", "F200W", "RAPID", "FULL"), "2022-07-01 11:59:59.999", "a_2014.fits"),
    (("NRCA1", "F200W", "RAPID", "FULL"), "2022-07-01 12:00:00", "b_2022.fits"),
    (("NRCA1", "F200W", "RAPID", "FULL"), "2022-07-01 12:00:00.000001", "b_2022.fits"),
    (("NRCA1", "F200W", "RAPID", "FULL"), "2024-01-01 00:00:00", "N/A"),
    (("NRCA1", "F200W", "RAPID", "FULL"), "2013-12-31 23:59:59", None),
    # Values are compared in capitals and without blanks; N/A matches all, and counts for none.
    ((" nrca1", "f200w ", "rapid", "full"), "2022-08-01 00:00:00", "b_2022.fits"),
    (("NRCA1", "F200W", "RAPID", "N/A"), "2022-08-01 00:00:00", "b_2022.fits"),
    (("NRCA1", "F200W", None, "FULL"), "2022-08-01 00:00:00", "b_2022.fits"),
    (("NRCA1", "F210M", "RAPID", "FULL"), "2022-08-01 00:00:00", "b_2022.fits"),
    (("NRCA1", "F444W", "RAPID", "FULL"), "2022-08-01 00:00:00", "N/A"),
    (("NRCA1", "F444W", "RAPID", "FULL"), "1999-08-01 00:00:00", "N/A"),
    # Patterns and alternatives.
    (("NRCA2", "F200W", "SLOW", "FULL"), "2022-08-01 00:00:00", "c.fits"),
    (("NRCA3", "F277W", "RAPID", "FULL"), "2022-08-01 00:00:00", "c.fits"),
    (("NRCA3", "F444W", "RAPID", "FULL"), "2022-08-01 00:00:00", None),
    (("NRCA4", "F200W", "RAPID", "FULL"), "2022-08-01 00:00:00", None),
    # Equally good rows are one table of dates; of one date the greater name is taken.
    (("NRCA2", "F200W", "RAPID", "FULL"), "2021-08-01 00:00:00", "d.fits"),
    (("NRCA2", "F200W", "RAPID", "FULL"), "2022-08-01 00:00:00", "d_2022.fits"),
    (("NRCB3", "F200W", "RAPID", "SUB64"), "2021-08-01 00:00:00", "g_2.fits"),
    (("NRCB3", "F200W", "RAPID", "SUB64"), "2022-08-01 00:00:00", "g_2022.fits"),
    # NOT, of alternatives too; numbers.
    (("NRCB1", "F444W", "RAPID", "FULL"), "2022-08-01 00:00:00", "e.fits"),
    (("NRCB1", "F210M", "RAPID", "FULL"), "2022-08-01 00:00:00", None),
    (("NRCB1", "12", "RAPID", "FULL"), "2022-08-01 00:00:00", "f.fits"),
    (("NRCB1", "12.", "RAPID", "FULL"), "2022-08-01 00:00:00", "f.fits"),
    (("NRCB1", "N/A", "RAPID", "FULL"), "2022-08-01 00:00:00", "f.fits"),
    (("NRCB2", "F444W", "SLOW", "FULL"), "2022-08-01 00:00:00", "OMIT"),
    (("NRCB2", "F444W", "RAPID", "FULL"), "2022-08-01 00:00:00", None),
    ((None, "F444W", "RAPID", "FULL"), "2022-08-01 00:00:00", None),
    # Dates that are none.
    (("NRCA1", "F200W", "RAPID", "FULL"), "2022-13-01 00:00:00", None),
    (("NRCA1", "F200W", "RAPID", "FULL"), "today 00:00:00", None),
]


@pytest.mark.parametrize(("values", "at", "wanted"), CASES)
def test_choice(known, values, at, wanted):
    if wanted is None:
        with pytest.raises(NoRowError):
            choose(known, *values, at=at)
    else:
        assert choose(known, *values, at=at) == wanted


def test_a_pattern_alone_fits_nothing(tmp_path):
    """To crds a value is known only if a row spells it out, or there are rows for all values."""
    alone = rules((FILTER,), "'F2*' : 'x.fits', 'F444W' : 'y.fits'", tmp_path)
    with pytest.raises(NoRowError, match=r"^FILTER F200W$"):
        alone.choose({FILTER: "F200W"})
    assert alone.choose({FILTER: "F2*"}) == "x.fits"
    assert alone.choose({FILTER: "F444W"}) == "y.fits"
    for other in ("'N/A' : 'z.fits'", "'NOT F2*' : 'z.fits'", "'F200W|ANY' : 'x.fits'"):
        known = rules((FILTER,), f"'F2*' : 'x.fits', {other}", tmp_path)
        assert known.choose({FILTER: "F200W"}) == "x.fits"


def test_what_matches_by_n_a_alone_goes_last(tmp_path):
    rows = "('N/A', 'N/A') : 'none', ('ANY', 'N/A') : 'any', ('NRCA1', 'ANY') : 'one'"
    known = rules((DETECTOR, FILTER), rows, tmp_path)
    assert known.choose({DETECTOR: "NRCA1", FILTER: "F200W"}) == "one"
    assert known.choose({DETECTOR: "NRCA2", FILTER: "F200W"}) == "any"
    assert known.choose({FILTER: "F200W"}) == "any"


def test_rules_by_date_alone(tmp_path):
    path = tmp_path / "jwst_nircam_flat_0001.rmap"
    header = {"mapping": "REFERENCE", "parkey": (WHEN,)}
    path.write_text(mapping(header, "UseAfter({'2014-01-01 00:00:00' : 'a.fits'})"))
    known = Rules(*read_mapping(path), path.name)
    assert known.choose(dict(zip(WHEN, ("2014-01-01", "00:00:00"), strict=True))) == "a.fits"
    with pytest.raises(NoRowError, match=r"^at 2013-12-31 00:00:00$"):
        known.choose(dict(zip(WHEN, ("2013-12-31", "00:00:00"), strict=True)))
    with pytest.raises(NoRowError, match=r"^DATE and TIME '2013-12-31 UNDEFINED'$"):
        known.choose({WHEN[0]: "2013-12-31"})


def test_rules_may_replace_words(tmp_path):
    more = {"substitutions": {FILTER: {"WIDE": ["F200W", "F444W"], "ALL": "N/A"}}}
    rows = "('NRCA1', 'WIDE') : 'wide', ('NRCA1', 'ALL') : 'all', ('NRCA1', 'F070W') : 'one'"
    known = rules((DETECTOR, FILTER), rows, tmp_path, **more)
    chosen = [known.choose({DETECTOR: "NRCA1", FILTER: f}) for f in ("F444W", "F070W", "WIDE")]
    assert chosen == ["wide", "one", "all"]


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (" any ", "*"),
        ("nrca1", "NRCA1"),
        (1, "1.0"),
        ("-9", "-9.0"),
        ("1.", "1.0"),
        (".5e1", "5.0"),
        ("34", "34.0"),
        ("F34", "F34"),
        ("1.2.3", "1.2.3"),
        (True, "T"),
        ("false", "F"),
        ("4294967295", "-1.0"),
        ("-2147483648", "N/A"),
        ("()", "N/A"),
        ("not applicable", "N/A"),
        ("NOT_APPLICABLE", "N/A"),
        ("", ""),
    ],
)
def test_values_as_they_are_compared(value, wanted):
    assert condition(value) == wanted


@pytest.mark.parametrize(
    "more",
    [
        {"rmap_relevance": "(META_EXPOSURE_TYPE == 'NRC_IMAGE')"},
        {"rmap_omit": "(TSOVISIT)"},
        {"parkey_relevance": {FILTER: "(DETECTOR == 'NRCA1')"}},
        {"comment_parkeys": (FILTER,)},
        {"hooks": {"precondition_header": "other"}},
        {"reffile_required": "NO"},
        {"merge_overlaps": False},
    ],
)
def test_headers_that_change_choices_are_refused(tmp_path, more):
    words = f"^jwst_nircam_flat_0001.rmap: {next(iter(more))} is not understood here: choose with "
    with pytest.raises(InputError, match=words + "the crds package"):
        rules((FILTER,), "'F200W' : 'a.fits'", tmp_path, **more)


def test_headers_that_change_nothing_are_not(tmp_path):
    more = {"rmap_relevance": "ALWAYS", "rmap_omit": "False", "reffile_required": "yes"}
    more |= {"parkey_relevance": {}, "merge_overlaps": True, "hooks": {}, "suffix": "flat"}
    more |= {"comment_parkeys": ()}
    assert rules((FILTER,), "'F200W' : 'a'", tmp_path, **more).choose({FILTER: "F200W"}) == "a"


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("'(F2..W)' : 'a'", r"the key '\(F2..W\)'"),
        ("'{F200W}' : 'a'", r"the key '\{F200W\}'"),
        ("'#>1 and <2#' : 'a'", "the key '#>1 AND <2#'"),
        ("'<1.2' : 'a'", "the key '<1.2'"),
        ("'between 1 2' : 'a'", "the key 'BETWEEN 1 2'"),
        ("'NOT BETWEEN 1 2' : 'a'", "the key 'NOT BETWEEN 1 2'"),
        ("'NOTHING' : 'a'", "the key 'NOTHING'"),
        ("'F[12]00W' : 'a'", r"the key 'F\[12\]00W'"),
        ("'F?00W' : 'a'", r"the key 'F\?00W'"),
        ("('F200W', 'NRCA1') : 'a'", r"the key \('F200W', 'NRCA1'\)"),
        ("'F200W' : 'a', 'f200w' : 'b'", r"the key \('f200w',\)"),
        ("'F200W|F444W' : 'a', 'F444W|F200W|' : 'b'", r"the key \('F444W\|F200W\|',\)"),
        ("'F200W' : ClosestTime({'2014-01-01 00:00:00' : 'a'})", "ClosestTime in"),
        ("'F200W' : UseAfter({'2014-01-01 00:00:00' : UseAfter({})})", "UseAfter in"),
        ("'F200W' : UseAfter({'2014-01-01' : 'a'})", "a date of"),
        ("'F200W' : UseAfter({'2014-01-01T00:00:00' : 'a'})", "a date of"),
        ("'F200W' : 5", "what .* chooses"),
    ],
)
def test_rows_that_are_not_understood_are_refused(tmp_path, rows, words):
    with pytest.raises(InputError, match=f": {words}.* is not understood here: choose with the cr"):
        rules((FILTER,), rows, tmp_path)


def test_other_selectors_are_refused(tmp_path):
    for selector in ("VersionAfter({'1.0' : 'a'})", "{'F200W' : 'a'}"):
        path = tmp_path / "jwst_nircam_flat_0001.rmap"
        path.write_text(mapping({"parkey": ((FILTER,), WHEN)}, selector))
        with pytest.raises(InputError, match="a selector that is not Match is not understood"):
            Rules(*read_mapping(path), path.name)


def test_equally_good_rows_are_refused_where_they_contradict_each_other(tmp_path):
    """Crds answers with a tuple, or does not find its own method."""
    rows = "'F2*' : 'N/A', 'F*' : 'N/A', '*W' : UseAfter({'2014-01-01 00:00:00' : 'a'}), 'ANY|B' :"
    known = rules((FILTER,), rows + "'N/A'", tmp_path)
    assert known.choose({FILTER: "F20M"}) == "N/A"
    with pytest.raises(InputError, match="a choice between equally good rows is not understood"):
        known.choose({FILTER: "F200W"})


GOOD = mapping({"mapping": "REFERENCE"}, "Match({'a' : 'b'})")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("header = {", r"is no CRDS mapping \('\{' was never closed.*\): fetch it again"),
        ("", r"is no CRDS mapping \(no 'header'\): fetch it again"),
        ("header = {}", r"is no CRDS mapping \(no 'selector'\): fetch it again"),
        ("header = 5\nselector = {}", "is no CRDS mapping .its header is none.: fetch it again"),
        ("header = {}\nselector = open('x')", "is damaged"),
        ("header = {}\nselector = os.system('x')", "line 2: a call that is no selector's"),
        ("header = {}\nselector = Match({'a' : 1}, 2)", "line 2: a call that is no selector's"),
        ("header = {}\nselector = Match({'a' : 1}, b=2)", "line 2: a call that is no selector's"),
        ("header = {}\nselector = [x for x in y]", "is no CRDS mapping .malformed node"),
        ("header = {}\nselector = " + "-" * 99_999 + "1", "is no CRDS mapping"),
        ("header = {}\nselector = " + "(" * 1000, "is no CRDS mapping"),
        ("header = {[] : 5}\nselector = 5", "is no CRDS mapping .unhashable"),
        ("header = {**x}\nselector = 5", "is no CRDS mapping .malformed node"),
        (GOOD.replace("'b'", "'c'"), r"is damaged \(its sha1sum is another\): fetch it again"),
        (re.sub(".*sha1sum.*\n", "", GOOD), "is damaged"),
        (GOOD.encode().replace(b"hand", b"\xff"), "is no CRDS mapping .*utf-8"),
        (mapping({"observatory": "HST"}, "{}"), "observatory is HST, not JWST"),
        (mapping({"mapping": "PIPELINE"}, "{}"), "mapping is PIPELINE, not REFERENCE"),
        (mapping({}, "{}"), "belongs here .mapping is missing, not REFERENCE.: fetch it again"),
    ],
)
def test_mappings_that_are_none_are_told_in_one_line(tmp_path, text, words):
    path = tmp_path / "jwst_nircam_flat_0001.rmap"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=f"^{path}: .*{words}"):
        read_mapping(path, mapping="REFERENCE")


def test_comments_mean_nothing(tmp_path):
    path = tmp_path / "jwst_nircam_flat_0001.rmap"
    text = "# one\n'two'\ncomment = 'three'\n"
    path.write_text(mapping({}, "Match({'a' : 'b'})\n" + text))
    assert read_mapping(path).selector == Selector("Match", {"a": "b"})


def test_mappings_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match=r"cannot be read \(Is a directory\): fetch it again"):
        read_mapping(tmp_path)


WORDS = ("A", "B", "AB")
PATTERNS = ("*", "A*", "N/A", "NOT A", "NOT B|AB", "A|B", "B|A*", *WORDS)
DATES = ("2014-01-01 00:00:00", "2022-07-01 12:00:00", "2022-07-01 12:00:00.500")


def naive_choice(rows, values, moment):
    """Return what a reader of the rules would say: none, or the file."""

    def says(key, value):
        if key == "N/A" or value == "N/A":
            return 0
        if key.startswith("NOT "):
            return {1: None, None: 1, 0: 0}[says(key[4:], value)]
        pattern = key.replace("*", ".*")
        return 1 if value == "*" or re.fullmatch(f"({pattern})", value) else None

    for at, value in enumerate(values):
        column = [key[at] for key, _ in rows]
        spelt = {part for key in column for part in key.split("|")} | {"*", "N/A"}
        free = "*" in "|".join(column).split("|") or "N/A" in column or "NOT" in str(column)
        if not free and value not in spelt:
            return None
    for wanted in range(len(values), -1, -1):
        alive = []
        for key, dates in rows:
            scores = [says(k, v) for k, v in zip(key, values, strict=True)]
            if None not in scores and sum(scores) == wanted:
                alive += [(date, file) for date, file in dates.items() if date <= moment]
        if alive:
            return max(alive)[1]
    return None


@settings(max_examples=300, deadline=None)
@given(
    rows=st.dictionaries(
        st.tuples(st.sampled_from(PATTERNS), st.sampled_from(PATTERNS)),
        st.dictionaries(st.sampled_from(DATES), st.sampled_from("abcdef"), min_size=1),
        max_size=6,
    ),
    values=st.tuples(*[st.sampled_from((*WORDS, "C", "N/A", "*"))] * 2),
    moment=st.sampled_from((*DATES, "2000-01-01 00:00:00", "2022-07-01 12:00:00.250")),
)
def test_choices_are_those_of_a_naive_reader(rows, values, moment):
    choices = {key: Selector("UseAfter", dates) for key, dates in rows.items()}
    known = Rules({"parkey": ((DETECTOR, FILTER), WHEN)}, Selector("Match", choices), "some.rmap")
    header = dict(zip((DETECTOR, FILTER, *WHEN), (*values, *moment.split()), strict=True))
    wanted = naive_choice(list(rows.items()), values, moment)
    for _ in range(2):  # the second time from memory
        if wanted is None:
            with pytest.raises(NoRowError):
                known.choose(header)
        else:
            assert known.choose(header) == wanted


def test_real_rules_are_understood(real_data):
    folder = real_data / "references" / "crds_mappings" / "mappings" / "jwst"
    if not folder.is_dir():
        pytest.skip("no mappings there")
    for path in folder.glob("*.?map"):
        header, selector = read_mapping(path)
        if path.suffix == ".rmap" and "datalvl" not in path.name:
            assert Rules(header, selector, path.name).moment == WHEN
