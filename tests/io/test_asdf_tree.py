"""ASDF files read and changed without asdf, against asdf."""

import contextlib
import struct
import zlib

import asdf
import numpy as np
import pytest
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st

from snakewebb.io import asdf_arrays, asdf_tree
from snakewebb.io.asdf_arrays import array
from snakewebb.io.asdf_tree import AsdfTree

COLUMNS = {
    "filter": ["F200W", "F1"],
    "pupil": np.array([b"CLEAR", b"MASK"]),
    "count": [3, 4],
    "offset": np.array([1.7, -0.8], np.float32),
}


@pytest.mark.parametrize("storage", ["inline", "internal"])
@pytest.mark.parametrize("compression", [None, "zlib", "bzp2"])
def test_tables_are_read(tmp_path, storage, compression):
    path = tmp_path / "table.asdf"
    file = asdf.AsdfFile({"first": np.arange(5), "table": Table(COLUMNS)})
    file.write_to(path, all_array_storage=storage, all_array_compression=compression)
    table = AsdfTree(path.read_bytes()).table("table")
    assert list(table) == list(COLUMNS)
    for name, column in COLUMNS.items():
        read = table[name].astype(str) if name == "pupil" else table[name]
        np.testing.assert_array_equal(read, np.asarray(column).astype(read.dtype))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"SIMPLE  = T",
        b"#ASDF 1.0.0\n%YAML 1.1\n--- {a: [\n...\n",
        b"#ASDF 1.0.0\n%YAML 1.1\n--- {table: 3}\n...\n",
        b"#ASDF 1.0.0\n%YAML 1.1\n--- {table: {columns: [{name: a, data: {source: 0}}]}}\n...\n",
    ],
)
def test_no_table(content):
    with pytest.raises(ValueError, match=r"no ASDF file|a broken|no table|an array"):
        AsdfTree(content).table("table")


def test_parts_of_arrays(tmp_path):
    whole = np.arange(60.0).reshape(6, 10)
    path = tmp_path / "views.asdf"
    asdf.AsdfFile({"whole": whole, "part": whole[1::2, ::-3], "number": 4}).write_to(path)
    tree = AsdfTree(path.read_bytes())
    for place, expected in (("whole", whole), ("part", whole[1::2, ::-3]), ("number", 4)):
        np.testing.assert_array_equal(tree.read(tree.node(place)), expected)
    with pytest.raises(ValueError, match="for a value"):
        tree.read(tree.node("asdf_library"))


def tree_of(text: str) -> bytes:
    return f"#ASDF 1.0.0\n#ASDF_STANDARD 1.6.0\n%YAML 1.1\n--- {text}\n...\n".encode()


TREES = {
    "deeper than 200": "{a: " + "[" * 250 + "]" * 250 + "}",
    "contains itself": "{a: &a [1, *a]}",
    "more than 50 nodes": "{a: &a [1, 2, 3, 4, 5, 6, 7, 8, 9], b: [*a, *a, *a, *a, *a]}",
    "without names": "[1, 2]",
    "broken": "{a: [}",
    "broken ": "{a: *b}",
}


@pytest.mark.parametrize("trouble", TREES)
def test_trees_are_bounded(monkeypatch, trouble):
    monkeypatch.setattr(asdf_tree, "MAX_NODES", 50 if "nodes" in trouble else 1000)
    with pytest.raises(ValueError, match=trouble):
        AsdfTree(tree_of(TREES[trouble])).node("a")


def test_what_stands_in_several_places_counts_each_time(monkeypatch):
    text = tree_of("{a: &a [[1]], b: [*a, *a, {c: *a}]}")
    monkeypatch.setattr(asdf_tree, "MAX_NODES", 20)
    monkeypatch.setattr(asdf_tree, "MAX_DEPTH", 5)
    assert AsdfTree(text).value("b") == [[[1]], [[1]], {"c": [[1]]}]
    asdf_tree._check_tree.cache_clear()
    monkeypatch.setattr(asdf_tree, "MAX_DEPTH", 4)
    with pytest.raises(ValueError, match="deeper than 4"):
        AsdfTree(text).value("b")
    monkeypatch.setattr(asdf_tree, "MAX_DEPTH", 5)
    monkeypatch.setattr(asdf_tree, "MAX_NODES", 10)
    with pytest.raises(ValueError, match="more than 10"):
        AsdfTree(text).value("b")


@pytest.mark.parametrize("scalar", ["!!int ''", "!!float x", "!!timestamp x", "!!bool x", "!odd x"])
def test_scalars_that_are_not_what_their_tag_says(scalar):
    with pytest.raises(ValueError, match=r"is no (tag:|!)"):
        AsdfTree(tree_of(f"{{a: {scalar}}}")).value("a")


