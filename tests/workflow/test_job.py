import gc
import logging
import os
import signal
import subprocess
import sys
import warnings

import numpy as np
import pytest

from snakewebb.workflow.job import job, named
from snakewebb.errors import InputError
from snakewebb.workflow.logs import Failures, cost, last_words
from workflow import REPO

gc.enable()  # which importing snakewebb.workflow.job puts off


pytestmark = pytest.mark.usefixtures("own_logging")


@pytest.mark.parametrize(
    ("script", "others"),
    [
        ("crfints", set()),
        ("psfstack", set()),
        ("psfalign", set()),
        ("psfsub", set()),
        ("find_stars", {"astropy.table"}),
        ("cal", {"astropy.table", "astropy.wcs"}),
        ("background", {"astropy.table", "astropy.wcs"}),
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


def test_jobs_get_what_has_a_name_but_not_what_is_snakemakes():
    given = {"exposure": "a.fits", "others": ["b.fits"], "kernels": "kernels.done", "code": "crf"}
    assert named(given) == {"exposure": "a.fits", "others": ["b.fits"]}


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
        (ImportError("no such name", name="scipy.new"), "the environment is incomplete: give "),
        (
            ImportError("no such name", name="snakewebb.wcs.grid"),
            "a defect of snakewebb: report it",
        ),
        (ZeroDivisionError(), "ZeroDivisionError(): a defect of snakewebb: report it"),
    ],
)
def test_a_job_that_fails_ends_in_one_line(tmp_path, error, line):
    with pytest.raises(SystemExit) as caught, job(str(tmp_path / "log")):
        raise error
    assert line in caught.value.code
    assert "\n" not in caught.value.code
    text = (tmp_path / "log").read_text()
    assert ("Traceback" in text) == (not isinstance(error, InputError)), "the trace is in the log"
    assert caught.value.code == f"snakewebb: {last_words(tmp_path / 'log')} (log: {tmp_path}/log)"


def test_a_log_that_cannot_be_opened_ends_a_job_in_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit) as caught, job(str(tmp_path / "nowhere" / "log")):
        raise AssertionError
    assert "No such file or directory" in caught.value.code
    assert capsys.readouterr().err == ""


KILL = "import os, signal; os.kill(os.getpid(), signal.{})"
DEFECT = "a defect of snakewebb: report it with this log"


def heeding_signals():
    """Undo what ``nohup`` and background jobs of a shell hand down."""
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("import nonsense", "No module named 'nonsense': the environment is incomplete: give "),
        ("import snakewebb.nonsense", DEFECT),
        ("raise MemoryError", "out of memory: give the job more"),
        ("raise OSError(28, 'No space left on device')", "No space left on device: check space"),
        ("_ = 1 / 0", DEFECT),
        (KILL.format("SIGINT"), "stopped"),
        (KILL.format("SIGTERM"), "stopped by a signal: by hand, or at a limit of time; its last"),
        (KILL.format("SIGHUP"), "stopped by a signal: by hand, or at a limit of time; its last"),
        (KILL.format("SIGKILL"), "killed, mostly for want of memory: give it more"),
        ("import os; os.abort()", "crashed (Aborted): a defect of snakewebb or of a library"),
        ("import faulthandler; faulthandler._sigsegv()", "crashed (Segmentation fault): a defect"),
    ],
)
@pytest.mark.parametrize("where", ["imports", "work"])
def test_what_ends_a_script_is_told(tmp_path, program, words, where):
    """In an import, that is before `job`, as in the work itself."""
    log = tmp_path / "log"
    log.write_text("2026-01-01 10:00:00,000 ERROR root: of the run before\n")
    lines = [
        "from types import SimpleNamespace",
        f"snakemake = SimpleNamespace(log=[{str(log)!r}])",
        "from snakewebb.workflow.job import job",
        *(["with job(snakemake.log[0]):"] if where == "work" else []),
        f"  {program}" if where == "work" else program,
    ]
    environment = os.environ | {"PYTHONPATH": str(REPO / "lib")}
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        env=environment,
        capture_output=True,
        text=True,
        preexec_fn=heeding_signals,
    )
    assert done.returncode
    told = last_words(log)
    assert words in told
    if "os.kill" in program or "crashed" in words:
        assert done.stderr == ""
    else:
        assert done.stderr == f"snakewebb: {told} (log: {log})\n"


def test_warnings_of_the_work_go_to_the_log_whatever_was_imported(tmp_path):
    log = tmp_path / "log"
    program = (
        "from types import SimpleNamespace\n"
        f"snakemake = SimpleNamespace(log=[{str(log)!r}])\n"
        "from snakewebb.workflow.job import job\nimport warnings\nimport astropy.io.fits\n"
        "with job(snakemake.log[0]):\n    warnings.warn('careful')"
    )
    environment = os.environ | {"PYTHONPATH": str(REPO / "lib")}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert "careful" in log.read_text()


def failed(log, *files):
    record = logging.makeLogRecord({"event": "job_error", "log": [str(log)], "output": [*files]})
    failures = Failures()
    failures.handle(record)
    failures.handle(logging.makeLogRecord({"event": "job_finished"}))
    return dict(failures.reasons())


def test_a_job_that_failed_is_told_unless_another_attempt_made_its_files(tmp_path):
    log, file = tmp_path / "log", tmp_path / "file"
    with job(str(log)):
        pass
    told = failed(log, str(file), str(tmp_path))
    words = "ended without a word: see what it printed, and whether the disk is full"
    assert told == {str(log): words}
    file.touch()
    assert failed(log, str(file), str(tmp_path)) == {}


KILLED = "killed, mostly for want of memory"


@pytest.mark.parametrize(
    ("last", "other", "told"),
    [
        ("ERROR root: stopped", "INFO a: hm", "stopped"),  # by hand, in the middle of an import
        ("ERROR root: stopped", "", "stopped"),
        ("INFO a: hm\nStack (most recent call first):", "INFO a: hm", KILLED),  # at its limit
        ("ERROR root: no such file", "INFO a: hm", KILLED),
    ],
)
def test_what_was_stopped_takes_others_along_but_no_reason_to_mend(tmp_path, last, other, told):
    failures = Failures()
    for name, words in (("one", last), ("other", other)):
        lines = f"2026-01-01 10:00:00,000 {words}\n" if words else ""
        (tmp_path / name).write_text(lines)
        record = {"event": "job_error", "log": [str(tmp_path / name)], "output": ["none"]}
        failures.handle(logging.makeLogRecord(record))
    assert dict(failures.reasons())[str(tmp_path / "other")].startswith(told)
    mend = failures.messages()[-1].startswith("mend this and ")
    assert mend == (told == KILLED)


def test_garbage_is_collected_from_the_beginning_of_the_work(tmp_path):
    gc.disable()
    with job(str(tmp_path / "log")):
        assert gc.isenabled()
