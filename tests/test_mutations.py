"""Readers against mutated files: refused in one line, or read right; see `mutations`."""

import pytest

from mutated import READERS
from mutations import Trial, wrong_message

FOUND = [
    ("exposures", 1080),  # signalling NaN
    ("headers", 196),  # in 2132
    ("associations", 1721),  # a group_id of two lines
    ("output_wcs-i2d", 101),  # an extension without a kind
    ("mosaic", 497),  # a matrix that is no rotation
    ("mosaic", 715),  # a name that goes on in a CONTINUE, or not
    ("apcorr", 1161),  # two billion columns
]
"""Cases of `test_many_mutations` that failed once, one of each kind."""

# astropy leaves files open where it fails.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where valid files are made once for all readers."""
    return tmp_path_factory.mktemp("mutations")


def told(faults, number):
    """Return what is wrong, and how to see it again."""
    lines = [f"{len(faults)} of {number} cases fail:", *faults[:20]]
    again = " ".join(faults[0].split()[:2]).rstrip(":") if faults else ""
    return "\n".join([*lines, f"again: PYTHONPATH=lib:tests python tests/mutations.py {again}"])


# Of units and cards that FITS does not have, when a valid table is written with them.
@pytest.mark.filterwarnings("ignore::astropy.utils.exceptions.AstropyWarning")
@pytest.mark.parametrize("name", READERS)
def test_mutations(folder, name):
    reader = READERS[name]
    faults = Trial(reader, folder).faults(range(reader.number))
    assert not faults, told(faults, reader.number)


@pytest.mark.filterwarnings("ignore::astropy.utils.exceptions.AstropyWarning")
@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_many_mutations(folder, name):
    reader = READERS[name]
    more = range(reader.number, 10 * reader.number)
    faults = Trial(reader, folder).faults(more)
    assert not faults, told(faults, len(more))


@pytest.mark.filterwarnings("ignore::astropy.utils.exceptions.AstropyWarning")
@pytest.mark.parametrize(("name", "number"), FOUND)
def test_what_many_mutations_found(folder, name, number):
    fault = Trial(READERS[name], folder).fault(number)
    assert not fault, told([fault], 1)


def test_there_are_enough_cases():
    assert sum(reader.number for reader in READERS.values()) >= 1000


@pytest.mark.parametrize(
    ("text", "trouble"),
    [
        ("a.fits: is odd: mend it", ""),
        ("a.fits: is odd:\nmend it", "several lines"),
        ("a.fits: is odd", "is not"),
        ("b.fits: is odd: mend it", "does not name"),
        ("a.fits: " + "odd " * 200 + ": mend it", "characters"),
    ],
)
def test_messages_are_judged(text, trouble):
    found = wrong_message(text, ["a.fits"])
    assert trouble in found
    assert bool(found) == bool(trouble)