def test_only_what_is_asked_for_is_looked_at():
    text = tree_of("{a: 1, b: !!int '', {c: 1}: 2}")
    assert AsdfTree(text).value("a") == 1
    assert AsdfTree(text).value("c") is None
    with pytest.raises(ValueError, match="a collection for a name"):
        AsdfTree(text).value("")


BLOCK = b"\xd3BLK\x00\x30" + struct.pack(">I4sQQQ16s", 0, bytes(4), 32, 32, 32, b"") + bytes(32)
ARRAY = {"source": 0, "datatype": "float64", "byteorder": "little", "shape": [4]}
ARRAYS = {
    "objects": {"datatype": "object"},
    "a structure": {"datatype": [{"datatype": "int8"}]},
    "no type": {"datatype": None},
    "texts without end": {"datatype": ["ascii", 10**12]},
    "texts of no length": {"datatype": ["ascii", 0]},
    "another byte order": {"byteorder": "middle"},
    "more than there is": {"shape": [5]},
    "much more": {"shape": [10**12]},
    "much more in no space": {"shape": [10**6, 10**6], "strides": [0, 0]},
    "a little more than may be": {"shape": [2**24], "strides": [0]},
    "less than nothing": {"shape": [-1]},
    "no shape": {"shape": None},
    "a shape of texts": {"shape": ["a"]},
    "a shape of truth": {"shape": [True]},
    "a shape without end": {"shape": ["*"]},
    "a start behind the end": {"offset": 8},
    "a start before the beginning": {"offset": -8},
    "steps out of it": {"strides": [16]},
    "steps before it": {"strides": [-8]},
    "steps of another number": {"strides": [8, 8]},
    "steps that are none": {"strides": ["a"]},
    "another block": {"source": 1},
    "a block before the first": {"source": -1},
    "another file": {"source": "other.asdf"},
    "a mask": {"mask": 0},
}


@pytest.mark.parametrize("trouble", ARRAYS)
def test_arrays_that_their_block_does_not_hold(trouble):
    assert array(ARRAY, BLOCK).tolist() == [0.0] * 4
    with pytest.raises(ValueError, match=r"an array|texts of|byte order|no block"):
        array(ARRAY | ARRAYS[trouble], BLOCK)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(0, 5), max_size=3),
    st.integers(0, 20),
    st.lists(st.integers(-9, 9), max_size=3),
    st.sampled_from(["int8", "int16", "float32"]),
)
def test_arrays_are_numpys_wherever_they_may_be(shape, offset, strides, kind):
    block = BLOCK[:-32] + bytes(range(32))
    expected = None
    with contextlib.suppress(ValueError):
        expected = np.ndarray(shape, np.dtype(kind), block[-32:], offset, strides)
    described = {
        "source": 0,
        "datatype": kind,
        "shape": shape,
        "offset": offset,
        "strides": strides,
    }
    if expected is None or len(strides) != len(shape):
        if 0 not in shape or len(strides) != len(shape):
            with pytest.raises(ValueError, match="an array"):
                array(described, block)
    else:
        np.testing.assert_array_equal(array(described, block), expected)


@pytest.mark.parametrize(
    "data",
    [[1, [2]], [1, None], {"data": [1, 2], "shape": [3]}, {"data": [1, "a"], "datatype": "int8"}],
)
def test_values_that_are_no_array(data):
    with pytest.raises(ValueError, match=r"an array|inhomogeneous|invalid literal"):
        array(data, b"")


def test_texts_that_take_too_much_room(monkeypatch):
    texts = ["a" * 100, *(["b"] * 100)]
    assert array(texts, b"").shape == (101,)
    monkeypatch.setattr(asdf_arrays, "MAX_BYTES", 40_000)
    with pytest.raises(ValueError, match="101 long texts"):
        array(texts, b"")


BLOCKS = {
    "cut": BLOCK[:-1],
    "cut in its header": BLOCK[:20],
    "a header of no length": BLOCK.replace(b"\x00\x30", b"\x00\x00", 1),
    "larger than its space": BLOCK.replace(b"\x20", b"\x08", 1),
    "packed as no one knows": BLOCK.replace(bytes(4), b"odd!", 1).replace(bytes(4), b"odd!", 1),
}


@pytest.mark.parametrize("trouble", BLOCKS)
def test_broken_blocks(trouble):
    with pytest.raises(ValueError, match="block"):
        array(ARRAY, BLOCKS[trouble])


def packed(content, size):
    stored = zlib.compress(content)
    header = struct.pack(">I4sQQQ16s", 0, b"zlib", len(stored), len(stored), size, b"")
    return b"\xd3BLK\x00\x30" + header + stored


