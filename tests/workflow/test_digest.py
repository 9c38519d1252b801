"""The digest of a script changes with all that it needs, and with nothing else."""

import ast

import pytest

from snakewebb.workflow import digest
from workflow import REPO

FILES = {
    "script.py": "from pack.one import step\n",
    "lib/pack/__init__.py": "",
    "lib/pack/one.py": "from .deep import two\nfrom . import beside\nfrom .. import pack\n",
    "lib/pack/beside.py": "def lazy():\n    import pack.late\n",
    "lib/pack/late.py": "",
    "lib/pack/deep/__init__.py": "from pack import parent\n",
    "lib/pack/parent.py": "",
    "lib/pack/deep/two.py": "TABLE = 'table.json'\n",
    "lib/pack/deep/table.json": "{}",
    "lib/pack/deep/unread.json": "{}",
    "lib/pack/other.py": "import pack.one\n",
    "lib/other/one.py": "",
}
NEEDED = {
    "script.py", "lib/pack/__init__.py", "lib/pack/one.py", "lib/pack/beside.py",
    "lib/pack/late.py", "lib/pack/deep/__init__.py", "lib/pack/parent.py",
    "lib/pack/deep/two.py", "lib/pack/deep/table.json",
}  # fmt: skip


def fill(folder):
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def digest_of(folder):
    for function in (digest._needs, digest._content, digest._modules, digest._data):
        function.cache_clear()
    return digest.code_digest(folder / "script.py", folder / "lib")


@pytest.mark.parametrize("name", FILES)
def test_an_edit_is_seen_where_it_matters(tmp_path, name):
    before = digest_of(fill(tmp_path))
    with (tmp_path / name).open("a") as file:
        file.write("\n")
    assert (digest_of(tmp_path) != before) == (name in NEEDED)


def test_it_does_not_depend_on_the_place(tmp_path):
    assert digest_of(fill(tmp_path / "a")) == digest_of(fill(tmp_path / "b"))


def test_data_of_the_library_are_seen():
    root = REPO / "lib"
    files = digest.needed(root / "snakewebb" / "simulate" / "apertures.py", root)
    assert root / "snakewebb" / "simulate" / "apertures.json" in files


def test_kernels_are_seen_with_their_package():
    root = REPO / "lib"
    files = digest.needed(REPO / "scripts" / "skymatch.py", root)
    names = {str(file.relative_to(root)) for file in files if file.is_relative_to(root)}
    assert {"snakewebb/kernels/__init__.py", "snakewebb/kernels/skymatch.py"} <= names
    assert "snakewebb/kernels/drizzle.py" not in names


def by_syntax_tree(source):
    """Return what code imports, found by Python's own parser."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names]
            found.append(("." * node.level + (node.module or ""), names))
        elif isinstance(node, ast.Import):
            found += [(alias.name, []) for alias in node.names]
    return sorted(found)


@pytest.mark.parametrize("folder", ["lib", "scripts"])
def test_imports_are_those_of_the_syntax_tree(folder):
    files = sorted((REPO / folder).rglob("*.py"))
    assert files
    for file in files:
        source = file.read_text()
        assert sorted(digest.imports(source)) == by_syntax_tree(source), file


def test_imports_in_all_their_forms():
    source = """
import a, b.c as d
if True:
    from .e import (
        f as g,  # as it was
        h,
    )
    from . import i
from ..j.k import l, m as n  # noqa
important = "from here import nothing"
"""
    assert sorted(digest.imports(source)) == by_syntax_tree(source)
