import json

import pytest

from snakewebb import association
from snakewebb.errors import InputError

ASN = {"asn_id": "o003", "asn_pool": "pool", "products": [{"name": "galaxy", "members": []}]}


def write(folder, members, **more):
    table = {**ASN, "products": [{"name": "galaxy", "members": members}], **more}
    path = folder / "asn.json"
    path.write_text(json.dumps(table))
    return path


def member(folder, name, exptype="science", **more):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).touch()
    return {"expname": name, "exptype": exptype, **more}


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("jw01345001001_02201_00001_nrca1_cal.fits", "jw01345001001_02201_00001_nrca1"),
        ("sub/jw1_nrca1_rate.fits", "jw1_nrca1"),
        ("jw1_nrca1_calints.fits.gz", "jw1_nrca1"),
        ("jw1_nrca1_a3001_crf.fits", "jw1_nrca1_a3001"),
        ("plain.fits", "plain"),
    ],
)
def test_exposure_name(file, name):
    assert association.exposure_name(file) == name


def test_members_are_relative_to_the_association(tmp_path):
    path = write(
        tmp_path,
        [
            member(tmp_path, "sub/b_cal.fits", group_id="g1"),
            member(tmp_path, "a_cal.fits", tweakreg_catalog="a.ecsv"),
            {"expname": "c_cal.fits", "exptype": "background"},
        ],
    )
    (product,) = association.read(path)
    assert (product.name, product.asn_id, product.table, product.pool) == (
        "galaxy", "o003", "asn.json", "pool",
    )  # fmt: skip
    assert list(product.of_type("science")) == ["b", "a"]
    assert product.members[0].path == str(tmp_path / "sub" / "b_cal.fits")
    assert product.members[0].group_id == "g1"
    assert product.members[1].tweakreg_catalog == str(tmp_path / "a.ecsv")
    assert not product.single


def test_bare_exposure_is_a_product(tmp_path):
    (tmp_path / "x_cal.fits").touch()
    (product,) = association.read(tmp_path / "x_cal.fits")
    assert product.single
    assert product.name == "x"


def test_the_brightness_of_a_star(tmp_path):
    members = [member(tmp_path, "a_calints.fits"), member(tmp_path, "b_calints.fits", "psf")]
    path = write(tmp_path, members)
    table = json.loads(path.read_text())
    table["products"][0]["star_flux"] = 0.7
    path.write_text(json.dumps(table))
    assert association.read(path)[0].star == {"star_flux": 0.7}
    table["products"][0]["star_flux"] = "bright"
    path.write_text(json.dumps(table))
    with pytest.raises(InputError, match="star_flux is 'bright': give a number"):
        association.read(path)


@pytest.mark.parametrize(
    ("name", "exptype", "coronagraphic"),
    [
        ("a_calints.fits", "science", True),
        ("a_cal.fits", "science", False),
        ("a_cal.fits", "psf", True),
    ],
)
def test_what_is_coronagraphic(tmp_path, name, exptype, coronagraphic):
    members = [member(tmp_path, name, exptype), member(tmp_path, "b_cal.fits")]
    (product,) = association.read(write(tmp_path, members))
    assert product.coronagraphic == coronagraphic


def test_files_make_an_association_that_reads_back(tmp_path):
    files = [str(tmp_path / f"{name}_cal.fits") for name in "ab"]
    for file in files:
        (tmp_path / file).touch()
    product = association.of_files("mine", {"science": files, "psf": []})
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "mine_asn.json").write_text(json.dumps(association.as_table(product, folder)))
    (back,) = association.read(folder / "mine_asn.json")
    assert list(back.of_type("science")) == ["a", "b"]
    assert back.asn_id == product.asn_id == "a3001"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "JSON"),
        ("[]", "holds no products"),
        ('{"products": []}', "holds no products"),
        ('{"products": [{"members": []}]}', "product name"),
        ('{"products": [{"name": "../x", "members": []}]}', "product name"),
        ('{"products": [{"name": "x", "members": []}]}', "no members"),
        ('{"products": [{"name": "x", "members": [{"exptype": "science"}]}]}', "expname"),
        (
            '{"products": [{"name": "x", "members": [{"expname": "a", "exptype": "sky"}]}]}',
            "exptype 'sky'",
        ),
        (
            '{"products": [{"name": "x", "members": [{"expname": "a", "exptype": "science"}]}]}',
            "no such file",
        ),
        (
            '{"products": [{"name": "x", "members": [{"expname": "a", "exptype": "background"}]}]}',
            "no member of exptype science",
        ),
    ],
)
def test_bad_associations_are_told_in_one_line(tmp_path, content, message):
    path = tmp_path / "asn.json"
    path.write_text(content)
    with pytest.raises(InputError, match=message) as error:
        association.read(path)
    assert "\n" not in str(error.value)
    assert str(tmp_path) in str(error.value)


def test_exposure_listed_twice(tmp_path):
    path = write(tmp_path, [member(tmp_path, "a_cal.fits"), member(tmp_path, "sub/a_cal.fits")])
    with pytest.raises(InputError, match="twice"):
        association.read(path)


def test_missing_files():
    with pytest.raises(InputError, match="no such association"):
        association.read("nowhere.json")
    with pytest.raises(InputError, match="no such file"):
        association.read("nowhere_cal.fits")


def test_real_associations_read(real_data, tmp_path):
    for source in sorted((real_data / "ceers_asn").glob("*.json")):
        table = json.loads(source.read_text())
        for entry in table["products"][0]["members"]:
            file = tmp_path / entry["expname"]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        path = tmp_path / source.name
        path.write_text(source.read_text())
        (product,) = association.read(path)
        assert len(product.members) == len(table["products"][0]["members"])
