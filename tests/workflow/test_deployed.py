"""The workflow where it is not a checkout: its module from a URL, its library installed."""

import functools
import http.server
import os
import shutil
import subprocess
import sys
import threading

import pytest
import yaml

from snakewebb.kernels import cache
from workflow import REPO

USER = """
configfile: "config/config.yaml"
module snakewebb:
    snakefile: "{}/workflow/Snakefile"
    config: config
use rule * from snakewebb
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with the library as ``pip install`` has it."""
    pytest.importorskip("setuptools")
    folder = tmp_path_factory.mktemp("installed")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPO / name, folder / name)
    shutil.copytree(REPO / "lib", folder / "lib", ignore=shutil.ignore_patterns("__pycache__"))
    command = ["build_py", "--build-lib", str(folder / "site")]
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", "import setuptools; setuptools.setup()", *command],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    return folder / "site"


@pytest.fixture(scope="module")
def address():
    """Where the files of this workflow are served."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    handler = functools.partial(Quiet, directory=str(REPO))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_installed_library_has_all_files(installed):
    def files(folder):
        paths = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
        return {path.relative_to(folder) for path in paths if "egg-info" not in str(path)}

    assert files(installed) == files(REPO / "lib")


def test_a_module_from_a_url_makes_products(tmp_path, installed, address, observations):
    """As snakedeploy writes it."""
    file = min(observations["moving"].parent.glob("*_cal.fits"))
    (tmp_path / "config").mkdir()
    config = {"products": {"x": {"science": str(file)}}}
    (tmp_path / "config" / "config.yaml").write_text(yaml.safe_dump(config))
    (tmp_path / "Snakefile").write_text(USER.format(address))
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"PYTHONPATH": str(installed), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    # Kernels are compiled already.
    environment["NUMBA_CACHE_DIR"] = str(cache.folder().parent.parent)
    command = [sys.executable, "-m", "snakemake", "--cores", "1"]
    for arguments in (["results/x/x_i2d.fits"], ["-n", "-p", "results/x/x_i2d.fits"], ["-n"]):
        done = subprocess.run(
            [*command, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        if arguments == ["-n", "-p", "results/x/x_i2d.fits"]:
            assert "Nothing to be done" in done.stdout + done.stderr
    assert (tmp_path / "results" / "x" / "x_i2d.fits").is_file()
    assert "source_catalog" in done.stdout


def test_a_version_is_one_everywhere():
    from snakewebb import __version__

    assert f"\nversion: {__version__}\n" in (REPO / "CITATION.cff").read_text()
    assert f"\n## {__version__}\n" in (REPO / "CHANGELOG.md").read_text()
