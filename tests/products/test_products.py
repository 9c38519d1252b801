import json
import os
import resource
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from gwcs import WCS as GWCS
from numpy.testing import assert_allclose, assert_array_equal
from stdatamodels.jwst.datamodels import CubeModel, ImageModel

from agreement import assert_same, header, is_consistent
from snakewebb import __version__
from snakewebb.errors import InputError
from snakewebb.io.dq import DO_NOT_USE, OUTLIER
from snakewebb.io.exposure_file import ExposureFile
from snakewebb.io.hdus import SUMS
from snakewebb.io.headers import exposure_header
from snakewebb.io.noise_correlation import NoiseCorrelation, read_noise_correlation
from snakewebb.io.provenance import Provenance
from snakewebb.io.schema import attributes
from snakewebb.products import exposure_file
from snakewebb.products.exposure_file import write_crf
from snakewebb.products.mosaic_file import FileOptions, write_i2d
from snakewebb.simulate.observation import write
from snakewebb.simulate.presets import SMALL_DITHERS, preset
from snakewebb.wcs.change import Pointing
from snakewebb.wcs.exposure import locate, read_geometry
from snakewebb.wcs.geometry import Correction
from snakewebb.wcs.grid import Grid, output_grid
from snakewebb.wcs.layout import Layout, lay_out
from snakewebb.wcs.sip import FITS_WCS
from snakewebb.wcs.sphere import s_region

DATA = Path(os.environ.get("SNAKEWEBB_DATA", Path(__file__).parents[3] / "shared" / "data"))
NPIX = 64
STATUSES = {"tweakreg": "COMPLETE", "skymatch": "SKIPPED", "outlier_detection": "COMPLETE"}
PARAMETERS = {"pixfrac": 0.8, "kernel": "square", "fillval": "NAN", "weight_type": "ivm"}
ASN = {"pool_name": "a_pool.csv", "table_name": "an_asn.json"}
SHIFT = Correction(53.16, -27.79, ((1.0, 0.0), (0.0, 1.0)), (0.05, -0.02))
HIT = (5, 7)
PLANES = ("SCI", "ERR", "CON", "WHT", "VAR_POISSON", "VAR_RNOISE", "VAR_FLAT", "VAR_PIXEL")
CORRELATION = NoiseCorrelation(np.random.default_rng(3).random((2, 4, 3, 3), np.float32), 64)


@pytest.fixture(scope="module")
def cals(tmp_path_factory) -> list[Path]:
    """Two pointings with two detectors each."""
    observation = replace(preset("nircam-modules", npix=NPIX), dithers=SMALL_DITHERS[:2])
    path = write(observation, tmp_path_factory.mktemp("cal"))
    return sorted(path.parent.glob("*_cal.fits"))


@pytest.fixture(scope="module")
def crfs(cals, tmp_path_factory) -> list[Path]:
    """The same, flagged; the last one could not be aligned."""
    folder = tmp_path_factory.mktemp("crf")
    paths = []
    for number, cal in enumerate(cals):
        lost = number == len(cals) - 1
        outliers = np.zeros((NPIX, NPIX), bool)
        outliers[HIT] = True
        paths.append(folder / cal.name.replace("_cal", "_o001_crf"))
        quality = {"reason": "3 matches (minobj 15)"} if lost else {"n_matches": np.int64(20)}
        write_crf(
            cal,
            paths[-1],
            provenance=Provenance(
                STATUSES | {"tweakreg": "FAILED" if lost else "COMPLETE"},
                {
                    "version": "1.2",
                    "tweakreg": {"rms_after": np.float32("nan"), **quality},
                    "outlier_detection": {"snr": "5.0 4.0"},
                },
            ),
            pointing=Pointing(correction=None if lost else SHIFT),
            sky={"level": 0.25, "subtracted": False, "method": "match", "status": "COMPLETE"},
            outliers=outliers,
            asn={**ASN, "exptype": "science"},
        )
    return paths


@pytest.fixture(scope="module")
def grid(crfs) -> Grid:
    geometries = {p.name: read_geometry(p) for p in crfs}
    return output_grid(geometries, max_megapixels=10)


def laid_out(paths, grid, groups=None) -> Layout:
    """Exposures on a grid, as they are."""
    geometries = {path.name: read_geometry(path) for path in paths}
    groups = groups or [exposure_header(path).group_id for path in paths]
    groups = dict(zip(geometries, groups, strict=True))
    return lay_out(geometries, groups, dict.fromkeys(geometries), grid)


@pytest.fixture(scope="module")
def layout(crfs, grid) -> Layout:
    return laid_out(crfs, grid)


def random_planes(shape, names=PLANES, seed=0):
    rng = np.random.default_rng(seed)
    planes = {name: rng.random(shape, np.float32) for name in names if name not in ("CON", "ERR")}
    if "CON" in names:
        planes["CON"] = rng.integers(0, 1 << 32, (2, *shape), np.uint32)
    return planes


