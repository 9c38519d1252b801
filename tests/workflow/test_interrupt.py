"""Whatever ends a run, the same command finishes it, and nothing half-made has a product's name."""

import contextlib
import fcntl
import json
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from astropy.io import fits
from astropy.table import Table

from snakewebb.workflow.job import job
from snakewebb.errors import InputError
from snakewebb.simulate import observation as simulate
from snakewebb.simulate.presets import preset
from snakewebb.workflow import lock as folders
from snakewebb.workflow.associations import read
from snakewebb.workflow.logs import DONE, Failures, last_words
from workflow import REPO, snakemake

FIELD = replace(preset("nircam-f356w", npix=96), stars=40, galaxies=0)
SLOWEST = 120.0


@pytest.fixture(scope="module")
def observation(tmp_path_factory):
    """Two exposures; their association."""
    return simulate.write(
        replace(FIELD, dithers=FIELD.dithers[:2]), tmp_path_factory.mktemp("observation")
    )


@pytest.fixture(scope="module")
def config(observation):
    return {"associations": [str(observation)]}


@pytest.fixture(scope="module")
def target(observation):
    (product,) = read(observation)
    return f"results/{product.name}/{product.name}_i2d.fits"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, config, target):
    """The folder of a run that nothing disturbed, and the seconds it took."""
    folder = tmp_path_factory.mktemp("undisturbed")
    start = time.monotonic()
    snakemake(folder, target, **config)
    return folder, time.monotonic() - start


def content(path):
    """Return what a file holds, as arrays by name; of FITS, the arrays without the metadata."""
    if path.suffix == ".fits":
        with fits.open(path) as hdus:
            return {
                hdu.name: np.array(hdu.data)
                for hdu in hdus
                if hdu.is_image and hdu.data is not None
            }
    if path.suffix == ".ecsv":
        table = Table.read(path)
        return {name: np.array(table[name]) for name in table.colnames}
    return {"": np.frombuffer(path.read_bytes(), np.uint8)}


