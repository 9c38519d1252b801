"""Products whose files are in MAST, from the question to the mosaic."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from mast import configure, serving
from snakewebb.archive.lock import read_lock, write_lock
from snakewebb.simulate import observation as simulate
from snakewebb.simulate.presets import preset
from workflow import REPO, planned, snakemake

PATIENCE = 60.0


@pytest.fixture(scope="module")
def exposures(tmp_path_factory):
    """The files of three dithers, by name."""
    field = replace(preset("nircam-f356w", npix=96), stars=40, galaxies=0)
    folder = tmp_path_factory.mktemp("observation")
    simulate.write(replace(field, dithers=field.dithers[:3]), folder)
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*_cal.fits"))}


@pytest.fixture
def mast(tmp_path, monkeypatch, exposures):
    """A stand-in that has them, which workflows ask."""
    monkeypatch.delenv("MAST_API_TOKEN", raising=False)
    with serving() as mast:
        for name, content in exposures.items():
            mast.add(name, content)
        for key, value in configure(tmp_path / "config", mast).items():
            monkeypatch.setenv(key, value)
        yield mast


def wanting(**given):
    return {"mast": {"program": 1234, "filter": "F356W"} | given}


def files_asked(mast):
    return sorted(asked.split()[1] for asked in mast.asked if asked.startswith("GET"))


def test_from_the_question_to_the_mosaic(tmp_path, mast, exposures):
    """Two products share files; each file is fetched once, and MAST never asked unbidden."""
    folder = tmp_path / "work"
    folder.mkdir()
    products = {"one": wanting(), "two": wanting(observation=1)}
    done = snakemake(folder, "-n", products=products)
    assert (
        "snakewebb: one: has no data/one/products.ecsv yet: give 'snakemake query'" in done.stderr
    )
    assert not mast.asked
    done = snakemake(folder, "query", products=products)
    assert "snakewebb: one: 3 files, 0.0 GB: data/one/products.ecsv" in done.stderr
    assert len(read_lock(folder / "data" / "two" / "products.ecsv").files) == 3
    mast.asked.clear()
    targets = [f"results/{name}/{name}_i2d.fits" for name in products]
    jobs = planned(folder, products=products)
    assert {job for job in jobs if job[0] == "fetch"} == {("fetch", name) for name in exposures}
    snakemake(folder, *targets, products=products)
    assert files_asked(mast) == sorted(exposures)
    assert mast.most <= 4
    for name, content in exposures.items():
        assert (folder / "data" / "mast" / name).read_bytes() == content
    mast.asked.clear()
    snakemake(folder, "query", products=products)
    assert "as before" in snakemake(folder, "query", products=products).stderr
    mast.asked.clear()
    assert "Nothing to be done" in snakemake(folder, *targets, products=products).stderr
    assert not mast.asked


def test_another_version_is_fetched_again(tmp_path, mast, exposures):
    first = next(iter(exposures))
    snakemake(tmp_path, "query", products={"one": wanting()})
    target = f"data/mast/{first}"
    snakemake(tmp_path, target, products={"one": wanting()})
    path = tmp_path / "data" / "one" / "products.ecsv"
    lock = read_lock(path)
    write_lock(path, lock.query, [replace(file, version="2.0.0") for file in lock.files])
    mast.asked.clear()
    snakemake(tmp_path, target, products={"one": wanting()})
    assert files_asked(mast) == [first]


def test_count_rates_are_fetched_first(tmp_path, mast, exposures):
    name = next(iter(exposures)).replace("_cal", "_rate")
    mast.add(name, b"no FITS")
    products = {"one": wanting(level="rate")}
    snakemake(tmp_path, "query", products=products)
    done = snakemake(tmp_path, "--until", "fetch", products=products)
    assert "one: 1 of its 1 files are fetched first: then give the same command" in done.stderr
    assert (tmp_path / "data" / "mast" / name).read_bytes() == b"no FITS"
    assert "fetched first" not in snakemake(tmp_path, "-n", products=products, check=False).stderr


def test_a_run_that_is_killed_goes_on(tmp_path, mast, exposures):
    first = next(iter(exposures))
    half = len(exposures[first]) // 2 // 65536 * 65536
    snakemake(tmp_path, "query", products={"one": wanting()})
    mast.stalls[first] = half
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPO / "Snakefile")]
    command += ["--configfile", "config.yaml", "--cores", "1", f"data/mast/{first}"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    run = subprocess.Popen(command, cwd=tmp_path, start_new_session=True, **quiet)
    part = tmp_path / "data" / "mast" / f".{first}.{len(exposures[first])}.part"
    deadline = time.monotonic() + PATIENCE
    while not (part.exists() and part.stat().st_size):
        assert time.monotonic() < deadline, run.poll()
        time.sleep(0.02)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    mast.go_on.set()
    assert not (tmp_path / "data" / "mast" / first).exists()
    mast.asked.clear()
    snakemake(tmp_path, f"data/mast/{first}", products={"one": wanting()})
    assert (tmp_path / "data" / "mast" / first).read_bytes() == exposures[first]
    assert any("bytes=" in asked for asked in mast.asked)


def test_what_is_known_before_any_job(tmp_path, mast, exposures):
    first = next(iter(exposures))
    mast.observations[0]["t_obs_release"] = 80000.0
    mast.secret.add(first)
    snakemake(tmp_path, "query", products={"one": wanting()})
    done = snakemake(tmp_path, products={"one": wanting()}, check=False)
    assert done.returncode == 1
    assert f"snakewebb: {first}: is proprietary (MAST answers 401): set MAST_API" in done.stderr
    assert (
        f"one: {first} is proprietary until 2077-11-28 (1 files): set MAST_API_TOKEN" in done.stderr
    )
    mixed = {"one": wanting() | {"science": "*.fits"}}
    done = snakemake(tmp_path, "-n", products=mixed, check=False)
    assert "products.one: has 'mast' and files of its own: keep one" in done.stderr
    done = snakemake(tmp_path, "-n", products={"one": wanting(detector="NRCBLONG")}, check=False)
    assert "one: data/one/products.ecsv is of another 'mast' than the conf" in done.stderr


def test_a_question_without_an_answer_keeps_the_list(tmp_path, mast):
    snakemake(tmp_path, "query", products={"one": wanting()})
    path = tmp_path / "data" / "one" / "products.ecsv"
    before = path.read_bytes()
    done = snakemake(tmp_path, "query", products={"one": wanting(program=99)}, check=False)
    assert done.returncode == 1
    assert "products.one.mast: MAST has no science exposures of program 99" in done.stderr
    assert path.read_bytes() == before
