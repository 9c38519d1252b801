"""The workflow from end to end, on small simulated observations."""

import json
import warnings
from dataclasses import replace

import asdf
import numpy as np
import pytest
import yaml
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from scipy.spatial import cKDTree
from stdatamodels.jwst import datamodels

from snakewebb.astrometry.alignment import AlignmentResult
from snakewebb.astrometry.matching import Affine
from snakewebb.io import bands
from snakewebb.io.dq import OUTLIER
from snakewebb.jobs.i2d import write_mosaic
from snakewebb.jobs.median import write_median
from snakewebb.jobs.skymatch import match_exposures
from snakewebb.jobs.source_catalog import make_catalog, views
from snakewebb.mosaicking.sky_levels import SkyResult
from snakewebb.simulate import observation as simulate
from snakewebb.simulate.presets import preset
from snakewebb.sources import segmentation_map
from snakewebb.sources.mosaic import MosaicFile
from snakewebb.wcs.sphere import to_plane
from snakewebb.workflow import associations
from workflow import snakemake

DRIZZLE = {"pixfrac": 1.0, "kernel": "square", "fillval": "NAN", "weight_type": "ivm"}


def truth_of(observations, name):
    return observations[name].parent / "truth"


def read(path):
    """Open a product as the reference pipeline does, with all warnings errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return datamodels.open(path)


PICTURES = ("mosaic", "sources", "alignment", "placements", "sky", "outliers", "worst")
PICTURES += ("residuals", "depth")
PLOTS = (
    *(f"{name}.png" for name in PICTURES),
    "status.html",
    "quality.html",
    "page.html",
    "picture.html",
)
CATALOG = ("cat.ecsv", "cat.fits", "cat.reg")
QUALITY = ("quality.ecsv", "quality_exposures.ecsv", "depth.fits")


def test_all_products_are_there_under_their_names(results, names):
    for product in names.values():
        made = {path.name for path in (results / product.name).iterdir()}
        suffixes = ("i2d.fits", "cat.ecsv", "cat.fits", "cat.reg", "segm.fits", *QUALITY)
        wanted = {f"{product.name}_{suffix}" for suffix in suffixes}
        wanted |= {f"{e}_{product.asn_id}_crf.fits" for e in product.of_type("science")}
        assert wanted <= made
        plots = {path.name for path in (results / product.name / "plots").iterdir()}
        assert plots == {f"{product.name}_{kind}" for kind in PLOTS}


def test_exposures_are_aligned(results, names, observations):
    product = names["field"]
    residuals = []
    for name in product.of_type("science"):
        with read(results / product.name / f"{name}_o001_crf.fits") as model:
            assert model.meta.cal_step.tweakreg == "COMPLETE"
            notes = model.meta.snakewebb.tweakreg.instance
            assert 0.0 <= notes["error"] < 5.0
            assert 0.5 < notes["pull"] < 2.0
            assert notes["parameters"]["adjustment"] == "network"
            assert model.meta.wcs.available_frames[-2:] in (
                ["v2v3corr", "world"],
                ["v2v3vacorr", "world"],
            )
            ra, dec = model.meta.wcs(200.0, 200.0)
        truth = json.loads((truth_of(observations, "field") / f"{name}.json").read_text())
        with read(observations["field"].parent / f"{name}_cal.fits") as model:
            believed = model.meta.wcs(200.0, 200.0)
        from snakewebb.wcs.geometry import Correction

        true_sky = Correction.from_dict(truth["pointing"]).apply(*map(np.array, believed))
        residuals.append(
            np.subtract(to_plane(ra, dec, 53.16, -27.79), to_plane(*true_sky, 53.16, -27.79))
        )
    scatter = np.std(residuals, axis=0)
    assert np.hypot(*scatter) < 0.004, "arcsec; 80 mas before"


def test_the_catalogue_finds_places_in_exposures(results, names):
    product = names["field"]
    work = results / product.name / "work" / product.name
    grid = MosaicFile(results / product.name / f"{product.name}_i2d.fits").grid
    exposures = sorted((results / product.name).glob("*_crf.fits"))
    facts, alignment = f"{work}_facts.zip", f"{work}_alignment.json"
    for path, view in zip(exposures, views(grid, facts, alignment, *exposures), strict=True):
        there = np.array([[10.0, 20.0], [200.0, 150.0], [380.0, 30.0]])
        with read(path) as model:
            x, y = grid.sky_to_pixel(*model.meta.wcs(*there.T))
        np.testing.assert_allclose(view.to_pixels(x, y), there, atol=0.02)
        x0, x1, y0, y1 = view.box
        assert np.all((x > x0) & (x < x1) & (y > y0) & (y < y1))
        assert view.scale == pytest.approx(1, abs=0.01)


def test_sky_is_matched(results, names, observations):
    product = names["field"]
    levels, true = [], []
    for name in product.of_type("science"):
        header = fits.getheader(results / product.name / f"{name}_o001_crf.fits")
        levels.append(header["BKGLEVEL"])
        assert header["BKGSUB"] is False
        truth = json.loads((truth_of(observations, "field") / f"{name}.json").read_text())
        true.append(truth["sky"])
    assert min(levels) == 0.0
    assert np.std(np.subtract(levels, true)) < 5e-4


def test_cosmic_rays_are_flagged(results, names, observations):
    product = names["field"]
    found = strong = flagged = right = 0
    for name in product.of_type("science"):
        dq = fits.getdata(results / product.name / f"{name}_o001_crf.fits", "DQ")
        truth = np.load(truth_of(observations, "field") / f"{name}_cosmic_rays.npz")
        rays = np.zeros(dq.shape)
        rays[truth["y"], truth["x"]] = truth["significance"]
        outlier = (dq & OUTLIER) != 0
        assert not (outlier & ((dq & 1) == 0)).any()
        strong += ((rays > 10) & (rays < 30)).sum()
        found += (outlier & (rays > 10) & (rays < 30)).sum()
        flagged += outlier.sum()
        right += (outlier & (rays > 1)).sum()
    assert found > 0.95 * strong
    assert right > 0.95 * flagged


def test_mosaic_is_a_jwst_product(results, names):
    product = names["field"]
    path = results / product.name / f"{product.name}_i2d.fits"
    with fits.open(path) as hdus:
        assert [hdu.name for hdu in hdus] == [
            *("PRIMARY", "SCI", "ERR", "CON", "WHT", "VAR_POISSON", "VAR_RNOISE", "VAR_FLAT"),
            *("VAR_PIXEL", "NOISE_CORR", "HDRTAB", "ASDF"),
        ]
        wcs = WCS(hdus["SCI"].header, fix=False)
        assert hdus["SCI"].header["BUNIT"] == "MJy/sr"
        assert len(hdus["HDRTAB"].data) == 4
        context = hdus["CON"].data
        assert context.shape[0] == 1
        assert context.max() == 0b1111
        assert np.array_equal(np.isfinite(hdus["SCI"].data), hdus["WHT"].data > 0)
    with read(path) as model:
        x, y = np.array([3.0, 250.0]), np.array([77.0, 100.5])
        np.testing.assert_allclose(model.meta.wcs(x, y), wcs.all_pix2world(x, y, 0), atol=1e-9)
        assert model.meta.cal_step.resample == "COMPLETE"
        assert model.meta.resample.pointings == 4
        assert model.meta.exposure.exposure_time == pytest.approx(4000.0)
        assert model.meta.asn.table_name == product.table
        assert model.meta.wcsinfo.s_region.startswith("POLYGON ICRS")


def test_catalogue_finds_the_stars(results, names, observations):
    product = names["field"]
    found = Table.read(results / product.name / f"{product.name}_cat.ecsv")
    true = Table.read(next(truth_of(observations, "field").glob("*_sources.ecsv")))
    stars = true[(true["type"] == "star") & (true["flux"] > np.quantile(true["flux"], 0.8))]
    xi, eta = to_plane(np.array(stars["ra"]), np.array(stars["dec"]), 53.16, -27.79)
    mosaic = fits.getdata(results / product.name / f"{product.name}_i2d.fits", "WHT")
    wcs = WCS(fits.getheader(results / product.name / f"{product.name}_i2d.fits", "SCI"), fix=False)
    x, y = wcs.all_world2pix(stars["ra"], stars["dec"], 0)
    inside = (x > 10) & (y > 10) & (x < mosaic.shape[1] - 10) & (y < mosaic.shape[0] - 10)
    sky = found["sky_centroid"]
    tree = cKDTree(np.column_stack(to_plane(sky.ra.deg, sky.dec.deg, 53.16, -27.79)))
    distance, _ = tree.query(np.column_stack((xi, eta))[inside])
    # The frame is that of the first exposure, 80 mas off.
    assert np.mean(distance < 0.3) > 0.9
    detection = fits.getdata(results / product.name / f"{product.name}_segm.fits", "SCI")
    assert detection.max() == len(found)


def test_detectors_of_an_exposure_move_together_but_for_their_placements(results, names):
    product = names["modules"]
    path = results / product.name / "work" / f"{product.name}_alignment.json"
    exposures = json.loads(path.read_text())["exposures"]
    assert len(exposures) == 4
    assert len({entry["group"] for entry in exposures.values()}) == 2
    moves = {}
    for name, entry in exposures.items():
        assert entry["status"] == "COMPLETE"
        move = Affine(*(np.array(entry["correction"][key]) for key in ("matrix", "shift")))
        moves.setdefault(name.rpartition("_")[2], []).append(move)
    # From the one to the other exposure both turn and move alike, wherever they are placed.
    one, other = (second.after(first.inverse()) for first, second in moves.values())
    assert np.abs(one.matrix - other.matrix).max() < 1e-9
    assert np.abs(one.shift - other.shift).max() < 0.003


def test_moving_target_comes_to_rest(results, names, observations):
    product = names["moving"]
    places = []
    for name in product.of_type("science"):
        with read(results / product.name / f"{name}_o001_crf.fits") as model:
            assert model.meta.cal_step.assign_mtwcs == "COMPLETE"
            assert model.meta.cal_step.tweakreg is None
            assert model.meta.wcs.available_frames[-1] == "moving_target"
            assert model.meta.wcsinfo.mt_avra is not None
            to_moving = model.meta.wcs.get_transform("world", "moving_target")
            places.append(to_moving(model.meta.wcsinfo.mt_ra, model.meta.wcsinfo.mt_dec))
    assert np.ptp(places, axis=0).max() < 1e-7


def test_single_exposure_is_an_association_of_one(results, names):
    name = next(iter(names["field"].of_type("science")))
    made = {path.name for path in (results / name).iterdir() if path.is_file()}
    products = ("a3001_crf.fits", "i2d.fits", "segm.fits", *CATALOG, *QUALITY)
    assert made == {f"{name}_{product}" for product in products}
    plots = {path.name for path in (results / name / "plots").iterdir()}
    assert plots == {f"{name}_{kind}" for kind in PLOTS}
    with read(results / name / f"{name}_i2d.fits") as model:
        assert model.meta.resample.pointings == 1
        assert model.meta.asn.table_name == "none"
        steps = model.meta.cal_step
        assert {steps.tweakreg, steps.skymatch, steps.outlier_detection} == {"SKIPPED"}
    page = (results / name / "plots" / f"{name}_status.html").read_text()
    for step in ("tweakreg", "skymatch", "outlier_detection"):
        assert f"{step}: there is one exposure only" in page


def test_product_of_files_with_parameters_of_its_own(results, names, observations):
    folder = results / "pair"
    (product,) = associations.read(folder / "pair_asn.json")
    assert list(product.of_type("science")) == list(names["field"].of_type("science"))[:2]
    header = fits.getheader(folder / "pair_i2d.fits", "SCI")
    assert header["CDELT1"] == pytest.approx(0.1 / 3600)
    assert header["PC1_1"] == pytest.approx(-1.0)
    for name in product.of_type("science"):
        with read(folder / f"{name}_a3001_crf.fits") as model:
            assert model.meta.cal_step.outlier_detection == "SKIPPED"
            assert model.meta.cal_step.tweakreg == "SKIPPED"
            assert model.meta.background.subtracted
            sky = np.nanmedian(model.data)
        path = observations["field"].parent / f"{name}_cal.fits"
        before = np.nanmedian(fits.getdata(path, "SCI"))
        assert sky == pytest.approx(before - model.meta.background.level, abs=1e-4)


def test_one_exposure_rectified_by_name(results, names):
    product = names["field"]
    name = list(product.of_type("science"))[1]
    target = f"results/{product.name}/{name}_o001_i2d.fits"
    snakemake(results.parent, target)
    with read(results.parent / target) as model:
        assert model.meta.wcs.available_frames == ["detector", "world"]
        assert np.isfinite(model.data).mean() > 0.9


def test_mistakes_end_in_one_line(tmp_path):
    done = snakemake(tmp_path, "-n", check=False, assocations=[])
    assert done.returncode != 0
    line = "snakewebb: assocations: unknown key: did you mean associations?"
    assert done.stderr.splitlines()[-1] == line
    assert not (tmp_path / "results").exists()


def test_wcs_of_real_surveys_go_through_the_grid(real_data, tmp_path):
    """Scenes on 4 real detectors' WCS, through the whole workflow."""
    chosen = sorted((real_data / "ceers_wcs").glob("*_04201_*_nrcalong_*.asdf"))[:3]
    frames = []
    for path in chosen:
        with asdf.open(path, lazy_load=False) as file:
            frames.append({"NRCALONG": (file["wcs"], dict(file["wcsinfo"]))})
    observation = replace(
        preset("nircam-f356w"), dithers=(), wcs=tuple(frames), stars=150, galaxies=30,
        pointing_error=20.0,
    )  # fmt: skip
    asn = simulate.write(observation, tmp_path / "data")
    (product,) = associations.read(asn)
    folder = tmp_path / "run"
    folder.mkdir()
    snakemake(folder, associations=[str(asn)], steps={"source_catalog": {"deblend": False}})
    with read(folder / "results" / product.name / f"{product.name}_i2d.fits") as model:
        assert model.meta.resample.pointings == 3
        assert np.isfinite(model.data).mean() > 0.5
    work = folder / "results" / product.name / "work"
    alignment = AlignmentResult.read(work / f"{product.name}_alignment.json")
    assert {e.status for e in alignment.exposures.values()} == {"COMPLETE"}