def split(planes, count):
    """Yield the planes in bands of rows."""
    ny = len(planes["SCI"])
    for band in range(count):
        rows = slice(ny * band // count, ny * (band + 1) // count)
        yield rows.start, {name: plane[..., rows, :] for name, plane in planes.items()}


@pytest.fixture(scope="module")
def mosaic(crfs, layout, tmp_path_factory) -> tuple[Path, dict[str, np.ndarray]]:
    """A mosaic written in four bands, and its planes."""
    folder = tmp_path_factory.mktemp("i2d")
    planes = random_planes(layout.grid.shape)
    for name in ("VAR_POISSON", "VAR_RNOISE", "VAR_FLAT"):
        planes[name][0, :2] = np.nan
    planes["VAR_FLAT"][1, 1] = np.nan
    target = folder / "product_i2d.fits"
    write_i2d(
        target,
        layout,
        split(planes, 4),
        crfs,
        parameters=PARAMETERS,
        asn=ASN,
        correlation=CORRELATION,
    )
    return target, planes


# --- _crf ----------------------------------------------------------------------------------------


def test_an_exposure_keeps_its_pixels_but_for_the_outliers(cals, crfs):
    with ImageModel(cals[0]) as before, ImageModel(crfs[0]) as after:
        bad = (before.dq & DO_NOT_USE) != 0
        hit = np.zeros_like(bad)
        hit[HIT] = True
        assert after.dq[HIT] & (DO_NOT_USE | OUTLIER) == DO_NOT_USE | OUTLIER
        assert_array_equal(after.dq[~hit], before.dq[~hit])
        for name in ("data", "err", "var_poisson", "var_rnoise", "var_flat"):
            plane = getattr(after, name)
            assert_array_equal(np.isnan(plane), bad | hit)
            assert_array_equal(plane[~(bad | hit)], getattr(before, name)[~(bad | hit)])
        assert_array_equal(after.area, before.area)


def test_an_exposure_says_what_was_done_to_it(crfs):
    with ImageModel(crfs[0]) as model:
        meta = model.meta
        assert meta.filename == crfs[0].name
        assert meta.cal_step.tweakreg == meta.cal_step.outlier_detection == "COMPLETE"
        assert meta.cal_step.skymatch == "SKIPPED"
        assert meta.cal_step.flat_field == "COMPLETE"
        assert (meta.background.level, meta.background.subtracted) == (0.25, False)
        assert meta.background.method == "match"
        assert (meta.asn.pool_name, meta.asn.table_name) == tuple(ASN.values())
        notes = meta.snakewebb.instance
        assert notes["tweakreg"]["n_matches"] == 20
        assert notes["outlier_detection"] == {"snr": "5.0 4.0", "fraction": 1 / NPIX**2}
    primary = header(crfs[0])
    assert (primary["SWB_VER"], primary["SWB_NMAT"]) == ("1.2", 20)
    assert primary["SWB_OUTL"] == pytest.approx(1 / NPIX**2)
    assert "SWB_RMS" not in primary
    assert "HISTORY" not in primary
    assert list(header(crfs[-1])["HISTORY"]) == [
        "snakewebb: tweakreg FAILED: 3 matches (minobj 15)"
    ]


def test_all_that_tells_positions_follows_the_correction(cals, crfs):
    x, y = np.array([0.0, 10.0, 60.0]), np.array([0.0, 40.0, 63.0])
    with ImageModel(cals[0]) as before, ImageModel(crfs[0]) as after:
        expected = SHIFT.apply(*before.meta.wcs(x, y))
        assert_allclose(after.meta.wcs(x, y), expected, rtol=0, atol=1e-10)
        region = np.array(after.meta.wcsinfo.s_region.split()[2:], float).reshape(-1, 2)
        old = np.array(before.meta.wcsinfo.s_region.split()[2:], float).reshape(-1, 2)
        assert_allclose(region.T, SHIFT.apply(*old.T), rtol=0, atol=3e-9)
    sci = header(crfs[0], "SCI")
    assert sci["CTYPE1"] == "RA---TAN-SIP"
    assert sci["A_ORDER"] >= 2
    for key in ("MJD-BEG", "DATE-BEG"):
        sci.remove(key, ignore_missing=True)
    for key in ("MJD-BEG", "MJD-AVG", "MJD-END"):
        sci.remove(key, ignore_missing=True)
    assert_allclose(WCS(sci).all_pix2world(x, y, 0), expected, rtol=0, atol=0.02 * 0.063 / 3600)


def test_an_uncorrected_exposure_keeps_its_wcs(cals, crfs):
    before, after = header(cals[-1], "SCI"), header(crfs[-1], "SCI")
    for key in ("S_REGION", "CRVAL1", "CD1_1", "A_0_2", "RA_REF"):
        assert after[key] == before[key]


STALE = {
    "crossing": "POLYGON ICRS 53.1 -27.8 53.2 -27.7 53.2 -27.8 53.1 -27.7",
    "no numbers": "POLYGON ICRS nan nan nan nan nan nan",
    "nothing": None,
}


@pytest.mark.parametrize("stale", STALE)
def test_s_region_is_made_from_the_gwcs(cals, crfs, grid, mosaic, tmp_path, stale):
    def spoiled(source):
        target = tmp_path / source.name
        with fits.open(source) as hdus:
            hdus["SCI"].header.pop("S_REGION")
            if STALE[stale]:
                hdus["SCI"].header["S_REGION"] = STALE[stale]
            hdus.writeto(target)
        return target

    source, target = spoiled(cals[0]), tmp_path / "a_crf.fits"
    write_crf(
        source, target, provenance=Provenance(), pointing=Pointing(geometry=geometry_of(cals[0]))
    )
    assert header(target, "SCI")["S_REGION"] == s_region(*geometry_of(cals[0]).corners())
    with ImageModel(target) as model:
        assert model.meta.wcsinfo.s_region == header(target, "SCI")["S_REGION"]
    target.unlink()
    write_crf(source, target, provenance=Provenance())
    assert header(target, "SCI")["S_REGION"] == s_region(*geometry_of(cals[0]).corners())
    target = tmp_path / mosaic[0].name
    inputs = [spoiled(crf) for crf in crfs]
    layout = laid_out(inputs, grid)
    write_i2d(target, layout, split(mosaic[1], 1), inputs, parameters=PARAMETERS)
    assert header(target, "SCI")["S_REGION"] == header(mosaic[0], "SCI")["S_REGION"]


def test_s_region_stays_where_there_is_no_gwcs(cals, tmp_path):
    source, target = tmp_path / "a_cal.fits", tmp_path / "a_crf.fits"
    with fits.open(cals[0]) as hdus:
        del hdus["ASDF"]
        hdus.writeto(source)
    write_crf(source, target, provenance=Provenance())
    assert header(target, "SCI")["S_REGION"] == header(cals[0], "SCI")["S_REGION"]


def test_without_sip_no_wrong_keywords_are_left(cals, tmp_path):
    write_crf(
        cals[0],
        tmp_path / "a_crf.fits",
        provenance=Provenance(),
        pointing=Pointing(correction=SHIFT, sip=None),
    )
    sci = header(tmp_path / "a_crf.fits", "SCI")
    assert "CRVAL1" not in sci
    assert not [key for key in sci if key.startswith(("A_", "B_", "CD", "PC1", "PC2", "CTYPE"))]
    assert "RA_REF" in sci


def test_a_plain_gwcs_is_corrected_on_the_sky(cals, tmp_path):
    source, target = tmp_path / "a_cal.fits", tmp_path / "a_crf.fits"
    with ImageModel(cals[0]) as model:
        wcs = model.meta.wcs
        plain = GWCS([("detector", wcs.forward_transform), ("world", None)])
        plain.bounding_box = wcs.bounding_box.bounding_box(order="F")
        model.meta.wcs = plain
        model.save(source)
    before = geometry_of(source)
    write_crf(
        source,
        target,
        provenance=Provenance(),
        pointing=Pointing(correction=SHIFT, geometry=before),
    )
    corrected, after = before.corrected(SHIFT), geometry_of(target)
    assert_allclose(after.ra, corrected.ra, rtol=0, atol=1e-10)
    assert_allclose(after.dec, corrected.dec, rtol=0, atol=1e-10)
    sci = header(target, "SCI")
    assert sci["S_REGION"] == s_region(*after.corners())
    assert sci["CTYPE1"] == "RA---TAN-SIP"


def test_a_moving_target_gets_its_frame_and_mean_position(cals, tmp_path):
    target = tmp_path / "a_crf.fits"
    write_crf(
        cals[0],
        target,
        provenance=Provenance({"assign_mtwcs": "COMPLETE"}),
        pointing=Pointing(
            correction=SHIFT,
            moving_target=True,
            wcsinfo={"mt_avra": 53.1, "mt_avdec": -27.7},
        ),
    )
    with ImageModel(target) as model:
        assert model.meta.wcs.available_frames[-1] == "moving_target"
        assert model.meta.cal_step.assign_mtwcs == "COMPLETE"
    sci = header(target, "SCI")
    assert (sci["MT_AVRA"], sci["MT_AVDEC"]) == (53.1, -27.7)


def test_the_sky_is_subtracted_once(cals, tmp_path):
    first, second = tmp_path / "a_crf.fits", tmp_path / "b_crf.fits"
    sky = {"subtracted": True, "method": "match"}
    write_crf(cals[0], first, provenance=Provenance(), sky={"level": 0.25, **sky})
    write_crf(first, second, provenance=Provenance(), sky={"level": 0.5, **sky})
    with ImageModel(cals[0]) as a, ImageModel(first) as b, ImageModel(second) as c:
        good = np.isfinite(a.data)
        assert_allclose(b.data[good], a.data[good] - 0.25, rtol=0, atol=1e-6)
        assert_allclose(c.data[good], a.data[good] - 0.5, rtol=0, atol=1e-6)
        assert c.meta.background.level == 0.5
    write_crf(cals[0], first, provenance=Provenance(), sky={"level": None, **sky})
    assert "BKGLEVEL" not in header(first)


def test_nan_pixels_become_bad_ones(cals, tmp_path):
    source = tmp_path / "a_cal.fits"
    with fits.open(cals[0]) as hdus:
        hdus["VAR_RNOISE"].data[20, 21] = np.nan
        hdus["DQ"].data[20, 21] = 0
        hdus.writeto(source)
    write_crf(source, tmp_path / "a_crf.fits", provenance=Provenance())
    with ImageModel(tmp_path / "a_crf.fits") as model:
        assert model.dq[20, 21] == DO_NOT_USE
        assert np.isnan([model.data[20, 21], model.err[20, 21], model.var_flat[20, 21]]).all()


def test_files_may_have_more_and_less_than_usual(cals, tmp_path):
    source, target = tmp_path / "a_cal.fits", tmp_path / "a_crf.fits"
    with fits.open(cals[0]) as hdus:
        for name in ("VAR_FLAT", "VAR_POISSON", "DQ", "ASDF"):
            del hdus[name]
        hdus.append(fits.ImageHDU(np.arange(6.0).reshape(2, 3), name="IMSHIFTS"))
        hdus.append(fits.ImageHDU(name="VAR_FLAT"))
        hdus[0].header["MYKEY"] = (3, "of a user")
        hdus[0].header["HISTORY"] = "by a user"
        hdus.writeto(source)
    outliers = np.zeros((NPIX, NPIX), bool)
    outliers[HIT] = True
    write_crf(
        source,
        target,
        provenance=Provenance({"skymatch": "FAILED"}, {"skymatch": {"reason": "no overlap"}}),
        outliers=outliers,
    )
    with fits.open(target) as hdus:
        assert_array_equal(hdus["IMSHIFTS"].data, np.arange(6.0).reshape(2, 3))
        assert hdus[0].header["MYKEY"] == 3
        assert hdus[0].header.comments["MYKEY"] == "of a user"
        history = list(hdus[0].header["HISTORY"])
        assert history == ["by a user", "snakewebb: skymatch FAILED: no overlap"]
        assert "VAR_POISSON" not in hdus
        assert hdus["DQ"].data[HIT] == DO_NOT_USE | OUTLIER
        assert hdus["DQ"].data[0, 0] in (0, DO_NOT_USE)
    assert is_consistent(target)


@pytest.fixture
def noted(cals, tmp_path) -> Path:
    """An exposure written by stdatamodels with cards, a table and an image of a user, and notes."""
    path = tmp_path / "noted_cal.fits"
    with ImageModel(cals[0]) as model:
        header = [["MYKEY", 3, "of a user"], ["SWB_VER", "0.1", "an older one"], ["TINY", 1e-9, ""]]
        model.extra_fits = {"PRIMARY": {"header": header}, "MINE": {"data": np.arange(6.0)}}
        model.add_history_entry("by a user")
        model.meta.background.level, model.meta.background.subtracted = 0.125, True
        model.save(path)
    return path


def edit(path):
    """Change headers as users do, and the tree not with them."""
    with fits.open(path, "update") as hdus:
        hdus[0].header["TARGPROP"] = "MINE"
        hdus[0].header["OWN"] = (1.5, "of a user")
        hdus["SCI"].header["PHOTMJSR"] = 0.5


def geometry_of(path):
    return read_geometry(path)


def write_both(monkeypatch, folder, source, **findings):
    """Return a copy and what stdatamodels writes in its place."""
    paths = folder / "copy" / "a_crf.fits", folder / "written" / "a_crf.fits"
    assert exposure_file._is_copyable(ExposureFile(source), findings["pointing"])
    for path in paths:
        path.parent.mkdir()
        with monkeypatch.context() as context:
            context.setattr(
                exposure_file, "_is_copyable", lambda *_, copied=path is paths[0]: copied
            )
            write_crf(source, path, **findings)
    return paths


@pytest.mark.parametrize("edited", [False, True])
@pytest.mark.parametrize("correction", [None, SHIFT])
def test_a_copy_is_what_stdatamodels_would_write(edited, correction, noted, tmp_path, monkeypatch):
    geometry = geometry_of(noted)
    if edited:
        edit(noted)
    outliers = np.zeros((NPIX, NPIX), bool)
    outliers[HIT] = True
    notes = {
        "tweakreg": {"n_matches": np.int64(20), "rms_after": 1e-7, "lost": None, "k": [1, 2.5]},
        "skymatch": {"reason": "skip: 'is' set, and it takes so long to say why " * 3},
    }
    copy, written = write_both(
        monkeypatch,
        tmp_path,
        noted,
        provenance=Provenance(STATUSES, notes),
        pointing=Pointing(correction=correction, geometry=geometry),
        sky={"level": np.float32(0.5), "subtracted": True, "method": "match"},
        outliers=outliers,
        asn={**ASN, "exptype": "science"},
    )
    assert_same(copy, written)
    assert is_consistent(copy) is not edited
    sci = [[c[::2] for c in header(path, "SCI").cards] for path in (copy, written)]
    assert sci[0] == sci[1]
    assert header(copy).count("SWB_VER") == 1
    with ImageModel(copy) as model:
        mine = dict(key[:2] for key in model.extra_fits.PRIMARY.instance["header"])
        assert (mine["MYKEY"], mine["TINY"], mine["SWB_VER"]) == (3, 1e-9, __version__)
        assert model.meta.target.proposer_name == ("MINE" if edited else "SIMULATED-FIELD")
        assert model.meta.photometry.conversion_megajanskys == (0.5 if edited else 0.37)
        assert mine.get("OWN") == (1.5 if edited else None)


@pytest.mark.parametrize("sip", [None, {"degree": 1}, {"degree": 3, "inv_degree": 2}])
def test_fits_wcs_of_a_copy_stand_where_stdatamodels_puts_them(sip, noted, tmp_path, monkeypatch):
    sip = {"max_pix_error": 1.0, "max_inv_pix_error": 1.0, **sip} if sip else None
    pointing = Pointing(correction=SHIFT, geometry=geometry_of(noted), sip=sip)
    findings = {"provenance": Provenance(), "pointing": pointing}
    paths = write_both(monkeypatch, tmp_path, noted, **findings)
    first, second = ([c[::2] for c in header(path, "SCI").cards] for path in paths)
    assert first == second
    with ImageModel(paths[0]) as a, ImageModel(paths[1]) as b:
        assert a.meta.wcsinfo.instance.keys() == b.meta.wcsinfo.instance.keys()


def test_fits_wcs_of_a_copy_need_not_have_been_there(noted, tmp_path, monkeypatch):
    bare = tmp_path / "bare_cal.fits"
    with ImageModel(noted) as model:
        for name in FITS_WCS:
            model.meta.wcsinfo.instance.pop(name, None)
        model.save(bare)
    pointing = Pointing(correction=SHIFT, geometry=geometry_of(noted))
    findings = {"provenance": Provenance(), "pointing": pointing}
    paths = write_both(monkeypatch, tmp_path, bare, **findings)
    first, second = ([c[::2] for c in header(path, "SCI").cards] for path in paths)
    assert "A_0_2" in header(paths[0], "SCI")
    assert first == second


def test_a_corrected_exposure_may_be_corrected_again(cals, tmp_path):
    first, second = tmp_path / "a_crf.fits", tmp_path / "b_crf.fits"
    geometry = geometry_of(cals[0])
    write_crf(
        cals[0],
        first,
        provenance=Provenance(),
        pointing=Pointing(correction=SHIFT, geometry=geometry),
    )
    geometry = geometry.corrected(SHIFT)
    write_crf(
        first,
        second,
        provenance=Provenance(),
        pointing=Pointing(correction=SHIFT, geometry=geometry),
    )
    geometry = geometry.corrected(SHIFT)
    with ImageModel(second) as model:
        assert model.meta.wcs.available_frames.count("v2v3corr") == 1
        assert_allclose(
            model.meta.wcs(*np.meshgrid(geometry.x_nodes, geometry.y_nodes)),
            (geometry.ra, geometry.dec),
            rtol=0,
            atol=1e-10,
        )


def test_a_copy_of_a_copy(noted, tmp_path):
    first, second = tmp_path / "a_crf.fits", tmp_path / "b_crf.fits"
    write_crf(noted, first, provenance=Provenance({"skymatch": "SKIPPED"}))
    write_crf(first, second, provenance=Provenance({"skymatch": "COMPLETE"}))
    assert is_consistent(second)
    with ImageModel(second) as model:
        assert model.meta.filename == second.name
        assert model.meta.cal_step.skymatch == "COMPLETE"


def test_a_copy_takes_neither_stdatamodels_nor_gwcs(cals, tmp_path):
    facts = tmp_path / "facts.json"
    locate(cals[0])[0].write(facts)
    program = f"""
import sys
from pathlib import Path
from snakewebb.coronagraphy import outlier_detection, stack_refs
from snakewebb.io.headers import exposure_header
from snakewebb.io.provenance import Provenance
from snakewebb.jobs import crf
from snakewebb.products.exposure_file import write_crf
from snakewebb.wcs.change import Pointing
from snakewebb.wcs.exposure import Exposure
from snakewebb.wcs.geometry import Correction
geometry = Exposure.read(sys.argv[3]).geometry
pointing = Pointing(correction={SHIFT!r}, geometry=geometry)
write_crf(*sys.argv[1:3], provenance=Provenance(), pointing=pointing)
assert not {{"asdf", "astropy.modeling", "gwcs", "stdatamodels"}} & set(sys.modules)
"""
    environment = os.environ | {"PYTHONPATH": str(Path(exposure_file.__file__).parents[2])}
    command = [sys.executable, "-c", program, cals[0], tmp_path / "a_crf.fits", facts]
    subprocess.run(command, env=environment, check=True)


def test_what_cannot_be_read_is_told(cals, tmp_path):
    target = tmp_path / "a_crf.fits"
    with pytest.raises(InputError, match=r"gone_cal\.fits: there is no such file"):
        write_crf(tmp_path / "gone_cal.fits", target, provenance=Provenance())
    fits.PrimaryHDU().writeto(tmp_path / "empty_cal.fits")
    with pytest.raises(InputError, match="no SCI"):
        write_crf(tmp_path / "empty_cal.fits", target, provenance=Provenance())
    short = tmp_path / "short_cal.fits"
    short.write_bytes(cals[0].read_bytes()[:50000])
    with pytest.raises(InputError, match=r"short_cal\.fits: is cut short"):
        write_crf(short, target, provenance=Provenance())
    assert not target.exists()


def test_a_full_disk_leaves_nothing(cals, crfs, layout, tmp_path):
    planes = random_planes(layout.grid.shape)
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, unlimited[1]))
    try:
        with pytest.raises(OSError, match=r"a_crf\.fits: cannot be written: "):
            write_crf(cals[0], tmp_path / "a_crf.fits", provenance=Provenance())
        with pytest.raises(OSError, match=r"a_i2d\.fits: cannot be written: .*File too large"):
            write_i2d(
                tmp_path / "a_i2d.fits", layout, split(planes, 3), crfs, parameters=PARAMETERS
            )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not (DATA / "aumic_f356w").exists(), reason="needs the real data")
