"""The workflow on a real SLURM of one node, through profiles/slurm; see ``make test-slurm``."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from cluster import Cluster
from snakewebb.simulate import coronagraphy, observation
from snakewebb.simulate.presets import preset
from workflow import REPO, snakemake

pytestmark = pytest.mark.slurm

# The rule whose jobs get too little memory at first, and what they get at the first attempt.
STARVED, MEGABYTES = "contrast", 300
# Seconds without a controller: SLURM's commands wait for it 9 s, and without accounting the plugin
# loses sight of its jobs when they give up.
OUTAGE = 4


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with Cluster(tmp_path_factory.mktemp("slurm")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """Images and coronagraphy as in the demonstration, in small."""
    folder = tmp_path_factory.mktemp("observations")
    coronagraph = preset("nircam-coron", npix=96)
    coronagraph = replace(
        coronagraph, dithers=coronagraph.dithers[:2], integrations=2, reference_integrations=2
    )
    associations = [
        observation.write(preset("nircam-f356w", npix=400), folder / "nircam"),
        coronagraphy.write(coronagraph, folder / "coronagraph"),
    ]
    return {"associations": [str(path) for path in associations]}


@pytest.fixture(scope="module")
def local(tmp_path_factory, config):
    """The results of a run without SLURM."""
    folder = tmp_path_factory.mktemp("local")
    snakemake(folder, **config)
    return folder / "results"


def command(folder, *arguments):
    """Return the command that runs the workflow through the profile."""
    return [
        *(sys.executable, "-m", "snakemake", "--snakefile", str(REPO / "Snakefile")),
        *("--directory", str(folder), "--configfile", str(folder / "config.yaml")),
        *("--workflow-profile", "slurm", "--slurm-init-seconds-before-status-checks", "3"),
        *("--max-status-checks-per-second", "1", "--max-threads", str(os.cpu_count())),
        "--printshellcmds",  # for Snakemake's own words
        *arguments,
    ]


@pytest.fixture(scope="module")
def run(cluster, tmp_path_factory, config, local):
    """A run in which the controller is dead for a while, and a job lacks memory."""
    folder = tmp_path_factory.mktemp("cluster")
    shutil.copy(local.parent / "config.yaml", folder)
    starved = f"{STARVED}:mem_mb=attempt*{MEGABYTES}"
    with running(cluster, folder, "--set-resources", starved) as process:
        during = wait_for("crf", cluster, process)
        cluster.kill_controller()
        time.sleep(OUTAGE)
        alive = process.poll() is None
        cluster.start_controller()
        process.wait(timeout=1800)
    log = (folder / "run.log").read_text()
    return SimpleNamespace(
        folder=folder, code=process.returncode, log=log, alive=alive, during=during
    )


@contextmanager
def running(cluster, folder, *arguments):
    """Yield a started run, which is dead at the end; what it says is in run.log."""
    with open(folder / "run.log", "w") as log:
        process = subprocess.Popen(
            command(folder, *arguments),
            env=cluster.environment,
            cwd=folder,
            stdout=log,
            stderr=log,
            # A run in the background ignores Ctrl-C otherwise.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_for(rule, cluster, process):
    """Wait until a job of a rule is submitted; return the jobs in the queue then."""
    while process.poll() is None:
        jobs = cluster.queue()
        if any(job.startswith(f"rule_{rule}_") for job in jobs):
            return jobs
        time.sleep(0.5)
    return []


def test_the_run_ends_well(run, cluster):
    assert run.code == 0, run.log
    assert cluster.queue() == []
    done = subprocess.run(
        command(run.folder), env=cluster.environment, cwd=run.folder, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "Nothing to be done" in done.stdout + done.stderr


def test_products_equal_those_of_a_local_run(run, local):
    made, wanted = (
        {path.relative_to(top) for path in top.rglob("*") if path.is_file()}
        for top in (run.folder / "results", local)
    )
    assert made == wanted
    compared = 0
    for name in wanted:
        paths = run.folder / "results" / name, local / name
        if name.suffix == ".fits":
            compared += equal_arrays(*paths)
        elif name.suffix == ".ecsv":
            first, second = map(Table.read, paths)
            assert first.colnames == second.colnames
            for column in first.colnames:
                np.testing.assert_array_equal(first[column], second[column], err_msg=column)
            compared += 1
    assert compared > 50


def equal_arrays(first, second):
    """Assert that two files hold the same arrays; return how many."""
    with fits.open(first) as one, fits.open(second) as other:
        assert [hdu.name for hdu in one] == [hdu.name for hdu in other]
        names = [hdu.name for hdu in one if hdu.is_image and hdu.size]
        for name in names:
            np.testing.assert_array_equal(
                one[name].data, other[name].data, err_msg=f"{first} {name}"
            )
        return len(names)


def test_short_jobs_are_submitted_as_arrays(run):
    arrays = re.findall(r"Submitted array job with Snakemake IDs ([\d,]+)", run.log)
    single = re.findall(r"Job \d+ has been submitted", run.log)
    assert max(len(tasks.split(",")) for tasks in arrays) >= 4
    assert len(arrays) + len(single) < 0.8 * run.log.count("Finished jobid")


def test_the_run_survives_the_death_of_the_controller(run):
    assert run.during
    assert run.alive


def test_a_job_killed_for_memory_succeeds_with_more(run, cluster):
    assert "exceeded memory limit" in (cluster.folder / "slurmd.log").read_text()
    failed = re.findall(r"Error in rule (\w+)", run.log)
    assert failed
    assert set(failed) == {STARVED}
    assert len(re.findall(rf"Finished jobid: \d+ \(Rule: {STARVED}\)", run.log)) == 1


def test_a_run_that_is_stopped_leaves_no_jobs(cluster, tmp_path, local):
    shutil.copy(local.parent / "config.yaml", tmp_path)
    with running(cluster, tmp_path) as process:
        assert wait_for("find_sources", cluster, process)
        time.sleep(5)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=120) != 0
    end = time.monotonic() + 30
    while cluster.queue() and time.monotonic() < end:
        time.sleep(0.5)
    assert cluster.queue() == []
    assert not list(tmp_path.glob(".snakemake/locks/*"))
