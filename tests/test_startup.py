"""Each way to start faster gains something, and leaves nothing behind."""

import ast
import gc
import subprocess
import sys
from pathlib import Path

import astropy.utils.data
import pytest
import yaml

from snakewebb import startup
from workflow import REPO


def modules(program):
    """Return what a fresh Python has imported after a program."""
    code = f"import sys\nsys.path.insert(0, {str(REPO / 'lib')!r})\n{program}\nprint(*sys.modules)"
    command = [sys.executable, "-c", code]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_numba_would_import_scipy():
    """Else nothing is gained by hiding it."""
    hidden = modules("import snakewebb.kernels")
    plain = modules("import numba.np.arraymath")
    assert "scipy.linalg" in plain
    assert "scipy.linalg" not in hidden


def test_what_is_hidden_comes_back():
    with startup.without_module("wave"), pytest.raises(ImportError):
        import wave
    import wave

    with startup.without_module("wave"):
        import wave as again
    assert again is wave


LIGHT = "import snakewebb.workflow.job\n"
"""Imports astropy.io.fits."""


def test_fits_would_import_units():
    """Else nothing is gained by something in their stead."""
    assert "astropy.units" in modules("import astropy.io.fits")
    light = modules(LIGHT)
    assert "astropy.io.fits" in light
    assert "astropy.units" not in light


def test_only_annotations_know_what_stands_in():
    """Else it would make a difference."""
    program = (
        f"{LIGHT}from snakewebb.startup import Unknown\n"
        "for name, module in list(sys.modules.items()):\n"
        "    if name.startswith('astropy') and Unknown in vars(module).values():\n"
        "        assert name == 'astropy.utils.data', name"
    )
    modules(program)
    data = ast.parse(Path(astropy.utils.data.__file__).read_text(encoding="utf-8"))
    for node in ast.walk(data):
        if isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.FunctionDef):
            node.returns = None
    used = {node.id for node in ast.walk(data) if isinstance(node, ast.Name)}
    assert not used & {"Quantity", "UnitBase"}


def test_the_configuration_of_fits_says_what_it_said():
    """And is asked a hundred times as fast; else nothing is gained."""
    program = (
        "import timeit\n"
        "from astropy.io import fits\n"
        "from snakewebb.startup import settle\n"
        "def ask(): return fits.conf.strip_header_whitespace\n"
        "names = list(fits.conf)\n"
        "before = [getattr(fits.conf, name) for name in names]\n"
        "slow = timeit.timeit(ask, number=500)\n"
        "settle(fits.conf)\n"
        "assert 'strip_header_whitespace' in names\n"
        "assert [getattr(fits.conf, name) for name in names] == before\n"
        "assert timeit.timeit(ask, number=500) < slow / 10\n"
    )
    modules(program)


def test_units_are_there_afterwards():
    program = (
        f"{LIGHT}import astropy.units as u\n"
        "assert (1 * u.deg).to(u.arcsec).value == 3600\n"
        "from astropy.table import QTable\n"
        "from astropy.utils.data import get_free_space_in_dir\n"
        "assert isinstance(get_free_space_in_dir('.', unit=True), u.Quantity)"
    )
    assert "astropy.units.si" in modules(program)


def test_asdf_would_read_its_manifests_in_python():
    """Else nothing is gained by giving it another parser."""
    program = (
        "import asdf, yaml\n"
        "asked = []\n"
        "class Watched(yaml.SafeLoader):\n"
        "    def __init__(self, stream):\n"
        "        asked.append(stream)\n"
        "        super().__init__(stream)\n"
        "yaml.SafeLoader = Watched\n"
        "asdf.get_config().extensions\n"
        "assert len(asked) > 10, len(asked)"
    )
    assert "yaml" in modules(program)


def test_the_parser_comes_back():
    before = yaml.SafeLoader
    with startup.fast_yaml():
        assert yaml.SafeLoader is yaml.CSafeLoader
    assert yaml.SafeLoader is before
    with pytest.raises(ZeroDivisionError), startup.fast_yaml():
        _ = 1 / 0
    assert yaml.SafeLoader is before


def test_imports_would_be_searched_for_garbage():
    program = (
        "import gc\nfrom snakewebb import startup\nruns = []\n{}\n"
        "gc.callbacks.append(lambda *_: runs.append(1))\n"
        "import numpy, astropy.io.fits, numba\nassert {}"
    )
    modules(program.format("", "len(runs) > 50"))
    modules(program.format("startup.put_off_garbage()", "not runs"))


def test_garbage_is_collected_afterwards():
    startup.put_off_garbage()
    try:
        assert not gc.isenabled()
    finally:
        startup.collect_garbage()
    assert gc.isenabled()
    gc.unfreeze()
