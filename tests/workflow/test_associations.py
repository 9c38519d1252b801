import gzip
import json
import re

import numpy as np
import pytest
import yaml
from astropy.io import fits

from snakewebb.errors import InputError
from snakewebb.io import names
from snakewebb.workflow import associations
from snakewebb.workflow.catfile import read_catfile

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
        ("jw1_nrca1_cal.fits.bz2", "jw1_nrca1"),
        ("jw1_nrca1_cal.fits.xz", "jw1_nrca1"),
        ("jw1_nrca1_a3001_crf.fits", "jw1_nrca1_a3001"),
        ("plain.fits", "plain"),
        ("a.b_tweakregstep.fits", "a.b"),
        ("jw1_outlierdetectionstep.fits.fz", "jw1"),
        ("jw1-ami-oi.fits", "jw1"),
        ("x_calints_bgsub.fits", "x_calints_bgsub"),
        ("_cal.fits", "_cal"),
    ],
)
def test_exposure_name(file, name):
    assert names.exposure_name(file) == name


def test_members_are_relative_to_the_association(tmp_path):
    path = write(
        tmp_path,
        [
            member(tmp_path, "sub/b_cal.fits", group_id="g1"),
            member(tmp_path, "a_cal.fits", tweakreg_catalog="a.ecsv"),
            {"expname": "c_cal.fits", "exptype": "background"},
        ],
    )
    (product,) = associations.read(path)
    assert (product.name, product.asn_id, product.table, product.pool) == (
        "galaxy", "o003", "asn.json", "pool",
    )  # fmt: skip
    assert list(product.of_type("science")) == ["b", "a"]
    assert product.members[0].path == str(tmp_path / "sub" / "b_cal.fits")
    assert product.members[0].group_id == "g1"
    assert product.members[1].tweakreg_catalog == str(tmp_path / "a.ecsv")
    assert product.unused == {"exptype background": 1}


def test_what_has_no_effect_is_counted(tmp_path):
    members = [
        member(tmp_path, "a_cal.fits", exposerr="null", asn_candidate="[('o001', 'observation')]"),
        member(tmp_path, "b_cal.fits", weight=2, exposerr="guide star lost"),
        {"expname": "c_cal.fits", "exptype": "catalog", "weight": 3},
    ]
    path = write(tmp_path, members)
    table = json.loads(path.read_text())
    table["products"][0]["star_mag"] = 5
    path.write_text(json.dumps(table))
    assert associations.read(path)[0].unused == {
        "key star_mag": 1, "key weight": 2, "exposerr guide star lost": 1, "exptype catalog": 1
    }  # fmt: skip


@pytest.mark.parametrize("name", ["x_cal.fits", "x_cal.fits.gz", "x_cal.fits.bz2", "x_cal.fits.xz"])
def test_bare_exposure_is_an_association_of_one(tmp_path, name):
    (product,) = associations.read(tmp_path / name)
    assert (product.name, product.asn_id, product.table) == ("x", "a3001", "none")
    assert [member.path for member in product.members] == [str(tmp_path / name)]
    assert not product.coronagraphic


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("jw01345-o003_t001_nircam_clear-f356w", "jw01345-o003_t001_nircam_clear-f356w"),
        ("galaxy.fits", "galaxy"),
        ("/ifs/tests/starfield_74_combined.fits", "starfield_74_combined"),
        ("galaxy_i2d", "galaxy"),
        ("galaxy_i2d.fits", "galaxy"),
        ("galaxy_v1.2", "galaxy_v1.2"),
    ],
)
def test_names_of_products(tmp_path, given, name):
    path = write(tmp_path, [member(tmp_path, "a_cal.fits")])
    table = json.loads(path.read_text())
    table["products"][0]["name"] = given
    path.write_text(json.dumps(table))
    assert associations.read(path)[0].name == name


def test_associations_in_yaml(tmp_path):
    members = [member(tmp_path, "a_cal.fits"), member(tmp_path, "b_cal.fits")]
    table = json.loads(write(tmp_path, members, asn_type="image3").read_text())
    for ending in ("yaml", "yml"):
        path = tmp_path / f"asn.{ending}"
        path.write_text(yaml.safe_dump(table))
        (product,) = associations.read(path)
        assert list(product.of_type("science")) == ["a", "b"]
        assert product.kind == "image3"
    path.write_text("products:\n- {name: x, members: [}\n")
    with pytest.raises(InputError, match=r"asn\.yml: cannot be read as YAML: line 2: "):
        associations.read(path)


