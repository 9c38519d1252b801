"""Exposures that are stored in other ways than JWST's, or lack what is not needed."""

import gzip
import warnings
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from numpy.testing import assert_allclose, assert_array_equal
from stdatamodels.jwst.datamodels import CubeModel, ImageModel

from chain import image3
from snakewebb.errors import InputError
from snakewebb.io import fits_structure
from snakewebb.io import planes as planes_module
from snakewebb.io.bands import read_window, write_rows
from snakewebb.io.planes import VARIANCES, check_exposure, read_planes
from snakewebb.io.provenance import Provenance
from snakewebb.products.exposure_file import write_crf
from snakewebb.simulate import observation as simulate
from snakewebb.simulate.presets import preset
from snakewebb.sources.mosaic import MosaicFile
from snakewebb.wcs.exposure import locate
from snakewebb.wcs.gwcs_library import read_wcs

PLANES = ("SCI", "ERR", "DQ", *VARIANCES)
PROVENANCE = Provenance({"tweakreg": "SKIPPED", "skymatch": "COMPLETE"})
SKY = {"level": 0.5, "subtracted": True, "method": "match"}


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """Two exposures of a field."""
    field = replace(preset("nircam-f356w", npix=128), stars=60, galaxies=0, cosmic_ray_rate=0.0)
    folder = tmp_path_factory.mktemp("field")
    simulate.write(replace(field, dithers=field.dithers[:2]), folder)
    return sorted(folder.glob("*_cal.fits"))


def edited(source, target, edit, **options):
    with fits.open(source) as hdus:
        copy = fits.HDUList([hdu.copy() for hdu in hdus])
    edit(copy)
    copy.writeto(target, **options)
    return target


def compressed(*names):
    """Compress planes without loss, as fpack does."""

    def edit(hdus):
        for name in names:
            hdu = hdus[hdus.index_of(name)]
            kind = {"compression_type": "GZIP_1"} | (
                {} if hdu.data.dtype.kind in "iu" else {"quantize_level": 0}
            )
            hdus[hdus.index_of(name)] = fits.CompImageHDU(hdu.data, hdu.header, name=name, **kind)

    return edit


def scaled(hdus):
    """Store SCI as whole hundredths."""
    whole = np.round(100 * np.nan_to_num(hdus["SCI"].data)).clip(-32000, 32000).astype(np.int16)
    hdus["SCI"].data = whole
    hdus["SCI"].header["BSCALE"], hdus["SCI"].header["BLANK"] = 0.01, -32768


def without(*names):
    def edit(hdus):
        for name in names:
            del hdus[name]

    return edit


def cropped(*names):
    def edit(hdus):
        for name in names:
            hdus[name].data = hdus[name].data[3:-5, 8:]

    return edit


# --- reading ------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [("SCI",), ("DQ", "VAR_FLAT"), (*PLANES, "AREA")])
def test_compressed_planes_are_read_as_pixels(paths, tmp_path, names):
    path = edited(paths[0], tmp_path / "a_cal.fits", compressed(*names))
    for rows in (slice(None), slice(7, 50)):
        for name, plane in read_planes(path, rows=rows).items():
            assert_array_equal(plane, read_planes(paths[0], (name,), rows)[name])


def test_float_flags_are_whole_numbers(paths, tmp_path):
    expected = read_planes(paths[0], ("DQ",))["DQ"]

    def edit(value):
        def change(hdus):
            hdus["DQ"].data = hdus["DQ"].data.astype(np.float64)
            if value is not None:
                hdus["DQ"].data[3, 4] = value

        return change

    path = edited(paths[0], tmp_path / "a_cal.fits", edit(None))
    assert_array_equal(read_planes(path, ("DQ",))["DQ"], expected)
    for number, value in enumerate((0.5, np.nan, np.inf, -1.0, 2.0**32)):
        path = edited(paths[0], tmp_path / f"{number}_cal.fits", edit(value))
        with pytest.raises(InputError, match=f"{number}_cal.fits: DQ holds {value}, no sum of"):
            read_planes(path, ("DQ",))


@pytest.mark.parametrize(("kind", "value"), [(np.int16, -1), (np.int64, 2**32)])
def test_flags_of_other_types_are_in_range(paths, tmp_path, kind, value):
    def edit(hdus):
        hdus["DQ"].data = np.zeros(hdus["DQ"].shape, kind)
        hdus["DQ"].data[3, 4] = value

    path = edited(paths[0], tmp_path / "a_cal.fits", edit)
    with pytest.raises(InputError, match=f"DQ holds {value}, no sum of flags"):
        read_planes(path, ("DQ",))