def test_blocks_that_become_more_than_they_say(monkeypatch):
    assert array(ARRAY, packed(bytes(32), 32)).tolist() == [0.0] * 4
    for content, size in ((bytes(1000), 32), (bytes(31), 32), (bytes(1000), 0)):
        with pytest.raises(ValueError, match=r"a block of \d+ bytes that should have"):
            array(ARRAY, packed(content, size))
    with pytest.raises(ValueError, match="a broken block"):
        array(ARRAY, packed(bytes(32), 32)[:-8] + bytes(8))
    monkeypatch.setattr(asdf_arrays, "MAX_BYTES", 999)
    with pytest.raises(ValueError, match="a block that becomes 1000 bytes"):
        array(ARRAY, packed(bytes(1000), 1000))


def test_a_whole_file_is_checked():
    AsdfTree(tree_of("{a: 1}") + BLOCK).check_blocks()
    with pytest.raises(ValueError, match="cut short"):
        AsdfTree(tree_of("{a: 1}") + BLOCK[:-1]).check_blocks()


def test_a_tree_is_changed(tmp_path):
    path = tmp_path / "file.asdf"
    tree = {
        "meta": {"name": "1e5", "yes": "no", "number": 3.0, "gone": 1, "sub": {"old": True}},
        "array": np.arange(10.0),
        "table": Table(COLUMNS),
    }
    asdf.AsdfFile(tree).write_to(path)
    new = {"a": [1, "b"], "small": 1e-9, "word": "1.0e-9", "date": "2026-01-02"}
    changes = {"meta.number": 4, "meta.sub.new": new, "meta.text": "on: off", "a.b.c": [True]}
    tree = AsdfTree(path.read_bytes())
    path.write_bytes(tree.change(changes, ["meta.gone", "meta.absent", "table"]).to_bytes())
    with asdf.open(path) as file:
        assert dict(file["meta"]) == {
            "name": "1e5",
            "yes": "no",
            "number": 4,
            "sub": {"old": True, "new": new},
            "text": "on: off",
        }
        np.testing.assert_array_equal(file["array"], np.arange(10.0))
        assert file["a"] == {"b": {"c": [True]}}
        assert "table" not in file
    assert AsdfTree(path.read_bytes()).value("meta.sub.new") == new
    assert AsdfTree(path.read_bytes()).value("meta.sub.old.new") is None


def test_the_standard_of_a_file(tmp_path):
    path = tmp_path / "a.asdf"
    for version in ("1.3.0", "1.5.0", "1.6.0"):
        asdf.AsdfFile({"a": 1}, version=version).write_to(path)
        assert AsdfTree(path.read_bytes()).standard == tuple(map(int, version.split(".")))
    assert AsdfTree(b"#ASDF 1.0.0\n%YAML 1.1\n--- {a: 1}\n...\n").standard == (1, 6, 0)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_arrays_are_written_into_a_tree(tmp_path, compression):
    values = np.array([[1.0, 1e-17], [-0.1, 1 / 3]])
    tree = {"part": {"a": values, "same": values, "turned": [values.T, 3]}, "other": np.arange(5)}
    path = tmp_path / "a.asdf"
    asdf.AsdfFile(tree).write_to(path, all_array_compression=compression)
    known = AsdfTree(path.read_bytes())
    node = known.inline(known.node("part"))
    asdf.AsdfFile({"mine": 3}).write_to(path)
    path.write_bytes(AsdfTree(path.read_bytes()).change({"part": node}).to_bytes())
    assert b"\xd3BLK" not in path.read_bytes()
    with asdf.open(path) as file:
        part = file["part"]
        for found, expected in (
            (part["a"], values),
            (part["same"], values),
            (part["turned"][0], values.T),
        ):
            np.testing.assert_array_equal(np.asarray(found), expected)
            assert found.dtype == np.float64
        assert part["turned"][1] == 3


def test_arrays_that_are_not_there_are_told():
    text = b"#ASDF 1.0.0\n%YAML 1.1\n%TAG ! tag:stsci.edu:asdf/\n--- {a: !core/ndarray-1.0.0 "
    text += b"{source: 0, datatype: float64, shape: [2]}}\n...\n"
    tree = AsdfTree(text)
    with pytest.raises(ValueError, match="no block 0"):
        tree.inline(tree.node("a"))


@pytest.mark.parametrize("values", [np.array([1j]), np.array(["text"])])
def test_only_numbers_are_written_into_a_tree(tmp_path, values):
    path = tmp_path / "a.asdf"
    asdf.AsdfFile({"a": values}).write_to(path)
    tree = AsdfTree(path.read_bytes())
    with pytest.raises(ValueError, match="not of numbers"):
        tree.inline(tree.node("a"))