@pytest.mark.parametrize(
    "kind", ["wfs", "spec2", "ami3", "tso3", "wfs-image3", "tso-spec2", "spec3"]
)
def test_what_is_neither_imaging_nor_coronagraphy_is_refused(tmp_path, kind):
    path = write(tmp_path, [member(tmp_path, "a_cal.fits")], asn_type=kind)
    with pytest.raises(InputError, match=f"asn.json: is an association of {kind}"):
        associations.read(path)


def test_type_and_rule_may_be_absent_or_old(tmp_path):
    for kind, wanted in [("None", None), (None, None), ("Image3", "image3"), ("mosaic", "image3")]:
        path = write(tmp_path, [member(tmp_path, "a_cal.fits")], asn_type=kind, asn_id=None)
        (product,) = associations.read(path)
        assert (product.kind, product.asn_id) == (wanted, "a3001")
    path = write(tmp_path, [member(tmp_path, "a_cal.fits")], asn_rule="DMSLevel2bBase")
    assert associations.read(path)[0].kind == "image2"


def test_the_brightness_of_a_star(tmp_path):
    members = [member(tmp_path, "a_calints.fits"), member(tmp_path, "b_calints.fits", "psf")]
    path = write(tmp_path, members)
    table = json.loads(path.read_text())
    table["products"][0]["star_flux"] = 0.7
    path.write_text(json.dumps(table))
    assert associations.read(path)[0].star == {"star_flux": 0.7}
    for value in ("bright", True, float("nan"), float("inf"), 1e30, 0, -1.0):
        table["products"][0]["star_flux"] = value
        path.write_text(json.dumps(table))
        with pytest.raises(InputError, match=f"star_flux is {re.escape(repr(value))}: give"):
            associations.read(path)