def products(folder):
    return {
        path.relative_to(folder): path
        for path in Path(folder, "results").rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


def check_whole(folder, reference):
    """Check that whatever stands in a folder under a product's name is the whole product."""
    for name, path in products(folder).items():
        made, right = content(path), content(reference / name)
        assert made.keys() == right.keys(), name
        for key, array in right.items():
            nan = array.dtype.kind == "f"
            assert np.array_equal(made[key], array, equal_nan=nan), (name, key)


def command(folder, *arguments):
    return [
        *(sys.executable, "-m", "snakemake", "--snakefile", str(REPO / "Snakefile")),
        *("--directory", str(folder), "--configfile", str(Path(folder, "config.yaml"))),
        *("--cores", "2", *arguments),
    ]


def start(folder, *arguments):
    return subprocess.Popen(
        command(folder, *arguments), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def kill(process, *, orphans=False):
    """Kill a run, with all its jobs or without them."""
    process.send_signal(signal.SIGSTOP)
    jobs = [] if orphans else psutil.Process(process.pid).children(recursive=True)
    process.kill()
    for each in jobs:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()
    process.wait()


def disturbed(folder, seed, config, target, undisturbed, kills):
    """Kill a run several times at random moments, then let it finish; compare the products."""
    reference, seconds = undisturbed
    moments = random.Random(seed)
    (folder / "config.yaml").write_text(json.dumps(config))
    for number in range(kills):
        run = start(folder, target)
        try:
            run.wait(moments.uniform(0.1, 0.9) * seconds)
            assert run.returncode == 0, "too fast to be killed, or failed"
        except subprocess.TimeoutExpired:
            kill(run, orphans=number % 2 == 1)
        check_whole(folder, reference)
    snakemake(folder, target, **config)
    assert products(folder).keys() == products(reference).keys()
    check_whole(folder, reference)


def test_a_run_killed_again_and_again_is_finished_by_one_command(
    tmp_path, config, target, undisturbed
):
    disturbed(tmp_path, 1, config, target, undisturbed, kills=2)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_runs_killed_at_any_moment(tmp_path, seed, config, target, undisturbed):
    disturbed(tmp_path, seed, config, target, undisturbed, kills=1 + seed % 3)


def test_a_second_run_says_that_there_is_a_first(tmp_path, config, target, undisturbed):
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    first = start(tmp_path, target)
    try:
        deadline = time.monotonic() + SLOWEST
        while not list(tmp_path.glob(".snakemake/locks/*output*")):
            assert first.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        second = snakemake(tmp_path, target, check=False)
        assert second.returncode != 0
        said = [line for line in second.stderr.splitlines() if line.startswith("snakewebb: ")]
        assert said == [
            f"snakewebb: another run is at work here ({os.uname().nodename}, process {first.pid})"
        ]
        assert first.poll() is None
    finally:
        kill(first)


@contextlib.contextmanager
def small_disk(folder, size):
    """Mount a memory disk of some bytes on a folder, or skip the test where that is forbidden."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True
    )
    if done.returncode:
        pytest.skip("may not mount a small disk here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def remount(folder, options):
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def test_a_full_disk_and_a_read_only_one(tmp_path, config, target, undisturbed):
    """Each is told in one line; with space again, the same command finishes the work."""
    reference, _ = undisturbed
    work = tmp_path / "work"
    with small_disk(work, "250k"):
        full = snakemake(work, target, check=False, **config)
        assert full.returncode != 0
        assert "Traceback" not in full.stderr
        said = [line for line in full.stderr.splitlines() if line.startswith("snakewebb: ")]
        assert any("No space left on device" in line for line in said)
        check_whole(work, reference)
        before = {name: path.stat().st_mtime_ns for name, path in products(work).items()}
        assert before
        remount(work, "ro")
        closed = snakemake(work, target, check=False)
        assert closed.returncode != 0
        assert closed.stderr.splitlines()[-1] == (
            f"snakewebb: {work}: cannot be written (Read-only file system): make it writable, or "
            "work elsewhere with --directory"
        )
        remount(work, "rw,size=100m")
        snakemake(work, target)
        check_whole(work, reference)
        after = {name: path.stat().st_mtime_ns for name, path in products(work).items()}
        assert before.items() <= after.items(), "what was made stays"


def test_jobs_without_a_word_are_told_however_quiet_the_run(tmp_path, config, checkout):
    """One is killed before it has a log, one crashes in an import."""
    script = checkout / "scripts" / "find_sources.py"
    before = script.read_text()
    sabotage = (
        "import faulthandler, os, signal\nfirst = '_00001_' in snakemake.input.exposure\n{}\n"
    )
    kill = sabotage.format("if first: os.kill(os.getpid(), signal.SIGKILL)")
    crash = sabotage.format("if not first: faulthandler._sigsegv()")
    script.write_text(f"{kill}from snakewebb.workflow.job import job\n{crash}{before}")
    (product,) = read(Path(config["associations"][0]))
    first, second = (
        Path("logs", product.name, "find_sources", f"{name}.log")
        for name in product.of_type("science")
    )
    try:
        done = snakemake(
            *(tmp_path, "--quiet", "all", "--keep-going"), repo=checkout, check=False, **config
        )
    finally:
        script.write_text(before)
    assert done.returncode == 1
    *said, last = [line for line in done.stderr.splitlines() if line.startswith("snakewebb: ")]
    killed, crashed = sorted(said)
    words = "ended without a word: see what it printed, and whether the disk is full"
    assert killed == f"snakewebb: {first}: {words}"
    words = "crashed (Segmentation fault): a defect of snakewebb or of a library: report it with"
    assert crashed.startswith(f"snakewebb: {second}: {words} this log; its last words: process ")
    assert last == "snakewebb: mend this and give the same command again: what is made stays"


def test_an_interrupted_run_has_nothing_to_mend(tmp_path, config, target):
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    run = subprocess.Popen(
        command(tmp_path, target, "--quiet", "all"),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A run in the background ignores Ctrl-C otherwise.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + SLOWEST
    while not list(tmp_path.glob("logs/*/find_sources/*.log")):
        assert run.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(run.pid, signal.SIGINT)
    said = [line for line in run.communicate()[1].splitlines() if line.startswith("snakewebb: ")]
    assert run.returncode == 1
    assert said == ["snakewebb: stopped; the same command goes on"]


def test_ctrl_c_before_any_job_is_told_in_one_line(tmp_path):
    """Planning waits for an association that is written in the moment of the interrupt."""
    asn = tmp_path / "x_asn.json"
    os.mkfifo(asn)
    (tmp_path / "config.yaml").write_text(json.dumps({"associations": [str(asn)]}))
    run = subprocess.Popen(
        command(tmp_path, "-n"), stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    with asn.open("w"):
        os.killpg(run.pid, signal.SIGINT)
        said = run.communicate()[1].splitlines()
    assert run.returncode == -signal.SIGINT
    assert [line for line in said if "profile" not in line] == [
        "snakewebb: stopped; the same command goes on"
    ]


# --- the pieces -----------------------------------------------------------------------------------


def test_locks_without_an_owner_go(tmp_path, monkeypatch):
    marks = {}
    monkeypatch.setattr(folders, "_MARKS", marks)
    locks = tmp_path / ".snakemake" / "locks"

    def occupied_after(mark):
        locks.mkdir(parents=True, exist_ok=True)
        (locks / "0.output.lock").touch()
        (tmp_path / ".snakemake" / "in_use").write_text(mark)
        folders.occupy(locks.parent)
        marks.popitem()[1].close()
        return (locks / "0.output.lock").exists()

    assert not occupied_after(f"{os.uname().nodename}, process 1")
    assert occupied_after("elsewhere, process 1"), "another machine's may be alive"
    assert occupied_after(""), "whose is it?"


def test_locks_with_an_owner_stay(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(folders, "_MARKS", {})
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks" / "0.output.lock").touch()
    with (tmp_path / "in_use").open("w") as owner:
        owner.write(f"{os.uname().nodename}, process 7")
        owner.flush()
        fcntl.flock(owner, fcntl.LOCK_SH)
        folders.occupy(tmp_path)
    assert (tmp_path / "locks" / "0.output.lock").exists()
    assert "process 7" in capsys.readouterr().err
    folders._MARKS.popitem()[1].close()


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        folders.occupy(tmp_path / "file" / ".snakemake")


@pytest.mark.usefixtures("own_logging")
def test_a_job_waits_for_the_same_job_of_a_killed_run(tmp_path):
    log, ends = tmp_path / "log", []
    with log.open("w") as orphan:
        fcntl.flock(orphan, fcntl.LOCK_EX)

        def work():
            with job(str(log)):
                ends.append(time.monotonic())

        thread = threading.Thread(target=work)
        thread.start()
        time.sleep(0.2)
        assert not ends
        released = time.monotonic()
    thread.join()
    assert ends[0] >= released
    assert last_words(log) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "ended without a word: see what it printed, and whether the disk is full"),
        ("2026-01-01 10:00:00,000 INFO a.b: reading\n", "its last words: reading"),
        (
            "2026-01-01 10:00:00,000 INFO a: x\n2026-01-01 10:00:00,000 ERROR root: a.fits: bad: "
            "mend\nTraceback …\n",
            "a.fits: bad: mend",
        ),
        ("2026-01-01 10:00:00,000 ERROR a.module: hm\n", "its last words: hm"),
        (f"2026-01-01 10:00:00,000 INFO root: {DONE % (2, 1, 0.5, 99)}\n", None),
    ],
)
def test_last_words(tmp_path, text, words):
    log = tmp_path / "log"
    log.write_text(text)
    said = last_words(log)
    assert said is None if words is None else said.endswith(words)


def test_what_ends_after_ctrl_c_is_no_failure():
    """Numba takes an interrupt of its compiler for another error."""

    def told(message, **extra):
        return logging.makeLogRecord({"msg": message, **extra})

    def failed(log):
        return told("Error", event="job_error", log=[log], output=["lost"])

    failures = Failures()
    failures.emit(told("Terminating processes on user request, this might take some time."))
    failures.emit(failed("a.log"))
    assert failures.messages() == ["stopped; the same command goes on"]
    failures = Failures()
    failures.emit(failed("a.log"))
    failures.emit(told("Terminating processes on user request, this might take some time."))
    assert failures.messages()[-1].startswith("mend this and give the same command again")
