"""JSON and YAML that cannot be read, or say a thing twice."""

import json

import pytest
import yaml

from snakewebb.errors import LONGEST, InputError
from snakewebb.io.strict import DEEPEST, check_config, read

GOOD = {"a": [1, {"b": None}], "c": "é"}


@pytest.mark.parametrize("name", ["x.json", "x.yaml", "x.yml", "x"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_what_can_be_read(tmp_path, name, mark):
    path = tmp_path / name
    text = json.dumps(GOOD) if name in ("x.json", "x") else yaml.safe_dump(GOOD)
    path.write_text(mark + text)
    assert read(path) == GOOD


def test_merged_keys_are_not_given_twice(tmp_path):
    (tmp_path / "x.yaml").write_text("a: &a {k: 1}\nb: &b {<<: *a, k: 2}\nc: {<<: [*b, *a]}\n")
    assert read(tmp_path / "x.yaml") == {"a": {"k": 1}, "b": {"k": 2}, "c": {"k": 2}}


BAD = {
    "x.json": {
        "twice": ('{"a": 1, "b": [{"c": 1, "c": 2}]}', "'c' is given twice"),
        "nothing": ("", "Expecting value"),
        "cut short": ('{"a": [', "Expecting value"),
        "bytes": (b"\xff\xfe", "can't decode"),
        "deep": ("[" * 100_000, "recursion"),
        "a number of 5000 digits": ("[" + "9" * 5000 + "]", "digit"),
    },
    "x.yaml": {
        "twice": ("a: 1\nb: [{c: 1, c: 2}]\n", "line 2: 'c' is given twice"),
        "twice in block style": ("a:\n  b: 1\n  c: 2\n  b: 3\n", "line 4: 'b' is given twice"),
        "cut short": ("a: [\n1,\n", "line 3: "),
        "a tab": ("a:\n\t- 1\n", "line 2: "),
        "a tag": ("a: !!python/object/apply:os.getcwd []\n", "line 1: could not determine"),
        "no such anchor": ("a: *b\n", "line 1: found undefined alias"),
        "two documents": ("a: 1\n---\nb: 2\n", "line 2: "),
        "bytes": (b"\xff\xfe", "can't decode"),
        "deep": ("[" * 100_000, f"more than {DEEPEST} lists"),
        "no date": ("a: 2020-99-99\n", "month must be"),
        "unprintable": ("a: \x07\n", "control characters"),
    },
}


@pytest.mark.parametrize(("name", "case"), [(name, case) for name in BAD for case in BAD[name]])
def test_what_cannot(tmp_path, name, case):
    content, words = BAD[name][case]
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: cannot be read as {path.suffix[1:].upper()}: ")
    assert words in str(caught.value)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "x.json")
    with pytest.raises(InputError, match="cannot be read as JSON: Is a directory: mend it"):
        read(tmp_path)


@pytest.mark.parametrize(
    "text", ["a: 1\n", '{"a": 1}', '{\n\t"a": 1}', "{}", "__use_yte__: true\n"]
)
def test_configurations_that_snakemake_reads(tmp_path, text):
    (tmp_path / "config.yaml").write_text(text)
    check_config(tmp_path / "config.yaml")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "holds no keys"),
        ("# nothing\n", "holds no keys"),
        ("- a\n", "holds no keys"),
        ("[1]", "holds no keys"),
        ("a: [\n", "line 2: "),
        ("a: 1\nb: 1\na: 2\n", "line 3: 'a' is given twice"),
        ('{"a": 1, "a": 2}', "'a' is given twice"),
        (b"\xff", "can't decode"),
        (None, "there is no such file: write it"),
    ],
)
def test_configurations_that_are_none(tmp_path, content, words):
    path = tmp_path / "config.yaml"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as caught:
        check_config(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert words in str(caught.value)


def test_messages_are_one_line_of_bounded_length():
    message = str(InputError("a\nb\tc\x00d\ud800: " + "x" * 10_000 + ": mend it"))
    assert message.startswith("a b c d : xxx")
    assert message.endswith("xxx: mend it")
    assert message.isprintable()
    assert len(message) < LONGEST + 10
    assert str(InputError("x" * LONGEST)) == "x" * LONGEST
