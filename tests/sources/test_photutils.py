import photutils

from snakewebb.sources import PHOTUTILS


def test_the_version_that_is_mirrored_is_the_one_that_tests_compare_with():
    """When the lock moves on, look at what changed in photutils, then change the constant."""
    assert photutils.__version__.rpartition(".")[0] == PHOTUTILS
