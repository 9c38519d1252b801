"""Compiled kernels are kept, found from anywhere, and made again where they are damaged."""

import ast
import contextlib
import importlib.util
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from snakewebb.kernels import __main__ as compilation
from snakewebb.kernels import cache
from workflow import REPO

SOURCE = """
from snakewebb.kernels.cache import njit

@njit("float64(float64)", cache=True, nogil=True)
def half(x):
    return x / 2
"""


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """An empty folder of compiled kernels."""
    folder = tmp_path / "kept"
    monkeypatch.setattr(cache, "folder", lambda: folder)
    cache._complain.cache_clear()
    with contextlib.ExitStack() as opened:
        where = cache.once(lambda folder: opened.enter_context((folder / ".turns").open("ab")))
        monkeypatch.setattr(cache, "_turns", where)
        yield folder


def load(folder):
    """Import a kernel from a folder: the kernel, and whether it had to be compiled."""
    folder.mkdir(exist_ok=True)
    (folder / "twin.py").write_text(SOURCE)
    spec = importlib.util.spec_from_file_location("twin", folder / "twin.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.half(3.0) == 1.5
    hits, misses = (sum(count.values()) for count in module.half.stats[1:])
    assert hits + misses == 1
    return bool(misses)


def kernels_in(folder):
    return [path for path in folder.iterdir() if path.name != ".turns"]


def test_one_compilation_serves_all_checkouts(kept, tmp_path):
    assert load(tmp_path / "one")
    assert not load(tmp_path / "one")
    assert not load(tmp_path / "other")
    assert len(kernels_in(kept)) == 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda code: b"",
        lambda code: code[:20],
        lambda code: code[: len(code) // 2],
        lambda code: code[:2000] + bytes(1000) + code[3000:],
        lambda code: cache.hashlib.sha256(b"junk").digest() + b"junk",
    ],
    ids=["empty", "in the digest", "cut", "holed", "no pickle"],
)
def test_what_is_damaged_is_compiled_again_once(kept, tmp_path, damage):
    load(tmp_path / "one")
    (path,) = kernels_in(kept)
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert path.read_bytes() != whole
    assert load(tmp_path / "one")
    assert not load(tmp_path / "one")


@pytest.mark.parametrize("full", [False, True])
def test_without_a_place_to_keep_them_kernels_work(kept, tmp_path, monkeypatch, caplog, full):
    def write(path, content):
        path.touch()
        raise OSError(28, "No space left on device")

    if full:
        monkeypatch.setattr(Path, "write_bytes", write)
    else:
        kept.touch()
    for _ in range(2):
        assert load(tmp_path / "one")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith(f"{kept}: compiled kernels cannot be kept (")
    assert ("No space left" in record.getMessage()) == full
    assert not full or not kernels_in(kept)


def test_what_may_only_be_read_is_read(kept, tmp_path, monkeypatch, caplog):
    load(tmp_path / "one")
    monkeypatch.setattr(Path, "write_bytes", None)
    assert not load(tmp_path / "one")
    assert not caplog.records


def folder_of(kernels, monkeypatch):
    monkeypatch.setattr(cache, "__file__", str(kernels / "cache.py"))
    return cache.folder.__wrapped__()


def test_the_folder_goes_by_the_content_of_the_kernels_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    here = Path(cache.__file__).parent
    copy = tmp_path / "copy" / "kernels"
    shutil.copytree(here, copy, ignore=shutil.ignore_patterns("__pycache__"))
    folder = folder_of(here, monkeypatch)
    assert folder.parent == tmp_path / "caches" / "snakewebb"
    assert folder_of(copy, monkeypatch) == folder
    (copy / "notes.txt").touch()
    (copy.parent / "grid.py").touch()
    os.utime(copy / "skymatch.py")
    assert folder_of(copy, monkeypatch) == folder
    with (copy / "skymatch.py").open("a") as file:
        file.write("# edited\n")
    assert folder_of(copy, monkeypatch) != folder