def test_real_coronagraphic_cubes_of_an_older_pipeline(tmp_path):
    source = min((DATA / "aumic_f356w").glob("*_calints.fits"))
    target = tmp_path / "a_crfints.fits"
    with fits.open(source) as hdus:
        names = [hdu.name for hdu in hdus]
        data = hdus["SCI"].data
        outliers = np.zeros(data.shape, bool)
        outliers[0, 100, 100] = True
        write_crf(
            source,
            target,
            provenance=Provenance({"outlier_detection": "COMPLETE"}),
            outliers=outliers,
        )
    with CubeModel(target) as model:
        assert model.meta.cal_step.outlier_detection == "COMPLETE"
        assert model.dq[0, 100, 100] & OUTLIER
        bad = (model.dq & DO_NOT_USE) != 0
        assert_array_equal(bad, np.isnan(model.data))
        assert_array_equal(model.data[~bad], data[~bad])
        assert np.isfinite(model.meta.wcs(160.0, 160.0)).all()
    with fits.open(target) as hdus:
        assert sorted(hdu.name for hdu in hdus) == sorted(names)


@pytest.mark.skipif(not (DATA / "aumic_f356w").exists(), reason="needs the real data")
@pytest.mark.parametrize(
    "correction", [None, Correction(311.3, -31.3, ((1.0, 1e-4), (-1e-4, 1.0)), (0.1, 0.2))]
)
def test_a_copy_of_a_real_cube_is_what_stdatamodels_would_write(correction, tmp_path, monkeypatch):
    source = min((DATA / "aumic_f356w").glob("*_calints.fits"))
    pointing = Pointing(correction=correction, geometry=geometry_of(source))
    findings = {"provenance": Provenance(STATUSES), "pointing": pointing}
    assert_same(*write_both(monkeypatch, tmp_path, source, **findings))


