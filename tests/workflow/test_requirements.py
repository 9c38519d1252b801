"""What is imported is asked for by name, not only because something else needs it."""

import ast
import re
import sys

from workflow import REPO

PACKAGES = {"PIL": "pillow", "yaml": "pyyaml"}
# To make data of the simulator anew.
OPTIONAL = {"pysiaf"}
# Programs, plugins, and what photutils imports by itself.
NOT_IMPORTED = {"mypy", "pytest-xdist", "ruff", "scikit-image", "snakefmt"}


def imported(folder):
    names = set()
    for path in (REPO / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(node.module.partition(".")[0])
    own = {"snakewebb", *(path.stem for path in (REPO / "tests").glob("*.py"))}
    return {PACKAGES.get(name, name) for name in names - sys.stdlib_module_names - own}


def test_requirements_are_what_is_imported():
    lines = (REPO / "envs" / "requirements.in").read_text().splitlines()
    asked = {re.match(r"[\w.-]+", line)[0] for line in lines if line}
    used = imported("lib") | imported("scripts") | imported("tests")
    assert used - OPTIONAL == asked - NOT_IMPORTED


def test_the_lock_has_all_of_them_with_hashes_and_no_address():
    for name in ("requirements", "slurm", "docs"):
        text = (REPO / "envs" / f"{name}.txt").read_text()
        asked = (REPO / "envs" / f"{name}.in").read_text()
        locked = re.findall(r"^([\w.-]+)==\S+.*\n    --hash=sha256:", text, re.MULTILINE)
        assert len(locked) == len(re.findall(r"^[\w.-]+==", text, re.MULTILINE))
        assert {re.match(r"[\w.-]+", line)[0] for line in asked.splitlines()} <= set(locked)
        assert "://" not in text
        assert "--index" not in text
