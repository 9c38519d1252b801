"""Shared by all tests: where things are, and simulated observations, processed once."""

import logging
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import settings

from workflow import snakemake

REPO = Path(__file__).parent.parent
# The same examples in every run of a landing; new ones while developing.
settings.register_profile("ci", derandomize=True, deadline=None)
if os.environ.get("CI"):
    settings.load_profile("ci")
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.fixture(scope="session")
def repo() -> Path:
    return REPO


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real observations; tests that need it are skipped without it."""
    folder = Path(os.environ.get("SNAKEWEBB_DATA", REPO.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("no real observations here (SNAKEWEBB_DATA)")
    return folder


@pytest.fixture(scope="session")
def observations(tmp_path_factory):
    """Three simulated observations; their associations by name."""
    from snakewebb.simulate.observation import write
    from snakewebb.simulate.presets import preset
    from snakewebb.workflow import associations

    folder = tmp_path_factory.mktemp("observations")
    field = preset("nircam-f356w", npix=400)
    modules, moving = preset("nircam-modules", npix=200), preset("nircam-moving", npix=160)
    made = {
        "field": write(field, folder / "field"),
        "modules": write(
            replace(modules, stars=40, dithers=field.dithers[:2]), folder / "modules"
        ),
        "moving": write(replace(moving, dithers=field.dithers[:3]), folder / "moving"),
    }  # fmt: skip
    # The name that an association written by the workflow would have.
    name = associations.read(made["modules"])[0].name
    made["modules"] = made["modules"].rename(made["modules"].with_name(f"{name}_asn.json"))
    return made


@pytest.fixture(scope="session")
def names(observations):
    """The products of these observations, by name of the observation."""
    from snakewebb.workflow import associations

    return {name: associations.read(path)[0] for name, path in observations.items()}


@pytest.fixture(scope="session")
def config(observations):
    """A configuration of five products: theirs, a single exposure, and two by name."""
    files = sorted(str(p) for p in observations["field"].parent.glob("*_cal.fits"))
    return {
        "associations": [*map(str, observations.values()), files[0]],
        "products": {
            "pair": {
                "science": files[:2],
                "steps": {
                    "tweakreg": {"skip": True},
                    "skymatch": {"subtract": True},
                    "outlier_detection": {"skip": True},
                    "resample": {"pixel_scale": 0.1, "rotation": 0.0, "kernel": "turbo"},
                },
            }
        },
    }


@pytest.fixture(scope="session")
def results(tmp_path_factory, config):
    """The folder of results of all of them."""
    folder = tmp_path_factory.mktemp("workflow")
    snakemake(folder, **config)
    return folder / "results"


@pytest.fixture(scope="session")
def checkout(tmp_path_factory):
    """A copy of the workflow elsewhere, all files of today, which tests may edit."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("config", "envs", "lib", "profiles", "report", "rules", "scripts"):
        shutil.copytree(
            REPO / name,
            folder / name,
            ignore=shutil.ignore_patterns("__pycache__"),
            copy_function=shutil.copyfile,
        )
    shutil.copyfile(REPO / "Snakefile", folder / "Snakefile")
    return folder


@pytest.fixture
def own_logging():
    """Give back the logging that a job in the test's own process takes over."""
    handlers, level = logging.root.handlers[:], logging.root.level
    complaints = logging.raiseExceptions
    yield
    logging.root.setLevel(level)
    logging.captureWarnings(False)
    logging.raiseExceptions = complaints
    for handler in set(logging.root.handlers) - set(handlers):
        handler.close()
    logging.root.handlers[:] = handlers