# --- _i2d ----------------------------------------------------------------------------------------


def test_products_are_consistent(crfs, mosaic):
    assert all(is_consistent(path) for path in crfs)
    assert is_consistent(mosaic[0])


def test_a_mosaic_has_the_planes_of_its_bands(mosaic):
    path, planes = mosaic
    with fits.open(path) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", *PLANES, "NOISE_CORR", "HDRTAB", "ASDF"]
        assert hdus["CON"].data.dtype == ">i4"
        for name, plane in planes.items():
            assert_array_equal(hdus[name].data, plane.view(np.int32) if name == "CON" else plane)
        error = np.sqrt(planes["VAR_POISSON"] + planes["VAR_RNOISE"] + planes["VAR_FLAT"])
        error[1, 1] = np.sqrt(planes["VAR_POISSON"][1, 1] + planes["VAR_RNOISE"][1, 1])
        assert np.isnan(error[0, :2]).all()
        assert_allclose(hdus["ERR"].data, error, rtol=1e-6)
    with ImageModel(path) as model:
        assert_array_equal(model.data, planes["SCI"])
        assert_array_equal(model.con, planes["CON"].view(np.int32))
        assert_array_equal(model.wht, planes["WHT"])
        extra = model.extra_fits
        assert_array_equal(extra.VAR_PIXEL.data, planes["VAR_PIXEL"])
        assert_array_equal(extra.NOISE_CORR.data, CORRELATION.kernels)


