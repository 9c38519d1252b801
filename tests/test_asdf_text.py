"""ASDF files read and changed without asdf, against asdf."""

import asdf
import numpy as np
import pytest
from astropy.table import Table

from snakewebb.asdf_text import changed, read_node, read_table, read_value, value

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
    table = read_table(path.read_bytes(), "table")
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
        read_table(content, "table")


def test_parts_of_arrays(tmp_path):
    whole = np.arange(60.0).reshape(6, 10)
    path = tmp_path / "views.asdf"
    asdf.AsdfFile({"whole": whole, "part": whole[1::2, ::-3], "number": 4}).write_to(path)
    content = path.read_bytes()
    for place, expected in (("whole", whole), ("part", whole[1::2, ::-3]), ("number", 4)):
        np.testing.assert_array_equal(value(read_node(content, place), content), expected)
    with pytest.raises(ValueError, match="for a value"):
        value(read_node(content, "asdf_library"), content)


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
    path.write_bytes(changed(path.read_bytes(), changes, ["meta.gone", "meta.absent", "table"]))
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
    assert read_value(path.read_bytes(), "meta.sub.new") == new
    assert read_value(path.read_bytes(), "meta.sub.old.new") is None
