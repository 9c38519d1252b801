"""The jobs of imaging, one after another: files in, files out."""

import inspect
import json
import re
import zipfile
from dataclasses import replace
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable
from numpy.testing import assert_array_equal

from chain import image3
from sealed import check_sealed
from snakewebb.errors import InputError
from snakewebb.io import bands
from snakewebb.io.dq import OUTLIER
from snakewebb.jobs import i2d
from snakewebb.jobs.crf import finish_exposure
from snakewebb.jobs.find_sources import describe_exposure
from snakewebb.jobs.i2d import write_mosaic
from snakewebb.jobs.skymatch import match_exposures
from snakewebb.mosaicking.outlier_detection import WORST_ALIGNMENT
from snakewebb.mosaicking.surroundings import Surroundings
from snakewebb.report.exposure_figures import plot_exposures
from snakewebb.simulate import observation as simulate
from snakewebb.simulate.presets import preset
from snakewebb.sources.covariance import read_covariance
from snakewebb.workflow.associations import read, write_association
from workflow import REPO

FIELD = replace(preset("nircam-f356w", npix=200), stars=120, galaxies=0)
RULES = (REPO / "rules" / "image3.smk").read_text().split("\nrule ")[1:]


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """Two exposures."""
    folder = tmp_path_factory.mktemp("jobs")
    simulate.write(replace(FIELD, dithers=FIELD.dithers[:2]), folder)
    return sorted(folder.glob("*_cal.fits"))


@pytest.fixture(scope="module")
def made(paths):
    """The folder with what the jobs made of them."""
    folder = paths[0].parent / "made"
    image3(folder, paths, catalog=True)
    return folder


def names(paths):
    return [path.name.removesuffix("_cal.fits") for path in paths]


def test_find_sources_writes_what_later_jobs_need(paths, tmp_path):
    describe_exposure(paths[0], tmp_path / "x.json", group_id="own", step={"brightest": 7})
    text = (tmp_path / "x.json").read_text()
    assert '"own"' in text
    sources = json.loads(text)["sources"]
    assert {len(column) for column in sources.values()} == {7}


def test_align_keeps_every_exposure_in_one_file(paths, made):
    assert zipfile.ZipFile(made / "facts.zip").namelist() == names(paths)
    alignment = json.loads((made / "alignment.json").read_text())
    assert [e["status"] for e in alignment["exposures"].values()] == ["COMPLETE"] * 2


def test_skymatch_keeps_its_parameters(paths, made, tmp_path):
    step = {"skymethod": "local", "match_down": False, "nclip": 3}
    files = made / "facts.zip", made / "alignment.json"
    match_exposures(paths, *files, tmp_path / "sky.json", skylist=[], step=step)
    found = json.loads((tmp_path / "sky.json").read_text())
    assert found["parameters"] == step
    assert found["skymethod"] == "local"


def test_crf_says_what_was_done(paths, made):
    with fits.open(made / f"{names(paths)[0]}_o001_crf.fits") as hdus:
        header = hdus[0].header
    assert [header[key] for key in ("S_TWKREG", "S_SKYMAT", "S_OUTLIR")] == ["COMPLETE"] * 3
    assert 0 < header["SWB_OUTL"] < 0.1


def crf(path, paths, made, target, siblings):
    """Flags of an exposure, made with some siblings."""
    name = path.name.removesuffix("_cal.fits")
    finish_exposure(
        path,
        target,
        facts=made / f"{name}_facts.json",
        alignment=made / "alignment.json",
        siblings=siblings,
        sky=made / "sky.json",
        median=made / "median.fits",
        step={"sip": None, "asn": {"pool_name": "p"}},
    )
    assert fits.getheader(target)["ASNPOOL"] == "p"
    return fits.getdata(target, "DQ") & OUTLIER != 0


