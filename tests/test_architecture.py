"""docs/architecture.md says how the library is built; here it is held to that."""

import ast
import re
from collections import defaultdict
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from workflow import REPO

LIBRARY = REPO / "lib" / "snakewebb"
PAGE = (REPO / "docs" / "architecture.md").read_text()
LONGEST = 400
MOST = 8
GENERATED = {"io.schema_table"}


def floors():
    rows = re.findall(r"^\| (\d+) \| (`.*`) \|$", PAGE, re.M)
    return {
        package: int(floor) for floor, names in rows for package in re.findall(r"`(\w+)`", names)
    }


def modules():
    """The files of the library by dotted name; a package has its own name."""
    return {
        ".".join(path.relative_to(LIBRARY).with_suffix("").parts).removesuffix(".__init__"): path
        for path in LIBRARY.rglob("*.py")
        if path != LIBRARY / "__init__.py"
    }


@cache
def arrows():
    """Which modules a module imports, at its top, in functions, or for its types alone."""
    known, found = modules(), defaultdict(set)
    for name, path in known.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and not node.level:
                named = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            elif isinstance(node, ast.Import):
                named = [alias.name for alias in node.names]
            else:
                assert not isinstance(node, ast.ImportFrom), f"{path}: relative import"
                continue
            own = {n.removeprefix("snakewebb.") for n in named if n.startswith("snakewebb.")}
            assert name not in own, f"{path}: imports itself"
            found[name] |= {module for module in own if module in known}
    return found


def package(module):
    return module.partition(".")[0]


def test_arrows_lead_to_floors_above():
    floor = floors()
    wrong = [
        f"{module} -> {other}"
        for module, others in arrows().items()
        for other in others
        if package(module) != package(other) and floor[package(other)] >= floor[package(module)]
    ]
    assert not wrong


def test_there_is_no_circle():
    # A package is imported before its modules, and imports none of them.
    own = {m: {o for o in others if "." in o} for m, others in arrows().items() if "." in m}
    try:
        list(TopologicalSorter(own).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_each_package_has_its_line():
    packages = {package(module) for module in modules()}
    assert set(floors()) == packages
    assert re.findall(r"^\* `(\w+)`:", PAGE, re.M) == list(floors())


def test_kernels_have_the_name_of_the_module_they_serve():
    served = {m.rpartition(".")[2] for m in modules() if package(m) != "kernels"}
    kernels = {m for m in modules() if m.startswith("kernels.") and not m.endswith("__main__")}
    alone = {kernel for kernel in kernels if kernel.partition(".")[2] not in served}
    assert alone == set(re.findall(r"`(kernels\.\w+)`", PAGE)) - {"kernels.median"}


def test_the_page_names_what_there_is():
    known = modules()
    for name in re.findall(r"`((?:{})\.\w+)`".format("|".join(floors())), PAGE):
        assert name in known, name
    for path in re.findall(r"`((?:tests|scripts|jobs|config|benchmarks)/[\w/.]+)`", PAGE):
        assert (REPO / path).exists() or (LIBRARY / path).exists(), path


def test_each_test_folder_is_that_of_a_package():
    folders = {path.name for path in Path(REPO / "tests").iterdir() if any(path.glob("test_*.py"))}
    assert folders <= set(floors())


def test_no_file_is_too_long():
    files = {name: path for name, path in modules().items() if name not in GENERATED}
    files |= {path.name: path for path in (REPO / "rules").glob("*.smk")}
    assert not {
        name for name, path in files.items() if len(path.read_text().splitlines()) > LONGEST
    }
    assert len((REPO / "rules" / "common.smk").read_text().splitlines()) <= 150


def parameters(function):
    """The names of what a function takes, but for the object or class that it is of."""
    taken = function.args
    own = [*taken.posonlyargs, *taken.args, taken.vararg, *taken.kwonlyargs, taken.kwarg]
    return [each.arg for each in own if each and each.arg not in ("self", "cls")]


def test_no_public_function_takes_too_much():
    """Kernels take arrays and scalars alone, and may."""
    too_much = [
        f"{name}.{node.name}: {len(parameters(node))}"
        for name, path in modules().items()
        if package(name) != "kernels"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.name == "__init__" or not node.name.startswith("_"))
        and len(parameters(node)) > MOST
    ]
    assert not too_much


def named_in(path):
    """What a module defines at its top."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        targets = getattr(node, "targets", None) or [getattr(node, "target", node)]
        found |= {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
        found.add(getattr(node, "name", ""))
    return found


def test_what_docstrings_and_pages_refer_to_is_there():
    """A definition that moves takes along what is said of its place."""
    known = modules()
    pages = [*LIBRARY.rglob("*.py"), *(REPO / "benchmarks").iterdir(), *REPO.glob("**/docs/*.md")]
    lost = []
    for page in filter(Path.is_file, pages):
        for reference in re.findall(r"(?<![\w.])snakewebb\.([\w.]+\w)", page.read_text()):
            parts = reference.split(".")
            ends = range(len(parts), 0, -1)
            module = next((m for k in ends if (m := ".".join(parts[:k])) in known), None)
            rest = reference.removeprefix(f"{module}.").split(".") if module != reference else []
            if not module or (rest and rest[0] not in named_in(known[module])):
                lost.append(f"{page.name}: {reference}")
    assert not lost
