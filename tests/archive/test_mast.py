"""Lists of files, and files, of a stand-in for MAST."""

import numpy as np
import pytest

from mast import serving
from snakewebb.archive import mast as client
from snakewebb.archive.criteria import Criteria, criteria_of
from snakewebb.archive.lock import ArchivedFile, as_query, read_lock, write_lock
from snakewebb.errors import InputError

NAME = "jw01234001001_02101_00001_nrcalong_cal.fits"
URI = f"mast:JWST/product/{NAME}"
CONTENT = bytes(range(256)) * 1000
BLOCK = 65536  # what astroquery writes at a time
ASKED = Criteria(1234, (), "F356W", None, (), "cal")


@pytest.fixture
def mast(monkeypatch):
    """A stand-in with one file, which astroquery asks."""
    monkeypatch.delenv(client.TOKEN, raising=False)
    monkeypatch.setattr(client, "BACKOFF", 0.0)
    with serving() as mast:
        monkeypatch.setattr("astroquery.mast.conf.server", mast.address)
        portal = type(client.ObservationsClass()._portal_api_connection)
        for name in ("MAST_REQUEST_URL", "COLUMNS_CONFIG_URL", "MAST_DOWNLOAD_URL"):
            path = getattr(portal, name).split("/", 3)[3]
            monkeypatch.setattr(portal, name, f"{mast.address}/{path}")
        mast.add(NAME, CONTENT)
        yield mast


def names(product, **criteria):
    return sorted(file.filename for file in client.find_files(product, criteria))


def files_asked(mast):
    return [asked for asked in mast.asked if asked.startswith(("GET", "HEAD"))]


def section(**given):
    empty = dict.fromkeys(("program", "observation", "filter", "target", "detector"))
    psf = dict.fromkeys(("program", "observation", "target")) | given.pop("psf", {})
    return empty | {"level": "cal", "psf": psf} | given


def test_what_a_product_asks_for():
    (science,) = criteria_of("p", section(program=1, filter="f444w", detector="nrcalong")).values()
    assert science == Criteria(1, (), "F444W", None, ("NRCALONG",), "cal")
    both = criteria_of(
        "p", section(program=1, filter="F335M", observation=2, psf={"observation": [3, 4]})
    )
    assert both["science"] == Criteria(1, (2,), "F335M", None, (), "calints")
    assert both["psf"] == Criteria(1, (3, 4), "F335M", None, (), "calints")
    assert (
        criteria_of("p", section(program=1, filter="F1W", level="rate"))["science"].suffix == "rate"
    )
    assert criteria_of("p", section()) == {}
    with pytest.raises(InputError, match=r"p.mast: has no filter"):
        criteria_of("p", section(program=1))


@pytest.mark.parametrize(
    ("name", "filters", "criteria"),
    [
        ("jw01234001001_02101_00001_nrcalong_rate.fits", "F356W", {}),
        ("jw01234001001_02101_00001_nrcalong_trapsfilled.fits", "F356W", {}),
        ("jw01234001001_gs-fg_2022180_cal.fits", "F356W", {}),
        ("jw01234-o001_t001_nircam_clear-f356w_cal.fits", "F356W", {}),
        ("jw01235001001_02101_00001_nrcalong_cal.fits", "F356W", {}),
        (NAME, "F356W2", {}),
        (NAME, "F356W", {"observation": (2,)}),
        (NAME, "F356W", {"detector": ("NRCBLONG",)}),
    ],
)
def test_what_is_not_asked_for(mast, name, filters, criteria):
    other = Criteria(**ASKED.as_dict() | criteria)
    assert not other.fits(name, filters)


def test_a_list_of_files(mast):
    mast.add(NAME.replace("_cal", "_rate"), b"")
    mast.add(NAME.replace("00001_n", "00002_n"), b"12", filters="CLEAR;F356W", target="OTHER")
    mast.add(NAME.replace("00001_n", "00003_n"), b"12", filters="F356W;MASKRND", release=70000.5)
    mast.add(NAME.replace("00001_n", "00004_n"), b"12", filters="F335M")
    # A product of stage 3 lists what it was made of.
    mast.products.append({**mast.products[0], "obsID": "1002"})
    files = {file.filename[20:25]: file for file in client.find_files("p", {"science": ASKED})}
    assert sorted(files) == ["00001", "00002", "00003"]
    assert files["00001"] == ArchivedFile(
        NAME, "science", len(CONTENT), URI, "2020-05-31", "1.20.0"
    )
    assert files["00003"].release_date == "2050-07-13"
    assert names("p", science=Criteria(1234, (), "F356W", "OTH*", (), "cal")) == [
        NAME.replace("00001_n", "00002_n")
    ]


def test_nothing_is_found(mast):
    with pytest.raises(
        InputError, match=r"p.mast: MAST has no science exposures of program 99, fi"
    ):
        client.find_files("p", {"science": Criteria(99, (), "F356W", None, (), "cal")})


def test_a_file_of_target_and_references(mast):
    with pytest.raises(InputError, match=r"is of the target and of references"):
        client.find_files("p", {"science": ASKED, "psf": ASKED})


def test_mast_does_not_answer(monkeypatch, mast):
    monkeypatch.setattr(client, "ATTEMPTS", 1)
    portal = type(client.ObservationsClass()._portal_api_connection)
    monkeypatch.setattr(portal, "MAST_REQUEST_URL", "http://127.0.0.1:9/")
    with pytest.raises(InputError, match=r"^MAST: does not answer .*try again later$"):
        client.find_files("p", {"science": ASKED})