def test_crf_knows_how_well_its_exposure_is_aligned(paths, made, tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(
        Surroundings,
        "explain",
        lambda self, image, noise, error, *_: told.append(error) or 0 * noise,
    )
    crf(paths[0], paths, made, tmp_path / "a_crf.fits", paths[1:])
    alignment = json.loads((made / "alignment.json").read_text())
    rms = alignment["exposures"][names(paths)[0]]["rms_after"]
    area = fits.getheader(paths[0], "SCI")["PIXAR_A2"]
    assert told == [pytest.approx(rms / 1000 / np.sqrt(area), rel=0.02)]
    assert 0 < told[0] < WORST_ALIGNMENT


def test_siblings_tell_what_is_noisy(tmp_path):
    """Those of the same pixels, whatever their files are called."""
    field = replace(FIELD, noisy_fraction=0.03, cosmic_ray_rate=0.0, stars=60)
    simulate.write(field, tmp_path)
    paths = sorted(tmp_path.glob("*_cal.fits"))
    made = tmp_path / "made"
    image3(made, paths)
    found = crf(paths[0], paths, made, tmp_path / "a_crf.fits", paths[1:3])
    assert found.sum() < 3
    others = []
    for path, key, value in ((paths[1], "DETECTOR", "NRCBLONG"), (paths[2], "SUBSTRT1", 1)):
        with fits.open(path) as hdus:
            hdus[0].header[key] = value
            hdus.writeto(tmp_path / f"{key}.fits")
        others.append(tmp_path / f"{key}.fits")
    small = tmp_path / "small.fits"  # a subarray in the same corner
    with fits.open(paths[1]) as hdus:
        for name in ("SCI", "ERR", "DQ", "VAR_RNOISE"):
            hdus[name].data = hdus[name].data[:-20]
        hdus.writeto(small)
    others.append(small)
    strange = crf(paths[0], paths, made, tmp_path / "b_crf.fits", others)
    alone = crf(paths[0], paths, made, tmp_path / "c_crf.fits", [])
    assert alone.sum() > 50
    np.testing.assert_array_equal(strange, alone)


def test_i2d_of_some_exposures(paths, made, tmp_path):
    alone = made / f"{names(paths)[1]}_o001_crf.fits"
    files = made / "facts.zip", made / "alignment.json"
    drizzle = {"pixfrac": 1.0, "kernel": "square", "fillval": "NAN", "weight_type": "ivm"}
    step = {"drizzle": drizzle, "i2d": {"report_var": False}}
    write_mosaic([alone], *files, tmp_path / "one.fits", step=step, asn={"pool_name": "p"})
    with fits.open(tmp_path / "one.fits") as hdus, fits.open(made / "x_i2d.fits") as both:
        assert "VAR_RNOISE" in both
        assert "VAR_RNOISE" not in hdus
        assert hdus[0].header["ASNPOOL"] == "p"
        assert np.isfinite(hdus["SCI"].data).sum() < np.isfinite(both["SCI"].data).sum()


def test_the_noise_of_a_mosaic_is_optional_and_the_same_however_it_is_made(
    paths, made, tmp_path, monkeypatch
):
    crfs = [made / f"{name}_o001_crf.fits" for name in names(paths)]
    files = made / "facts.zip", made / "alignment.json"
    monkeypatch.setattr(i2d, "CELLS", 1)
    monkeypatch.setattr(bands, "MEMORY", 1_000_000)
    write_mosaic(crfs, *files, tmp_path / "two.fits", threads=2)
    step = {"i2d": {"report_noise": False}}
    write_mosaic(crfs, *files, tmp_path / "none.fits", step=step)
    step = {"drizzle": {"enable_err": False}}
    write_mosaic(crfs, *files, tmp_path / "no_err.fits", step=step)
    step = {"drizzle": {"kernel": "turbo"}}
    write_mosaic(crfs, *files, tmp_path / "turbo.fits", step=step)
    noise = {"VAR_PIXEL", "NOISE_CORR"}
    with fits.open(made / "x_i2d.fits") as one, fits.open(tmp_path / "two.fits") as two:
        whole = {hdu.name for hdu in one}
        assert noise <= whole
        for name in whole - {"PRIMARY", "ASDF", "HDRTAB"}:
            assert_array_equal(one[name].data, two[name].data)
            assert one[name].header == two[name].header
    for other in ("none", "turbo"):
        with fits.open(tmp_path / f"{other}.fits") as hdus:
            assert {hdu.name for hdu in hdus} == whole - noise
    with fits.open(tmp_path / "no_err.fits") as hdus:
        assert not noise & {hdu.name for hdu in hdus}
    assert QTable.read(made / "x_cat.ecsv").meta["errors"] == "of ERR and NOISE_CORR"


def test_products_are_whole_and_say_who_made_them(made):
    products = sorted(made.glob("x_*.fits")) + sorted(made.glob("*_crf.fits"))
    assert len(products) > 4
    for path in products:
        check_sealed(path)


def test_the_error_of_a_sum_is_what_the_page_says(made, tmp_path, monkeypatch):
    """The library's three lines, and those without it, give the same."""
    own, plain = re.findall(
        r"```python\n(.*?)```", (REPO / "docs" / "errors.md").read_text(), re.DOTALL
    )
    (tmp_path / "product_i2d.fits").symlink_to(made / "x_i2d.fits")
    monkeypatch.chdir(tmp_path)
    with fits.open("product_i2d.fits") as hdus:
        y, x = np.indices(hdus["SCI"].shape)
        side = int(hdus["NOISE_CORR"].header["CDELT3"])
    radius = np.hypot(x - 1.4 * side, y - 1.6 * side)
    circle = np.clip(5.5 - radius, 0, 1)
    annulus = (radius > 9) & (radius < 13)
    for weights in (circle, circle - circle.sum() * annulus / annulus.sum()):
        space = {"weights": weights, "j": 1, "i": 1}
        exec(own, space)
        expected = space["error"]
        exec(plain, space)
        assert space["error"] == pytest.approx(expected, rel=1e-5)
    with pytest.raises(InputError, match="has no ERR and NOISE_CORR: make it with"):
        read_covariance(next(made.glob("*_crf.fits")))


def test_write_association_is_read_again(paths, tmp_path):
    target = tmp_path / "x_asn.json"
    write_association(target, "x", {"science": [str(path) for path in paths], "psf": []})
    (product,) = read(target)
    assert list(product.of_type("science")) == names(paths)


def test_plot_exposures_draws_all(paths, made, tmp_path):
    kinds = dict.fromkeys(("alignment", "placements", "sky", "outliers", "worst"), "png")
    kinds["status"] = "html"
    out = SimpleNamespace(**{kind: tmp_path / f"{kind}.{end}" for kind, end in kinds.items()})
    crfs = [made / f"{name}_o001_crf.fits" for name in names(paths)]
    plot_exposures(out, alignment=made / "alignment.json", sky=[], exposures=crfs, originals=crfs)
    assert all(path.stat().st_size for path in vars(out).values())
    page = out.status.read_text()
    assert "could not be drawn" not in page
    assert all(name in page for name in names(paths))


@pytest.mark.parametrize("rule", [rule for rule in RULES if not rule.startswith("kernels")])
def test_a_rule_gives_its_job_what_that_takes(rule):
    (script,) = re.findall(r'scripts/(\w+)\.py"', rule)
    text = (REPO / "scripts" / f"{script}.py").read_text()
    assert len(text.splitlines()) <= 10
    assert re.fullmatch(r"(.|\n)*\nwith job\(snakemake.log\[0\]\):\n    \w+\((.|\n)*\)\n", text)
    ((module, function),) = re.findall(r"from (snakewebb\.(?!workflow\.job).*) import (\w+)", text)
    taken = inspect.signature(getattr(import_module(module), function)).parameters
    for section in ("input", "output", "params"):
        block = re.match(r"(        .*\n)*", rule.partition(f"    {section}:\n")[2])[0]
        given = set(re.findall(r"^        (\w+)=", block, re.MULTILINE)) - {"code", "kernels"}
        assert given <= set(taken), (section, given)
    assert len(taken) <= 8
