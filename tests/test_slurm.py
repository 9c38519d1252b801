"""The workflow on a real SLURM of one node, through profiles/slurm; see ``make test-slurm``."""

import re
import shutil
import subprocess
import sys
import time
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

PROFILE = REPO / "profiles" / "slurm"
# The rule whose jobs get too little memory at first, and what they get at the first attempt.
STARVED, MEGABYTES = "source_catalog", 400


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with Cluster(tmp_path_factory.mktemp("slurm")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """What the demonstration processes, in small."""
    folder = tmp_path_factory.mktemp("observations")
    coronagraph = preset("nircam-coron", npix=96)
    coronagraph = replace(
        coronagraph, dithers=coronagraph.dithers[:2], integrations=2, reference_integrations=2
    )
    associations = [
        observation.write(preset("nircam-f356w", npix=400), folder / "nircam"),
        observation.write(preset("miri-f1130w", npix=400), folder / "miri"),
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
        *("--workflow-profile", str(PROFILE), "--slurm-init-seconds-before-status-checks", "3"),
        *arguments,
    ]


@pytest.fixture(scope="module")
def run(cluster, tmp_path_factory, config, local):
    """A run in which the controller dies, for half a minute, and a job lacks memory."""
    folder = tmp_path_factory.mktemp("cluster")
    shutil.copy(local.parent / "config.yaml", folder)
    starved = f"{STARVED}:mem_mb=attempt*{MEGABYTES}"
    with open(folder / "run.log", "w") as log:
        process = subprocess.Popen(
            command(folder, "--set-resources", starved),
            env=cluster.environment,
            cwd=folder,
            stdout=log,
            stderr=log,
        )
    try:
        while process.poll() is None and not any("rule_crf_" in job for job in cluster.queue()):
            time.sleep(0.5)
        during = cluster.queue()
        cluster.stop("slurmctld")
        time.sleep(30)
        alive = process.poll() is None
        cluster.start_controller()
        process.wait(timeout=1200)
    finally:
        process.kill()
        process.wait()
    log = (folder / "run.log").read_text()
    states = cluster.run("squeue", "--states=all", "-h", "-o", "%k %T")
    print(log, states, sep="\n")
    return SimpleNamespace(
        folder=folder, code=process.returncode, log=log, states=states, alive=alive, during=during
    )


def test_the_run_ends_well(run, cluster):
    assert run.code == 0
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
    assert compared > 100


def equal_arrays(first, second):
    """Assert that two files hold the same arrays; return how many."""
    with fits.open(first) as one, fits.open(second) as other:
        assert [hdu.name for hdu in one] == [hdu.name for hdu in other]
        names = [hdu.name for hdu in one if hdu.name != "ASDF" and hdu.is_image and hdu.size]
        for name in names:
            np.testing.assert_array_equal(
                one[name].data, other[name].data, err_msg=f"{first} {name}"
            )
        return len(names)


def test_short_jobs_are_submitted_as_arrays(run):
    arrays = re.findall(r"Submitted array job with Snakemake IDs ([\d,]+)", run.log)
    single = re.findall(r"Job \d+ has been submitted", run.log)
    assert max(len(tasks.split(",")) for tasks in arrays) >= 8
    assert len(arrays) + len(single) < 0.6 * len(run.states.splitlines())


def test_the_run_survives_the_death_of_the_controller(run):
    assert any("rule_crf_" in job for job in run.during)
    assert run.alive


def test_a_job_killed_for_memory_succeeds_with_more(run, cluster):
    ends = [line.split() for line in run.states.splitlines() if f"rule_{STARVED}" in line]
    states = [state for _, state in ends]
    assert states.count("COMPLETED") == 2
    assert len(states) > 2
    assert set(states) <= {"COMPLETED", "OUT_OF_MEMORY", "FAILED", "CANCELLED"}
    assert "exceeded memory limit" in (cluster.folder / "slurmd.log").read_text()