def test_a_mosaic_tells_how_its_noise_is_correlated(mosaic, tmp_path):
    path, _ = mosaic
    found = read_noise_correlation(path)
    assert_array_equal(found.kernels, CORRELATION.kernels)
    assert found.step == CORRELATION.step
    # FITS pixels of SCI: the middle of the first cell, 0-based, is 31.5.
    with fits.open(path) as hdus:
        wcs = WCS(hdus["NOISE_CORR"].header)
    assert_allclose(wcs.pixel_to_world_values(2, 0, 0, 1), [1, -1, 32.5, 96.5])
    with fits.open(path) as hdus:
        del hdus["NOISE_CORR"].header["CDELT3"]
        hdus.writeto(tmp_path / "a.fits")
        del hdus["NOISE_CORR"]
        hdus.writeto(tmp_path / "b.fits")
    with pytest.raises(InputError, match="CDELT3 of NOISE_CORR is 0"):
        read_noise_correlation(tmp_path / "a.fits")
    assert read_noise_correlation(tmp_path / "b.fits") is None


def test_the_file_does_not_depend_on_the_bands(crfs, layout, mosaic, tmp_path):
    path, planes = mosaic
    for count in (1, 7, layout.grid.shape[0] + 5):
        target = tmp_path / f"{count}" / path.name
        target.parent.mkdir()
        write_i2d(target, layout, split(planes, count), crfs, parameters=PARAMETERS)
        with fits.open(path) as a, fits.open(target) as b:
            for name in (*PLANES, "HDRTAB"):
                assert a[name].header == b[name].header
                assert a[name].data.tobytes() == b[name].data.tobytes()


