"""Shared by all tests: where things are, and simulated observations."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

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
