import pytest

from snakewebb.astrometry.alignment import AlignmentResult
from snakewebb.errors import InputError
from snakewebb.io.records import read_record, write_record
from snakewebb.mosaicking.sky_levels import SkyResult
from snakewebb.wcs.exposure import Exposure, open_exposures


def test_a_record_is_read_as_it_was_written(tmp_path):
    values = {"name": "x", "level": 0.1 + 0.2, "none": None, "several": [1, [2.5]]}
    write_record(tmp_path / "a.json", values, 3)
    assert read_record(tmp_path / "a.json", 3) == values


@pytest.mark.parametrize("text", ['{"format": 0}', '{"format": null}', "{}", '{"format": "1"}'])
@pytest.mark.parametrize("kind", [AlignmentResult, SkyResult, Exposure])
def test_another_version_is_told_in_one_line(tmp_path, kind, text):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"a\.json: made by another version .*: remove it and run"):
        kind.read(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", b"\xff\xfe"])
def test_what_is_no_record_is_told_in_one_line(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=r"a\.json: (is no JSON|made by another)"):
        SkyResult.read(path)


def test_an_archive_that_is_none(tmp_path):
    path = tmp_path / "facts.zip"
    path.write_bytes(b"PK")
    with pytest.raises(InputError, match=r"facts\.zip: .*: remove it"), open_exposures(path):
        pass