def test_a_mosaic_says_where_it_is(grid, mosaic):
    path, _ = mosaic
    x, y = np.array([0.0, 30.0, 200.0]), np.array([0.0, 60.0, 20.0])
    sky = grid.pixel_to_sky(x, y)
    sci = header(path, "SCI")
    assert (sci["CTYPE1"], sci["CUNIT2"], sci["RADESYS"]) == ("RA---TAN", "deg", "ICRS")
    assert (sci["CRPIX1"], sci["CRPIX2"]) == (grid.crpix[0] + 1, grid.crpix[1] + 1)
    leftovers = ("A_", "B_", "AP_", "BP_", "CD1", "CD2", "V2_", "V3", "RA_REF", "ROLL_", "XREF")
    assert not [key for key in sci if key.startswith(leftovers)]
    for key in ("MJD-BEG", "MJD-AVG", "MJD-END"):
        del sci[key]
    assert_allclose(WCS(sci).all_pix2world(x, y, 0), sky, rtol=0, atol=1e-10)
    with ImageModel(path) as model:
        assert_allclose(model.meta.wcs(x, y), sky, rtol=0, atol=1e-10)
        assert_allclose(model.meta.wcs.invert(*sky), (x, y), rtol=0, atol=1e-6)
        assert model.meta.wcs.array_shape == grid.shape
        assert model.meta.wcsinfo.s_region.count("POLYGON") == 2
        area = model.meta.photometry
        assert area.pixelarea_arcsecsq == pytest.approx((grid.cdelt * 3600) ** 2)
        assert area.pixelarea_steradians == pytest.approx(np.radians(grid.cdelt) ** 2)


