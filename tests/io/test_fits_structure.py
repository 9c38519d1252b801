"""The raw look at FITS files: the same as astropy's, and what it refuses."""

import bz2
import gzip
import lzma
import zipfile

import numpy as np
import pytest
from astropy.io import fits

from snakewebb.errors import InputError
from snakewebb.io.fits_structure import find, first_header, is_packed, read_tree, structure
from snakewebb.io.planes import open_fits, read_planes

RNG = np.random.default_rng(1)
SCI = RNG.normal(size=(2, 30, 40)).astype(np.float32)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A file with images of all kinds, a table and a primary image."""
    table = fits.Column("ASDF_METADATA", "9B", array=[np.frombuffer(b"#ASDF 1.0", np.uint8)])
    scaled = fits.ImageHDU(np.arange(6, dtype=np.int16).reshape(2, 3), name="SCALED")
    scaled.header["BSCALE"] = 0.5
    blank = fits.ImageHDU(np.arange(6, dtype=np.int16).reshape(2, 3), name="BLANK")
    blank.header["BLANK"] = 3
    hdus = fits.HDUList(
        [
            fits.PrimaryHDU(np.zeros((5, 4))),
            fits.ImageHDU(SCI, name="SCI"),
            fits.ImageHDU(np.arange(2400, dtype=np.uint32).reshape(2, 30, 40), name="DQ"),
            fits.ImageHDU(np.arange(12, dtype=np.int64), name="INTEGERS"),
            fits.CompImageHDU(SCI[0], name="PACKED"),
            scaled,
            blank,
            fits.ImageHDU(name="EMPTY"),
            fits.ImageHDU(SCI[0], name="SCI", ver=2),
            fits.BinTableHDU.from_columns([table], name="ASDF"),
        ]
    )
    hdus[0].header["TITLE"] = "what's in a name / of"
    hdus["SCI"].header.extend((f"K{k}", k) for k in range(80))
    file = tmp_path_factory.mktemp("structure") / "a.fits"
    hdus.writeto(file)
    return file


def test_units_are_those_of_astropy(path):
    with fits.open(path) as hdus:
        for unit, hdu in zip(structure(path), hdus, strict=True):
            assert (unit.name, unit.version) == (hdu.name, hdu.ver)
            assert unit.kind == ("IMAGE" if hdu.is_image else "BINTABLE")
            assert unit.shape == (hdu.shape if hdu.is_image else ())
            place = hdu.fileinfo()
            assert (unit.header, unit.start) == (place["hdrLoc"], place["datLoc"])


def test_only_plain_pixels_have_a_type(path):
    types = {(unit.name, unit.version): unit.dtype for unit in structure(path) if unit.shape}
    assert types == {
        ("PRIMARY", 1): ">f8",
        ("SCI", 1): ">f4",
        ("DQ", 1): ">u4",
        ("INTEGERS", 1): ">i8",
        ("PACKED", 1): None,
        ("SCALED", 1): None,
        ("BLANK", 1): None,
        ("SCI", 2): ">f4",
    }


@pytest.mark.parametrize("packer", [gzip, bz2, lzma])
def test_packed_files_are_read_under_any_name(path, tmp_path, packer):
    packed = tmp_path / "b.fits"
    packed.write_bytes(packer.compress(path.read_bytes()))
    assert is_packed(packed)
    assert not is_packed(path)
    assert structure(packed) == structure(path)
    np.testing.assert_array_equal(read_planes(packed, ("SCI",))["SCI"], SCI)
    assert read_tree(packed) == read_tree(path) == b"#ASDF 1.0"
    with open_fits(packed) as hdus:
        np.testing.assert_array_equal(hdus["PACKED"].data.shape, (30, 40))


def test_first_header(path):
    assert first_header(path)["TITLE"] == "what's in a name / of"
    assert first_header(path)["NAXIS1"] == "4"


@pytest.mark.parametrize(
    "text",
    ["|".join(f"NRC_TYPE{k}" for k in range(30)) + "|", "it's long & " * 20 + "x", "a&" * 50 + "b"],
)
def test_long_texts_are_read_to_their_end(tmp_path, text):
    header = fits.Header({"P_EXP_TY": text, "PUPIL": "CLEAR", "SHORT": "AMP&"})
    header["COMMENT"] = "CONTINUE  'no text'"
    fits.PrimaryHDU(header=header).writeto(tmp_path / "a.fits")
    known, read = fits.getheader(tmp_path / "a.fits"), first_header(tmp_path / "a.fits")
    assert read["P_EXP_TY"] == known["P_EXP_TY"] == text.rstrip()
    assert (read["PUPIL"], read["SHORT"]) == ("CLEAR", "AMP&")


def test_only_the_first_of_a_keyword_is_continued(tmp_path):
    cards = [
        *("SIMPLE  = T", "BITPIX  = 8", "NAXIS   = 0", "A       = 'one&'", "A       = 'two&'"),
        *("CONTINUE  'three'", "B       = 'x'", "C       = 'a&'", "COMMENT", "END"),
    ]
    (tmp_path / "a.fits").write_text("".join(f"{card:80}" for card in cards).ljust(2880))
    read = first_header(tmp_path / "a.fits")
    assert [read[key] for key in "ABC"] == ["one&", "x", "a&"]


def replaced(path, name, keyword, value):
    """Return a file's content, in which a card of an extension has another value."""
    content = path.read_bytes()
    at = content.index(f"{keyword:8}=".encode(), find(path, name).header)
    return content[:at] + f"{keyword:8}= {value:>20}".ljust(80).encode() + content[at + 80 :]