def test_snakemake_finds_nothing_to_complain(results):
    assert "in a good condition" in snakemake(results.parent, "--lint").stderr


def test_report_shows_every_picture(results, names):
    snakemake(results.parent, "--report", "report.html")
    page = (results.parent / "report.html").read_text()
    for product in names.values():
        kinds = ("mosaic", "sources", "alignment", "sky", "outliers", "status")
        for kind in (*kinds, "quality", "residuals", "depth"):
            assert f"{product.name}_{kind}" in page


def test_no_script_reads_the_whole_configuration(repo):
    for script in (repo / "scripts").glob("*.py"):
        assert "snakemake.config" not in script.read_text(), script


def test_every_rule_has_log_environment_and_code(repo):
    for path in (repo / "rules").glob("*.smk"):
        for rule in path.read_text().split("\nrule ")[1:]:
            words = ["log:", "conda:", "message:"]
            if not rule.startswith(("kernels:", "query:", "fetch:")):
                words.append("code=code(")
            for word in words:
                assert word in rule, (path.name, rule.split(":")[0], word)


def test_the_default_profile_compares_code_by_content(repo):
    profile = yaml.safe_load((repo / "profiles" / "default" / "profile.yaml").read_text())
    assert "code" not in profile["rerun-triggers"]


def test_results_do_not_depend_on_threads_bands_and_pieces(
    results, names, observations, tmp_path, monkeypatch
):
    product, folder = names["field"], results / names["field"].name
    work = folder / "work" / product.name
    facts, alignment = f"{work}_facts.zip", f"{work}_alignment.json"
    layout = AlignmentResult.read(alignment).layout
    calibrated = [observations["field"].parent / f"{name}_cal.fits" for name in layout.placements]
    flagged = [folder / f"{name}_{product.asn_id}_crf.fits" for name in layout.placements]
    monkeypatch.setattr(bands, "MEMORY", 3_000_000)
    monkeypatch.setattr(segmentation_map, "PIECE", 10_000)

    sky = tmp_path / "sky.json"
    match_exposures(calibrated, facts, alignment, sky, threads=3)
    assert SkyResult.read(sky).exposures == SkyResult.read(f"{work}_sky.json").exposures

    write_median(calibrated, facts, alignment, tmp_path / "median.fits", sky=sky, threads=3)
    same_pixels(tmp_path / "median.fits", f"{work}_median.fits")

    made = tmp_path / f"{product.name}_i2d.fits"
    write_mosaic(flagged, facts, alignment, made, step={"drizzle": DRIZZLE}, threads=3)
    same_pixels(made, folder / made.name)

    catalog, segm = tmp_path / "cat.ecsv", tmp_path / "segm.fits"
    made_of = [facts, alignment, *flagged]
    make_catalog(folder / made.name, (catalog, segm), made_of=made_of, threads=3)
    same_pixels(segm, f"{folder / product.name}_segm.fits")
    tables = [p.read_text() for p in (catalog, folder / f"{product.name}_cat.ecsv")]
    ours, theirs = ([row for row in t.splitlines() if row[0] != "#"] for t in tables)
    assert ours == theirs


def same_pixels(path, other):
    with fits.open(path) as ours, fits.open(other) as theirs:
        for one, two in zip(ours, theirs, strict=True):
            if one.is_image and one.data is not None:
                assert one.data.tobytes() == two.data.tobytes(), one.name