def test_a_mosaic_is_described_by_all_its_inputs(crfs, mosaic):
    path, _ = mosaic
    with ImageModel(path) as model, ImageModel(crfs[0]) as first, ImageModel(crfs[-1]) as last:
        meta = model.meta
        assert meta.filename == path.name
        assert meta.model_type == "ImageModel"
        assert meta.instrument.detector == meta.instrument.module == "MULTIPLE"
        assert meta.instrument.filter == "F356W"
        assert meta.resample.pointings == 2
        for name in ("exposure_time", "duration", "effective_exposure_time"):
            assert model[f"meta.exposure.{name}"] == 2 * first[f"meta.exposure.{name}"]
        assert meta.exposure.start_time == first.meta.exposure.start_time
        assert meta.exposure.end_time == last.meta.exposure.end_time
        assert meta.resample.instance == {
            **PARAMETERS,
            "pointings": 2,
            "pixel_scale_ratio": 1.0,
        }
        assert meta.cal_step.resample == meta.cal_step.outlier_detection == "COMPLETE"
        assert meta.cal_step.tweakreg == "FAILED"
        assert meta.snakewebb.statuses.tweakreg.instance == {"COMPLETE": 3, "FAILED": 1}
        assert meta.background.level is None
        assert meta.background.subtracted is None
        assert meta.asn.table_name == ASN["table_name"]
        assert meta.bunit_data == "MJy/sr"
        assert meta.target.proposer_name == first.meta.target.proposer_name
    with fits.open(path) as hdus:
        table = hdus["HDRTAB"].data
        assert list(table["FILENAME"]) == [crf.name for crf in crfs]
        assert list(table["S_TWKREG"]) == ["COMPLETE"] * 3 + ["FAILED"]
        assert_array_equal(table["SWB_NMAT"], [20, 20, 20, np.nan])
        assert_array_equal(table["TSOVISIT"], [False] * 4)
        assert_array_equal(table["BKGLEVEL"], [0.25] * 4)
        assert table["S_REGION"][0] == header(crfs[0], "SCI")["S_REGION"]


def test_a_mosaic_is_what_stdatamodels_would_write(mosaic, tmp_path):
    free = ("DATE", *SUMS)
    path, _ = mosaic
    again = tmp_path / path.name
    with ImageModel(path) as model:
        model.validate()
        model.save(again)
    with fits.open(path) as ours, fits.open(again) as theirs:
        for name in ("PRIMARY", *PLANES, "NOISE_CORR"):
            first, second = (
                [str(card) for card in hdus[name].header.cards if card.keyword not in free]
                for hdus in (ours, theirs)
            )
            assert first == second


def test_headers_and_tree_of_a_mosaic_agree(mosaic, tmp_path):
    path, _ = mosaic
    with fits.open(path) as hdus:
        del hdus["ASDF"]
        hdus.writeto(tmp_path / path.name)
    with ImageModel(path) as model, ImageModel(tmp_path / path.name) as bare:
        told = {a.name for a in attributes() if a.rule is not None}
        of_tree, of_headers = (
            {k: v for k, v in m.to_flat_dict(include_arrays=False).items() if k in told}
            for m in (model, bare)
        )
        assert of_tree.keys() == of_headers.keys()
        for name, value in of_tree.items():
            assert type(value) is type(of_headers[name])
            assert of_headers[name] == (
                pytest.approx(value, rel=1e-12) if isinstance(value, float) else value
            )
        # What the schema does not know stands where it always does.
        extra = [card for card in bare.extra_fits.PRIMARY.header if card[0] not in SUMS]
        assert model.extra_fits.PRIMARY.header == extra == [["SWB_VER", __version__, extra[0][2]]]
        assert model.meta.resample.kernel == "square"


def test_what_others_added_to_an_input_does_not_go_along(crfs, grid, tmp_path, caplog):
    """But for its logs, which have a place in JWST's products."""
    source, target = tmp_path / crfs[0].name, tmp_path / "a_i2d.fits"
    with ImageModel(crfs[0]) as model:
        model.cal_logs = {"calwebb_detector1": ["yes: no", "# 2"]}
        model.meta.visit.tsovisit = True
        model.add_history_entry("edited")
        model.save(source)
    with fits.open(source, mode="update") as hdus:
        hdus[0].header["MINE"] = "unknown"
        hdus[0].header["NGROUPS"] = "many"
    planes = random_planes(grid.shape, ("SCI",))
    write_i2d(target, laid_out([source], grid), [(0, planes)], [source], parameters=PARAMETERS)
    (message,) = (r.getMessage() for r in caplog.records if r.levelname == "WARNING")
    assert message == f"{source}: NGROUPS is 'many', no integer: left out"
    assert {"MINE", "HISTORY", "NGROUPS"}.isdisjoint(header(target))
    with ImageModel(target) as model:
        assert model.cal_logs.instance == {"calwebb_detector1": ["yes: no", "# 2"]}
        assert model.meta.visit.tsovisit
        assert model.hdrtab["TSOVISIT"] == [True]
    assert is_consistent(target)


def test_inputs_need_no_tree(crfs, layout, mosaic, tmp_path):
    sources, target = [tmp_path / crf.name for crf in crfs], tmp_path / mosaic[0].name
    for crf, source in zip(crfs, sources, strict=True):
        with fits.open(crf) as hdus:
            del hdus["ASDF"]
            for keyword in ("XPOSURE", "TELAPSE"):  # as older files have them
                hdus[0].header[keyword] = hdus["SCI"].header.pop(keyword)
            hdus.writeto(source)
    write_i2d(target, layout, split(mosaic[1], 2), sources, parameters=PARAMETERS, asn=ASN)
    for extension in ("PRIMARY", *PLANES, "HDRTAB"):
        first, second = (header(path, extension) for path in (mosaic[0], target))
        for keyword in ("DATE", *SUMS):  # of which PRIMARY's sum is made, too
            first.pop(keyword, None)
            second.pop(keyword, None)
        assert first == second