def test_signed_flags_keep_their_highest_bit(paths, tmp_path):
    def edit(hdus):
        hdus["DQ"].data = np.full(hdus["DQ"].shape, -(2**31) + 1, np.int32)

    path = edited(paths[0], tmp_path / "a_cal.fits", edit)
    assert (read_planes(path, ("DQ",))["DQ"] == 2**31 + 1).all()


def test_broken_tiles_are_told_in_one_line(paths, tmp_path):
    path = edited(paths[0], tmp_path / "a_cal.fits", compressed("SCI"))
    unit = fits_structure.find(path, "SCI")
    content = bytearray(path.read_bytes())
    content[unit.start + unit.size // 2 : unit.start + unit.size] = bytes(
        unit.size - unit.size // 2
    )
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_planes(path, ("SCI",))
    assert str(caught.value).startswith(f"{path}: SCI cannot be read (")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [*VARIANCES, "AREA"])
def test_what_does_not_fit_is_as_if_it_was_not_there(paths, tmp_path, caplog, name):
    path = edited(paths[0], tmp_path / "a_cal.fits", cropped(name))
    assert read_planes(path)[name] is None
    check_exposure(path)
    (record,) = caplog.records
    told = f"{path}: {name} has shape (120, 120) but SCI (128, 128): done without"
    assert record.getMessage() == told


def test_what_only_the_tree_names_is_told_before_work(paths, tmp_path, caplog):
    path = edited(paths[0], tmp_path / "a_cal.fits", without("AREA", "VAR_FLAT"))
    check_exposure(path)
    (record,) = caplog.records
    assert record.getMessage() == (
        f"{path}: AREA, VAR_FLAT: in the ASDF tree, but not there: done without"
    )
    known, _ = locate(path)
    assert known.geometry.to_dict() == locate(paths[0])[0].geometry.to_dict()
    assert read_wcs(path).available_frames == read_wcs(paths[0]).available_frames


def test_checks_read_no_pixels(paths, tmp_path, monkeypatch):
    monkeypatch.setattr(np, "empty", lambda *args, **options: pytest.fail("pixels were read"))
    check_exposure(paths[0])


def test_a_median_of_another_make_is_refused(tmp_path):
    images = np.arange(60, dtype=np.float32).reshape(4, 3, 5)
    write_rows(tmp_path / "good.fits", images.shape, [images])
    window = read_window(tmp_path / "good.fits", slice(1, 3), slice(2, 4))
    assert_array_equal(window, images[1:3, :, 2:4])
    fits.PrimaryHDU(images.astype(float)).writeto(tmp_path / "doubles.fits")
    fits.PrimaryHDU(images[:, 0]).writeto(tmp_path / "flat.fits")
    (tmp_path / "packed.fits").write_bytes(gzip.compress((tmp_path / "good.fits").read_bytes()))
    for name in ("doubles", "flat", "packed"):
        with pytest.raises(InputError, match=f"{name}.fits: is no median of this version"):
            read_window(tmp_path / f"{name}.fits", slice(1, 3), slice(2, 4))


# --- copies ---------------------------------------------------------------------------------------


