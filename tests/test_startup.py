"""Each way to start faster gains something, and leaves nothing behind."""

import gc
import subprocess
import sys

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