def test_a_mosaic_takes_neither_stdatamodels_nor_gwcs(crfs, layout, tmp_path):
    (tmp_path / "layout.json").write_text(json.dumps(layout.to_dict()))
    program = """
import json
import sys
from pathlib import Path
import numpy as np
from snakewebb.coronagraphy import combine, reduction
from snakewebb.jobs import i2d
from snakewebb.products import mosaic_file
from snakewebb.wcs.layout import Layout
layout = Layout.from_dict(json.loads(Path(sys.argv[2]).read_text()))
bands = [(0, {"SCI": np.ones(layout.grid.shape)})]
parameters = dict.fromkeys(("pixfrac", "kernel", "fillval", "weight_type"))
mosaic_file.write_i2d(sys.argv[1], layout, bands, sys.argv[3:], parameters=parameters)
assert not {"asdf", "astropy.modeling", "gwcs", "stdatamodels"} & set(sys.modules)
"""
    environment = os.environ | {"PYTHONPATH": str(Path(exposure_file.__file__).parents[2])}
    command = [
        sys.executable,
        "-c",
        program,
        tmp_path / "a_i2d.fits",
        tmp_path / "layout.json",
        *crfs,
    ]
    subprocess.run(command, env=environment, check=True)
    assert is_consistent(tmp_path / "a_i2d.fits")


def test_a_group_counts_once(crfs, grid, tmp_path):
    target = tmp_path / "a_i2d.fits"
    planes = random_planes(grid.shape, ("SCI",))
    layout = laid_out(crfs, grid, ["a", "b", "c", "c"])
    write_i2d(target, layout, [(0, planes)], crfs, parameters=PARAMETERS)
    assert header(target)["NDRIZ"] == 3


@pytest.mark.parametrize(
    ("names", "report_var", "expected"),
    [
        (("SCI", "WHT"), True, ["SCI", "WHT"]),
        (("SCI", "WHT", "VAR_RNOISE"), False, ["SCI", "ERR", "WHT"]),
        (("SCI", "CON", "WHT", "VAR_RNOISE"), True, ["SCI", "ERR", "CON", "WHT", "VAR_RNOISE"]),
    ],
)
def test_planes_are_optional(names, report_var, expected, crfs, layout, tmp_path):
    target = tmp_path / "a_i2d.fits"
    bands = split(random_planes(layout.grid.shape, names), 2)
    how = FileOptions(report_var=report_var)
    write_i2d(target, layout, bands, crfs, how, parameters=PARAMETERS)
    with fits.open(target) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", *expected, "HDRTAB", "ASDF"]
        if "ERR" in expected:
            assert hdus["ERR"].header["BUNIT"] == "MJy/sr"
    assert is_consistent(target)


def test_a_single_exposure_is_not_blended(crfs, grid, tmp_path):
    target = tmp_path / "a_i2d.fits"
    planes = random_planes(grid.shape, ("SCI", "WHT"))
    planes["ERR"] = np.full(grid.shape, 2, np.float32)
    band = {name.lower(): plane for name, plane in planes.items()}
    write_i2d(
        target,
        laid_out(crfs[:1], grid),
        [(0, band | {"con": None})],
        crfs[:1],
        FileOptions(blendheaders=False),
        parameters=PARAMETERS,
    )
    with fits.open(target) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "SCI", "ERR", "WHT", "ASDF"]
        assert hdus[0].header["DETECTOR"] == header(crfs[0])["DETECTOR"]
        assert hdus[0].header["S_RESAMP"] == "COMPLETE"
        assert (hdus["ERR"].data == 2).all()


def test_bands_that_do_not_make_up_the_grid_are_told(crfs, grid, tmp_path):
    target = tmp_path / "a_i2d.fits"
    layout = laid_out(crfs[:1], grid)
    bands = list(split(random_planes(grid.shape, ("SCI", "WHT")), 4))
    for wrong, message in (
        (bands[:-1], "bands end at row"),
        (bands[:1] + bands[2:], "does not fit in"),
        ([*bands[:3], (bands[3][0], {"SCI": bands[3][1]["SCI"]})], "does not fit in"),
        ([(0, {"SCI": np.zeros((*grid.shape, 2), np.float32)[..., 0].T})], "does not fit in"),
    ):
        with pytest.raises(InputError, match=message):
            write_i2d(target, layout, wrong, crfs[:1], parameters=PARAMETERS)
    assert list(tmp_path.iterdir()) == []


def test_memory_is_bounded_by_a_band(crfs, tmp_path):
    big = Grid((53.16, -27.79), (1000.0, 1000.0), 1e-5, ((-1.0, 0.0), (0.0, 1.0)), (1500, 1500))
    names = ("SCI", "WHT", "CON", "VAR_RNOISE")
    bands = ((row, random_planes((15, 1500), names)) for row in range(0, 1500, 15))
    target, layout = tmp_path / "a_i2d.fits", laid_out(crfs[:1], big)
    tracemalloc.start()
    try:
        write_i2d(target, layout, bands, crfs[:1], parameters=PARAMETERS)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert target.stat().st_size > 50e6
    assert peak < 10e6