@pytest.mark.parametrize(
    ("name", "axes", "coronagraphic"),
    [
        ("a_calints.fits", 3, True),
        ("a_calints_bgsub.fits", 3, True),
        ("a_cal.fits", 2, False),
        ("a_calints.fits", 2, False),
        ("a_cal.fits.gz", 3, True),
        # Where nothing can be read, the name has to tell.
        ("a_calints.fits", None, True),
        ("a_cal.fits", None, False),
    ],
)
def test_what_is_coronagraphic_the_file_tells(tmp_path, name, axes, coronagraphic):
    path = write(tmp_path, [member(tmp_path, name), member(tmp_path, "b_cal.fits")])
    if axes:
        sci = fits.ImageHDU(np.zeros((4,) * axes, "f4"), name="SCI")
        fits.HDUList([fits.PrimaryHDU(), sci]).writeto(tmp_path / "file.fits")
        content = (tmp_path / "file.fits").read_bytes()
        (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    assert associations.read(path)[0].coronagraphic == coronagraphic


def test_references_or_the_association_make_it_coronagraphic(tmp_path):
    members = [member(tmp_path, "a_cal.fits", "psf"), member(tmp_path, "b_cal.fits")]
    assert associations.read(write(tmp_path, members))[0].coronagraphic
    assert associations.read(write(tmp_path, members[1:], asn_type="coron3"))[0].coronagraphic
    assert not associations.read(write(tmp_path, members[1:]))[0].coronagraphic


def test_files_make_an_association_that_reads_back(tmp_path):
    files = [str(tmp_path / f"{name}_cal.fits") for name in "ab"]
    for file in files:
        (tmp_path / file).touch()
    product = associations.of_files("mine", {"science": files, "psf": []})
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "mine_asn.json").write_text(json.dumps(associations.as_table(product, folder)))
    (back,) = associations.read(folder / "mine_asn.json")
    assert list(back.of_type("science")) == ["a", "b"]
    assert back.asn_id == product.asn_id == "a3001"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "JSON"),
        ("[]", "holds no products"),
        ('{"products": []}', "holds no products"),
        ('{"products": [{"members": []}]}', "product name"),
        ('{"products": [{"name": "..", "members": []}]}', "product name"),
        ('{"products": [{"name": "g\\u00e9", "members": []}]}', "product name"),
        ('{"products": [], "products": [{"name": "x"}]}', "'products' is given twice"),
        ('{"products": [{"name": "x", "members": []}]}', "no members"),
        ('{"products": [{"name": "x", "members": [{"exptype": "science"}]}]}', "expname"),
        (
            '{"products": [{"name": "x", "members": [{"expname": "a", "exptype": "scince"}]}]}',
            "unknown exptype 'scince': did you mean science",
        ),
        (
            '{"products": [{"name": "x", "members": [{"expname": "a", "exptype": "sky"}]}]}',
            "no member of exptype science",
        ),
        (
            '{"products": [{"name": "x", "members": [{"expname": "a", "exptype": "science", '
            '"group_id": []}]}]}',
            "group_id is no text",
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
        associations.read(path)
    assert "\n" not in str(error.value)
    assert str(tmp_path) in str(error.value)


def test_exposure_listed_twice(tmp_path):
    path = write(tmp_path, [member(tmp_path, "a_cal.fits"), member(tmp_path, "sub/a_cal.fits")])
    with pytest.raises(InputError, match="twice"):
        associations.read(path)


def test_a_missing_association():
    with pytest.raises(InputError, match="no such association"):
        associations.read("nowhere.json")
    with pytest.raises(InputError, match="cannot be read as JSON"):
        associations.read("x" * 300 + ".json")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a_cal.fits a.ecsv\nb_cal.fits\n\nc_cal.fits sub/c.ecsv\n", {"a": "a", "c": "sub/c"}),
        ("\ufeff# exposures\na_cal.fits a.ecsv  # good\n#b_cal.fits b.ecsv\n", {"a": "a"}),
        ("a_cal.fits\ta#1.ecsv\r\n", {"a": "a#1"}),
    ],
)
def test_catfiles(tmp_path, text, found):
    path = tmp_path / "catfile.txt"
    path.write_text(text, newline="")
    wanted = {name: str(tmp_path / f"{catalog}.ecsv") for name, catalog in found.items()}
    assert read_catfile(path) == wanted


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a_cal.fits my catalogue.ecsv\n", "line 1 has 3 columns: give"),
        (b"a_cal.fits a.ecsv\nsub/a_cal.fits b.ecsv\n", "line 2 has a again: keep one"),
        (b"\x89PNG", "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_bad_catfiles(tmp_path, content, message):
    path = tmp_path / "catfile.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_catfile(path)


OURS = {"image2", "tso-image2", "image3", "coron3", "image", "mosaic"}
RULES = {"DMS_Level3_Base", "DMSLevel2bBase"}


def test_real_associations(real_data):
    """Of today's generator, of old standards, and made by hand: no exposure of them is here."""
    read = refused = 0
    for path in sorted((real_data / "associations").rglob("*.json")):
        try:
            table = json.loads(path.read_text())
        except json.JSONDecodeError:
            table = None
        else:
            # Two of the oldest have no list of products.
            table = table if "products" in table else None
        ours = table and (
            table["asn_type"] in OURS
            or (table["asn_type"] == "None" and table["asn_rule"] in RULES)
        )
        if not ours:
            with pytest.raises(InputError) as caught:
                associations.read(path)
            assert "is an association of" in str(caught.value) or table is None
            refused += 1
            continue
        members = [member["expname"] for member in table["products"][0]["members"]]
        if len(set(members)) < len(members):
            with pytest.raises(InputError, match="twice"):
                associations.read(path)
            continue
        found = associations.read(path)
        read += 1
        for product, entry in zip(found, table["products"], strict=True):
            types = [member["exptype"].lower() for member in entry["members"]]
            assert len(product.of_type("science")) == types.count("science")
            assert len(product.of_type("psf")) == types.count("psf") * (product.kind != "image2")
            used = len(product.of_type("background"))
            assert used == types.count("background") * (product.kind == "image2")
            assert sum(product.unused.values()) == len(types) - len(product.members)
            if product.kind != "image2":
                assert product.coronagraphic == (table["asn_type"] == "coron3")
    assert (read, refused) == (213, 145)


def test_associations_of_a_survey(real_data):
    for path in sorted((real_data / "ceers_asn").glob("*.json")):
        (product,) = associations.read(path)
        entries = json.loads(path.read_text())["products"][0]["members"]
        assert len(product.members) == len(entries)
        assert product.kind is None
        for member, entry in zip(product.members, entries, strict=True):
            assert member.path == str(path.parent / entry["expname"])
            assert "/" not in member.exposure
            assert not member.exposure.endswith("_tweakreg")