def test_many_files_make_a_list(mast, tmp_path):
    for number in range(2, 10_001):
        mast.add(NAME.replace("00001_n", f"{number:05d}_n"), b"")
    files = client.find_files("p", {"science": ASKED})
    assert len(files) == 10_000
    write_lock(tmp_path / "products.ecsv", {}, files)
    assert set(read_lock(tmp_path / "products.ecsv").files) == set(files)


def test_lists_are_read_as_written(tmp_path):
    path = tmp_path / "new" / "products.ecsv"
    assert read_lock(path) is None
    query = as_query(
        {"science": Criteria(1, (2,), "F1", 'it\'s a "name" of ' + "many " * 40, (), "cal")}
    )
    files = [
        ArchivedFile("b.fits", "science", 2, "mast:b", "", ""),
        ArchivedFile("a b.fits", "science", 2**40, 'm"a', "2020-01-01", "1"),
    ]
    assert write_lock(path, query, files)
    content = path.read_bytes()
    assert not write_lock(path, query, reversed(files))
    assert path.read_bytes() == content
    found = read_lock(path)
    assert found.query == query
    assert found.files == (files[1], files[0])
    assert write_lock(path, query, files[:1])
    from astropy.table import Table

    assert Table.read(path)["size"].unit == "byte"


@pytest.mark.parametrize(
    ("old", "new"), [("size", "sizes"), ("2048", "many"), ("jw01", "../jw01"), ("# meta", "# moto")]
)
def test_broken_lists(tmp_path, old, new):
    path = tmp_path / "products.ecsv"
    write_lock(path, {"a": 1}, [ArchivedFile(NAME, "science", 2048, URI, "", "")])
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(InputError, match=r"products.ecsv: .*: give 'snakemake query'"):
        read_lock(path)
    assert write_lock(path, {"a": 1}, [ArchivedFile(NAME, "science", 2048, URI, "", "")])
    assert read_lock(path).query == {"a": 1}


def test_a_file_comes_whole(mast, tmp_path):
    client.fetch_file(tmp_path / NAME, URI, len(CONTENT))
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


@pytest.mark.parametrize("ranges", [True, False])
def test_what_ends_early_goes_on(mast, tmp_path, ranges):
    mast.ranges, mast.breaks[NAME] = ranges, [BLOCK + 5, 2 * BLOCK + 5]
    client.fetch_file(tmp_path / NAME, URI, len(CONTENT))
    assert (tmp_path / NAME).read_bytes() == CONTENT
    parts = [asked.rpartition(" ")[2] for asked in mast.asked if "bytes=" in asked]
    assert parts == [f"bytes={n * BLOCK}-{len(CONTENT) - 1}" for n in (1, 3)] * ranges


def test_what_always_ends_early(mast, tmp_path):
    mast.breaks[NAME] = [5] * client.ATTEMPTS
    with pytest.raises(
        InputError, match=r"cal.fits: 0 of 256000 bytes came from MAST in 5 attempts"
    ):
        client.fetch_file(tmp_path / NAME, URI, len(CONTENT))
    assert not (tmp_path / NAME).exists()


def test_busy_for_a_while(mast, tmp_path):
    mast.refusals[NAME] = [503, 503, 429]
    client.fetch_file(tmp_path / NAME, URI, len(CONTENT))
    assert (tmp_path / NAME).read_bytes() == CONTENT


def test_a_part_that_is_refused_leaves_others_whole(mast, tmp_path):
    """See findings/astroquery-range-stays.sh."""
    other = NAME.replace("00001_n", "00002_n")
    mast.add(other, CONTENT)
    part = tmp_path / f".{NAME}.{len(CONTENT)}.part"
    part.write_bytes(CONTENT[:BLOCK])
    mast.refusals[f"part of {NAME}"] = [404]
    with pytest.raises(InputError):
        client.fetch_file(tmp_path / NAME, URI, len(CONTENT))
    client.fetch_file(tmp_path / other, URI.replace(NAME, other), len(CONTENT))
    assert (tmp_path / other).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (404, "cal.fits: MAST has it no more .404.: give 'snakemake query'"),
        (403, "cal.fits: is proprietary .MAST answers 403.: set MAST_API_TOKEN"),
        (410, "cal.fits: MAST answers 410: try again later"),
    ],
)
def test_refusals(mast, tmp_path, code, words):
    mast.refusals[NAME] = [code]
    with pytest.raises(InputError, match=words):
        client.fetch_file(tmp_path / NAME, URI, len(CONTENT))
    assert not list(tmp_path.iterdir())


def test_tokens(mast, tmp_path, monkeypatch, caplog):
    mast.secret.add(NAME)
    with pytest.raises(InputError, match=r"answers 401.: set MAST_API_TOKEN"):
        client.fetch_file(tmp_path / NAME, URI, len(CONTENT))
    monkeypatch.setenv(client.TOKEN, "wrong-one")
    with pytest.raises(InputError, match=r"^MAST_API_TOKEN: MAST does not know this token"):
        client.fetch_file(tmp_path / NAME, URI, len(CONTENT))
    monkeypatch.setenv(client.TOKEN, "right")
    client.fetch_file(tmp_path / NAME, URI, len(CONTENT))
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert "wrong-one" not in caplog.text


@pytest.mark.parametrize("size", [len(CONTENT) - 1, len(CONTENT) + 1])
def test_another_size(mast, tmp_path, size):
    with pytest.raises(InputError, match=rf"has {len(CONTENT)} bytes in MAST, not {size}: give"):
        client.fetch_file(tmp_path / NAME, URI, size)
    assert not list(tmp_path.iterdir())


def test_numbers_that_are_not_told(mast):
    mast.observations[0]["t_obs_release"] = None
    mast.products[0]["prvversion"] = None
    (file,) = client.find_files("p", {"science": ASKED})
    assert file.release_date == ""
    assert file.version == ""
    assert np.isfinite(file.size)