def sums(path):
    """Return the names of extensions with check sums, having checked these."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fits.open(path, checksum=True) as hdus:
            return [hdu.name for hdu in hdus if {"CHECKSUM", "DATASUM"} & set(hdu.header)]


COPIES = {
    "as it is": lambda hdus: None,
    "compressed": compressed(*PLANES, "AREA"),
    "scaled": scaled,
    "without AREA": without("AREA"),
    "without DQ": without("DQ"),
    "SCI alone": without("ERR", "DQ", "AREA", *VARIANCES),
    "cropped variances": cropped("AREA", *VARIANCES),
    "without ASDF": without("ASDF"),
    "compressed, without ASDF": lambda hdus: (compressed(*PLANES)(hdus), without("ASDF")(hdus)),
}


@pytest.mark.parametrize("integrations", [False, True])
@pytest.mark.parametrize("case", COPIES)
def test_copies_hold_what_was_read(paths, tmp_path, case, integrations):
    """The values, check sums of its own bytes, and nothing that does not fit."""
    source = edited(paths[0], tmp_path / "a_cal.fits", COPIES[case], checksum=True)
    target = tmp_path / "a_o001_crf.fits"
    outliers = np.zeros((1, 128, 128) if integrations else (128, 128), bool)
    outliers[..., 10, 11] = True
    write_crf(
        source, target, provenance=PROVENANCE, sky=SKY, outliers=outliers, integrations=integrations
    )
    with fits.open(target) as hdus:
        assert sums(target) == [hdu.name for hdu in hdus]
    before, after = read_planes(source), read_planes(target)
    dq = np.zeros((128, 128), np.uint32) if before["DQ"] is None else before["DQ"]
    dq[10, 11] |= 1 | 16
    bad = dq & 1 != 0
    for name in PLANES:
        if name == "DQ":
            assert (after["DQ"].reshape(128, 128)[dq != 0] & 1 == dq[dq != 0] & 1).all()
        elif before[name] is None:
            assert after[name] is None
        else:
            expected = np.where(bad, np.nan, before[name]) - (0.5 if name == "SCI" else 0)
            made = after[name].reshape(128, 128)
            good = ~np.isnan(made)
            assert_array_equal(made[good], expected[good].astype(np.float32))
            assert good.mean() > 0.9
            assert np.isnan(made[10, 11])
    with (CubeModel if integrations else ImageModel)(target) as model:
        assert model.data.shape == ((1, 128, 128) if integrations else (128, 128))
        assert model.dq[..., 10, 11] == (dq[10, 11])
        assert ("wcs" in model.meta.instance) is ("without ASDF" not in case)
        assert (before["VAR_FLAT"] is None) or model.var_flat.shape == model.data.shape


def test_other_compressed_extensions_are_copied_as_they_are(paths, tmp_path):
    noise = np.random.default_rng(1).normal(size=(64, 64)).astype(np.float32)
    source = edited(
        paths[0],
        tmp_path / "a_cal.fits",
        lambda hdus: hdus.append(fits.CompImageHDU(noise, name="MINE")),
    )
    write_crf(source, tmp_path / "a_o001_crf.fits", provenance=PROVENANCE)
    with fits.open(source) as before, fits.open(tmp_path / "a_o001_crf.fits") as after:
        assert isinstance(after["MINE"], fits.CompImageHDU)
        assert_array_equal(after["MINE"].data, before["MINE"].data)


# --- through all steps ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain(paths, tmp_path_factory):
    """The mosaic of the exposures as they are."""
    folder = tmp_path_factory.mktemp("plain") / "x"
    image3(folder, paths)
    return folder / "x_i2d.fits"


def test_compression_without_loss_changes_no_pixel(paths, plain, tmp_path):
    edit = compressed(*PLANES, "AREA")
    odd = [edited(path, tmp_path / path.name, edit, checksum=True) for path in paths]
    image3(tmp_path / "x", odd)
    with fits.open(plain) as expected, fits.open(tmp_path / "x" / "x_i2d.fits") as made:
        for name in ("SCI", "ERR", "WHT", "CON", *VARIANCES):
            assert_array_equal(made[name].data, expected[name].data)


def test_everything_but_the_image_and_its_wcs_is_optional(paths, plain, tmp_path):
    edit = without("ERR", "DQ", "AREA", *VARIANCES)
    odd = [edited(path, tmp_path / path.name, edit) for path in paths]
    outcome = image3(tmp_path / "x", odd, catalog=True)
    assert {o["tweakreg"]["status"] for n, o in outcome.items() if n != "catalog"} == {"COMPLETE"}
    assert outcome["catalog"]["sources"] > 10
    with ImageModel(tmp_path / "x" / "x_i2d.fits") as model, ImageModel(plain) as expected:
        assert "err" not in model.instance
        assert model.meta.cal_step.outlier_detection == "SKIPPED"
        both = np.isfinite(model.data) & np.isfinite(expected.data)
        assert both.mean() > 0.7
        assert np.median(np.abs(model.data - expected.data)[both]) < 0.01
    with ImageModel(next((tmp_path / "x").glob("*_crf.fits"))) as model:
        reason = model.meta.snakewebb.outlier_detection.reason
        assert reason == "the exposure has neither errors nor variances"


def test_errors_stand_for_variances_that_are_not_there(paths, plain, tmp_path):
    odd = [edited(path, tmp_path / path.name, cropped(*VARIANCES)) for path in paths]
    outcome = image3(tmp_path / "x", odd, catalog=True)
    assert outcome["catalog"]["sources"] > 10
    with fits.open(plain) as expected, fits.open(tmp_path / "x" / "x_i2d.fits") as made:
        ratio = made["ERR"].data / expected["ERR"].data
        assert np.nanmedian(ratio) == pytest.approx(1.0, abs=0.05)
        assert_allclose(made["VAR_POISSON"].data, made["ERR"].data ** 2, rtol=1e-6)
        assert not np.isfinite(made["VAR_RNOISE"].data).any()


def filled(value, *names):
    def edit(hdus):
        for name in names:
            hdus[name].data[:] = value

    return edit


@pytest.mark.parametrize("value", [0.0, np.nan, -1.0])
@pytest.mark.parametrize("names", [("ERR",), ("VAR_RNOISE",), ("ERR", *VARIANCES)])
def test_errors_that_are_none_are_as_if_they_were_not_there(paths, tmp_path, value, names):
    path = edited(paths[0], tmp_path / "a_cal.fits", filled(value, *names))
    planes = planes_module.read_measured(path)
    assert np.isfinite(planes["SCI"]).mean() > 0.9
    assert (planes["ERR"] is None) is (len(names) > 1)
    assert f"{names[0]} holds no error" in planes_module.left_out(path)
    write_crf(path, tmp_path / "a_o001_crf.fits", provenance=PROVENANCE)
    crf = read_planes(tmp_path / "a_o001_crf.fits")
    assert crf[names[0]] is None
    assert np.isfinite(crf["SCI"]).mean() > 0.9


def test_one_good_error_is_enough(paths, tmp_path):
    def edit(hdus):
        hdus["ERR"].data[:] = np.nan
        hdus["ERR"].data[3, 4] = 1.0

    path = edited(paths[0], tmp_path / "a_cal.fits", edit)
    assert read_planes(path, ("ERR",))["ERR"][3, 4] == 1.0


@pytest.mark.parametrize("rest", [(), ("VAR_POISSON", "VAR_FLAT")])
def test_no_error_flags_no_outlier_and_stops_no_mosaic(paths, plain, tmp_path, rest):
    edit = filled(0.0, "ERR", "VAR_RNOISE", *rest)
    odd = [edited(path, tmp_path / path.name, edit) for path in paths]
    image3(tmp_path / "x", odd)
    with fits.open(plain) as expected, fits.open(tmp_path / "x" / "x_i2d.fits") as made:
        assert ("ERR" in made) == (not rest)
        both = np.isfinite(made["SCI"].data) & np.isfinite(expected["SCI"].data)
        assert both.sum() > 0.95 * np.isfinite(expected["SCI"].data).sum()
    for path in (tmp_path / "x").glob("*_crf.fits"):
        header = fits.getheader(path)  # without errors outliers are not looked for
        assert header["S_OUTLIR"] == "SKIPPED" if rest else header["SWB_OUTL"] < 0.02


def test_a_mosaic_is_read_however_it_is_stored(plain, tmp_path):
    names = ("SCI", "ERR", "WHT")
    expected = MosaicFile(plain).rows(20, 60)
    packed = MosaicFile(edited(plain, tmp_path / "a_i2d.fits", compressed(*names)))
    for made, plane in zip(packed.rows(20, 60), expected, strict=True):
        assert_array_equal(made, plane)
    narrow = edited(plain, tmp_path / "b_i2d.fits", cropped("ERR"))
    with pytest.raises(InputError, match=r"b_i2d.fits: ERR has shape .* but SCI"):
        MosaicFile(narrow)


def test_errors_of_nothing_are_no_reason_to_do_without_errors(paths, tmp_path):
    """An exposure without a good pixel has errors that are NaN, too: they say nothing of others."""
    with fits.open(paths[0]) as hdus:
        for name in ("SCI", "ERR", "VAR_POISSON", "VAR_RNOISE", "VAR_FLAT"):
            hdus[name].data[:] = np.nan
        hdus.writeto(tmp_path / "a_cal.fits")
    assert planes_module.left_out(tmp_path / "a_cal.fits") == []
    assert planes_module.has_plane(tmp_path / "a_cal.fits", "ERR")