def test_where_the_folder_is(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/mine")
    assert cache.folder.__wrapped__().parent == Path("/mine/snakewebb")
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", lambda: Path("/home/me"))
    assert cache.folder.__wrapped__().parent == Path("/home/me/.cache/snakewebb")


def test_without_a_home_kernels_work(tmp_path, monkeypatch, caplog):
    def home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", home)
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache.folder.__wrapped__() is None
    monkeypatch.setattr(cache, "folder", cache.folder.__wrapped__)
    assert load(tmp_path / "one")
    assert load(tmp_path / "one")
    assert not caplog.records


def test_each_type_of_cpu_has_a_file_of_its_own(kept):
    def path(cpu, signature="void(float32[::1])"):
        codegen = SimpleNamespace(magic_tuple=lambda: ("x86_64-unknown-linux-gnu", cpu, "+avx2"))
        return cache._Cache(load)._path(signature, codegen)

    assert path("znver3") == path("znver3")
    assert len({path("znver3"), path("skylake"), path("znver3", "void(float64[::1])")}) == 3


def test_many_that_lack_a_kernel_compile_it_once(tmp_path):
    """Ten first jobs at once, say: one works, the others wait for it."""
    (tmp_path / "twin.py").write_text(SOURCE)
    program = "import twin; print(sum(twin.half.stats.cache_misses.values()))"
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(REPO / "lib"), str(tmp_path)]),
        "XDG_CACHE_HOME": str(tmp_path / "caches"),
    }
    environment.pop("NUMBA_CACHE_DIR", None)
    run = [sys.executable, "-c", program]
    options = {"env": environment, "stdout": subprocess.PIPE, "text": True}
    jobs = [subprocess.Popen(run, **options) for _ in range(6)]
    assert sorted(job.communicate()[0] for job in jobs) == 5 * ["0\n"] + ["1\n"]


def test_where_all_kernels_are_there_none_is_imported(kept, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "_NAMES", set())
    assert not cache.are_complete()
    cache.note_complete()
    assert not cache.are_complete(), "no kernels are not all"
    load(tmp_path / "one")
    assert not cache.are_complete()
    cache.note_complete()
    assert cache.are_complete()
    monkeypatch.setattr(compilation, "compile_from", pytest.fail)
    compilation.compile_kernels(1)
    (path,) = (path for path in kernels_in(kept) if path.name.startswith("half"))
    path.unlink()
    assert not cache.are_complete()
    monkeypatch.setattr(cache, "folder", lambda: None)
    cache.note_complete()
    assert not cache.are_complete()


def test_processes_begin_with_different_kernels(kept, monkeypatch):
    begun = []

    def popen(command):
        begun.append(int(command[-1].rpartition("(")[2].strip(")")))
        return SimpleNamespace(wait=lambda: None)

    monkeypatch.setattr(compilation.subprocess, "Popen", popen)
    monkeypatch.setattr(compilation, "compile_from", begun.append)
    compilation.compile_kernels(3)
    n = len(compilation.MODULES)
    assert begun == [n // 3, 2 * n // 3, 0]
    assert {"drizzle", "median", "skymatch"} <= set(compilation.MODULES)


def test_all_kernels_are_in_the_cache():
    """So none is known by what changes from process to process, an address for one."""
    program = (
        "import sys\n"
        "from snakewebb.kernels.__main__ import compile_from\n"
        "compile_from(0)\n"
        "from numba.core.dispatcher import Dispatcher\n"
        "kernels = {k for name, module in sys.modules.items() if name.startswith('snakewebb.')\n"
        "           for k in vars(module).values() if isinstance(k, Dispatcher)}\n"
        "for count in ('cache_hits', 'cache_misses'):\n"
        "    print(sum(sum(getattr(kernel.stats, count).values()) for kernel in kernels))"
    )
    environment = os.environ | {"PYTHONPATH": str(REPO / "lib")}
    run = [sys.executable, "-c", program]
    subprocess.run(run, env=environment, check=True)
    done = subprocess.run(run, env=environment, check=True, capture_output=True, text=True)
    hits, misses = map(int, done.stdout.split())
    assert hits > 30
    assert misses == 0


@pytest.mark.parametrize("module", sorted((REPO / "lib" / "snakewebb" / "kernels").glob("*.py")))
def test_kernels_have_this_cache(module):
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "numba":
            assert "njit" not in {alias.name for alias in node.names}
