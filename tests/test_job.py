import gc
import logging
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest

from snakewebb.job import job
from snakewebb.errors import InputError
from snakewebb.logs import cost
from workflow import REPO

gc.enable()  # which importing snakewebb.job puts off


pytestmark = pytest.mark.usefixtures("own_logging")


@pytest.mark.parametrize(
    ("script", "others"),
    [
        ("crfints", {"numba"}),
        ("psfstack", {"numba"}),
        ("psfalign", set()),
        ("psfsub", set()),
        ("find_stars", {"astropy.table"}),
        ("find_sources", {"astropy.table", "scipy.spatial"}),
        ("plot_coron", {"numba", "astropy.table", "astropy.wcs"}),
        ("plot_companions", {"numba", "astropy.table", "astropy.wcs"}),
    ],
)
def test_a_job_imports_no_more_than_it_needs(script, others):
    heavy = {"asdf", "astropy.modeling", "gwcs", "scipy.linalg", "scipy.special", "stdatamodels"}
    imports = (REPO / "scripts" / f"{script}.py").read_text().partition("with job")[0]
    program = f"{imports}\nimport sys\nassert not {heavy | others} & set(sys.modules)"
    environment = os.environ | {"PYTHONPATH": str(REPO / "lib")}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)


def test_messages_and_warnings_go_to_the_log(tmp_path):
    with job(str(tmp_path / "log")):
        logging.getLogger("snakewebb.x").info("hello")
        warnings.simplefilter("always")
        warnings.warn("careful", stacklevel=1)
    text = (tmp_path / "log").read_text()
    assert "hello" in text
    assert "careful" in text


def test_what_a_job_took_is_in_its_log(tmp_path):
    with job(str(tmp_path / "log")):
        np.ones(50_000_000)
    took = cost(tmp_path / "log")
    assert 0 < took["start_s"] <= took["cpu_s"]
    assert took["wall_s"] > 0
    assert took["peak_mb"] > 400


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (InputError("a.fits: is broken: fetch it"), "snakewebb: a.fits: is broken: fetch it"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (MemoryError(), "out of memory"),
    ],
)
def test_what_the_user_can_mend_ends_in_one_line(tmp_path, error, line):
    with pytest.raises(SystemExit) as caught, job(str(tmp_path / "log")):
        raise error
    assert line in caught.value.code
    assert "\n" not in caught.value.code
    assert (tmp_path / "log").read_text()


def test_defects_keep_their_trace(tmp_path):
    with pytest.raises(ZeroDivisionError), job(str(tmp_path / "log")):
        _ = 1 / 0
    assert "ZeroDivisionError" in (tmp_path / "log").read_text()


def test_garbage_is_collected_from_the_beginning_of_the_work(tmp_path):
    gc.disable()
    with job(str(tmp_path / "log")):
        assert gc.isenabled()