@pytest.mark.parametrize(
    ("keyword", "value", "words"),
    [
        ("BITPIX", "7", "BITPIX of DQ is 7, which FITS does not know"),
        ("BITPIX", "-32.5", "BITPIX of DQ is -32.5"),
        ("NAXIS", "1000", "NAXIS of DQ is 1000"),
        ("NAXIS", "-1", "NAXIS of DQ is -1"),
        ("NAXIS", "4", "NAXIS4 of DQ is missing"),
        ("NAXIS2", "-30", "NAXIS2 of DQ is -30"),
        ("NAXIS2", "'30'", "NAXIS2 of DQ is 30"),
        ("NAXIS2", "1E3", "NAXIS2 of DQ is 1E3"),
        ("NAXIS2", "3000000", "is cut short"),
        ("NAXIS2", "999999999999999999", "is cut short"),
        ("GCOUNT", "0.5", "GCOUNT of DQ is 0.5"),
        ("PCOUNT", "-8", "PCOUNT of DQ is -8"),
        ("XTENSION", "5", "XTENSION of DQ is 5"),
        ("EXTNAME", "T", "EXTNAME of an extension is T"),
        ("EXTVER", "'one'", "EXTVER of SCI is one"),
        ("BZERO", "\x07", "a header holds bytes that are no text"),
    ],
)
def test_what_fits_does_not_have_is_told_in_one_line(path, tmp_path, keyword, value, words):
    bad = tmp_path / "bad.fits"
    bad.write_bytes(replaced(path, "DQ", keyword, value))
    for read in (structure, read_planes, lambda p: open_fits(p).__enter__()):
        with pytest.raises(InputError) as caught:
            read(bad)
        assert str(caught.value).startswith(f"{bad}: {words}")
        assert str(caught.value).count(": ") == 2
        assert "\n" not in str(caught.value)


def test_nothing_is_allocated_that_the_file_cannot_hold(path, tmp_path, monkeypatch):
    bad = tmp_path / "bad.fits"
    bad.write_bytes(replaced(path, "SCI", "NAXIS1", "400"))
    monkeypatch.setattr(np, "empty", lambda *args, **options: pytest.fail("allocated"))
    with pytest.raises(InputError):
        read_planes(bad)


def endless(content):
    return content.replace(b"END".ljust(80), b" " * 80)


RAW = {
    "a folder": (lambda path, content: path.mkdir(), "is no FITS file but a folder"),
    "cut in its data": (lambda path, content: path.write_bytes(content[:9000]), "is cut short"),
    "cut in a header": (lambda path, content: path.write_bytes(content[:8000]), "is cut short"),
    "no end": (lambda path, content: path.write_bytes(endless(content)), "a header holds"),
    "zip": (lambda path, content: zipped(path), "is a zip archive: unpack it"),
    "broken gzip": (
        lambda path, content: path.write_bytes(gzip.compress(content)[:-900]),
        "cannot be read (",
    ),
    "broken bzip2": (
        lambda path, content: path.write_bytes(b"BZh9" + content[:500]),
        "cannot be read (",
    ),
    "broken xz": (
        lambda path, content: path.write_bytes(lzma.compress(content)[:-50]),
        "cannot be read (",
    ),
}


def zipped(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.fits", b"SIMPLE")


@pytest.mark.parametrize("case", RAW)
def test_broken_files_are_told_in_one_line(path, tmp_path, case):
    make, words = RAW[case]
    bad = tmp_path / "bad.fits"
    make(bad, path.read_bytes())
    with pytest.raises(InputError) as caught:
        structure(bad)
    assert str(caught.value).startswith(f"{bad}: {words}")
    assert "\n" not in str(caught.value)


def test_bytes_after_the_end_mean_nothing(path, tmp_path):
    longer = tmp_path / "longer.fits"
    longer.write_bytes(path.read_bytes() + bytes(2880) + b"notes")
    assert structure(longer) == structure(path)


def test_the_first_of_a_name_counts(path):
    assert find(path, "SCI").shape == (2, 30, 40)
    assert find(path, "NOWHERE") is None
