"""Fields that have run: what is in their files, and what runs again after a change."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable, Table

from snakewebb.astrometry.alignment import AlignmentResult
from snakewebb.errors import InputError
from snakewebb.io import names as association
from workflow import planned, snakemake, table

FIELD = "fields/egs/egs"
OF_FIELD = {("field_detection", "egs"), ("field_catalog", "egs"), ("plot_rgb", "egs"), ("all",)}
ALIGNED = {"align", "skymatch", "median", "crf", "plot_exposures"}
MOSAIC = {"i2d", "plot_mosaic", "source_catalog", "plot_sources", "quality", "plot_quality"}
MOSAIC |= {"plot_page"}


@pytest.fixture(scope="module")
def filters(tmp_path_factory):
    """Three filters of one sky, one of them by MIRI; associations by name."""
    from snakewebb.simulate.observation import believed_frames, random_sources, write
    from snakewebb.simulate.presets import MIRI_DITHERS, preset

    folder = tmp_path_factory.mktemp("filters")
    field = preset("nircam-f356w", npix=200)
    field = replace(field, stars=40, galaxies=5, dithers=field.dithers[:2], pointing_error=5.0)
    frames = [frame for frames in believed_frames(field) for frame in frames]
    field = replace(field, sources=random_sources(field, frames))
    bright = field.sources.copy()
    bright["flux"] *= 50
    return {
        "a": write(field, folder / "a"),
        "b": write(replace(field, filter="F277W", number=2), folder / "b"),
        "c": write(
            replace(
                field, detectors=("MIRIMAGE",), filter="F770W", number=3, sources=bright, npix=160,
                dithers=MIRI_DITHERS[:2],
            ),
            folder / "c",
        ),
    }  # fmt: skip


@pytest.fixture(scope="module")
def products(filters):
    from snakewebb.workflow import associations

    return {name: associations.read(path)[0] for name, path in filters.items()}


@pytest.fixture(scope="module")
def config(filters, products):
    """A function: the configuration of some filters in a field, of which ``a`` is the frame."""

    def of(names="ab", **entry):
        own = {"products": [products[name].name for name in names], "pixel_scale": 0.05}
        own |= {"frame": [products["a"].name], **entry}
        return {
            "associations": [str(filters[n]) for n in names],
            "fields": {"egs": own},
            "steps": {"tweakreg": {"minobj": 6, "abs_minobj": 6}},
        }

    return of


@pytest.fixture(scope="module")
def made(tmp_path_factory, config, checkout):
    """The folder in which the field of ``a`` and ``b`` has run."""
    folder = tmp_path_factory.mktemp("field")
    snakemake(folder, repo=checkout, **config())
    return folder


@pytest.fixture(scope="module")
def plan(made, checkout):
    """A function: the jobs that would run now."""

    def of(**changed):
        return planned(made, repo=checkout, **changed)

    return of


def of_product(jobs, product):
    return {job[0] for job in jobs if product.name in job[1:]}


def of_field(jobs):
    return {job for job in jobs if "egs" in job[1:] or job == ("all",)}


def test_mosaics_lie_on_one_grid(made, products):
    headers = [
        fits.getheader(made / f"results/{products[n].name}/{products[n].name}_i2d.fits", "SCI")
        for n in "ab"
    ]
    headers += [
        fits.getheader(made / f"results/{FIELD}_{n}.fits", "SCI") for n in ("segm", "detection")
    ]
    keys = {
        key for key in headers[0] if key.startswith(("NAXIS", "CR", "CD", "PC", "CTYPE", "CUNIT"))
    }
    assert {"NAXIS1", "CRPIX1", "CRVAL2", "CDELT1", "PC2_1"} <= keys
    for header in headers[1:]:
        assert {key: header[key] for key in keys if key != "PCOUNT"} == {
            key: headers[0][key] for key in keys if key != "PCOUNT"
        }
    assert headers[0]["CDELT1"] * 3600 == pytest.approx(0.05, abs=1e-9)
    assert headers[0]["PIXAR_SR"] == headers[1]["PIXAR_SR"]


def test_what_is_beside_the_frame_is_aligned_to_its_stars(made, products):
    own = made / f"results/{products['b'].name}/work/{products['b'].name}_alignment.json"
    result = AlignmentResult.read(own)
    assert [each.status for each in result.exposures.values()] == ["COMPLETE", "COMPLETE"]
    (island,) = result.islands
    assert island.status == "COMPLETE"
    assert island.n_matches >= 3
    assert island.rms < 5.0
    assert result.reference["file"] == "egs_stars.ecsv"


def test_the_catalogue_has_all_filters(made, products):
    catalog = QTable.read(made / f"results/{FIELD}_cat.ecsv", format="ascii.ecsv")
    assert len(catalog) > 5
    for name in ("F277W", "F356W"):
        assert np.isfinite(catalog[f"{name}_aper50_flux"].value).mean() > 0.9
        assert catalog.meta["filters"][name]["source"].startswith("model of the PSF")
    assert catalog.meta["source_catalog"]["reason"] == ""
    assert "F277W-F356W" in catalog.colnames
    labels = fits.getdata(made / f"results/{FIELD}_segm.fits", "SCI")
    assert set(np.unique(labels)) == {0, *catalog["label"]}
    own = f"results/{products['a'].name}/{products['a'].name}_cat.ecsv"
    alone = QTable.read(made / own, format="ascii.ecsv")
    _, distance, _ = catalog["sky_centroid"].match_to_catalog_sky(alone["sky_centroid"])
    same = distance.arcsec < 0.05
    assert same.sum() > 5
    assert (made / f"results/{FIELD}_rgb.png").stat().st_size > 5000


def test_the_catalogue_has_the_forms_of_a_products(made):
    catalog = QTable.read(made / f"results/{FIELD}_cat.ecsv", format="ascii.ecsv")
    table = Table.read(made / f"results/{FIELD}_cat.fits")
    for name in ("label", "F277W_aper50_flux", "F277W-F356W", "F277W_n_exposures"):
        np.testing.assert_array_equal(np.asarray(table[name]), np.asarray(catalog[name]))
    np.testing.assert_allclose(table["ra_centroid"], catalog["sky_centroid"].ra.deg, rtol=1e-12)
    for name in ("F277W", "F356W"):
        assert set(catalog[f"{name}_n_exposures"]) == {1, 2}
    regions = (made / f"results/{FIELD}_cat.reg").read_text()
    radius = 0.05 * catalog.meta["aperture_params"]["aperture_radii"][-1]
    assert regions.count(f',{radius:.3f}")') == len(catalog)


def test_one_more_filter_makes_itself_and_the_catalogue(plan, config, products):
    assert plan(**config()) == set()
    jobs = plan(**config("abc"))
    assert not of_product(jobs, products["a"])
    assert not of_product(jobs, products["b"])
    assert of_product(jobs, products["c"]) >= ALIGNED | MOSAIC | {"find_sources"}
    assert of_field(jobs) == OF_FIELD
    seen = config("abc", detection=[products[n].name for n in "ab"])
    assert of_field(plan(**seen)) == OF_FIELD - {("field_detection", "egs")}


def test_it_runs_with_a_filter_of_another_instrument(made, config, products, tmp_path, checkout):
    folder = shutil.copytree(made, tmp_path / "copy")
    snakemake(folder, repo=checkout, **config("abc"))
    catalog = QTable.read(folder / f"results/{FIELD}_cat.ecsv", format="ascii.ecsv")
    assert list(catalog.meta["filters"]) == ["F277W", "F356W", "F770W"]
    name = products["c"].name
    header = fits.getheader(folder / f"results/{name}/{name}_i2d.fits", "SCI")
    before = fits.getheader(folder / f"results/{FIELD}_segm.fits", "SCI")
    assert [header[k] for k in ("NAXIS1", "CRPIX2")] == [before[k] for k in ("NAXIS1", "CRPIX2")]


@pytest.mark.parametrize(("name", "others"), [("b", set()), ("a", ALIGNED | MOSAIC)])
def test_a_changed_exposure_leaves_other_mosaics_alone(
    plan, config, products, filters, name, others
):
    """Unless they are aligned to it, on a grid that it spans."""
    path = sorted(filters[name].parent.glob("*_cal.fits"))[0]
    content, times = path.read_bytes(), path.stat()
    with fits.open(path, mode="update") as hdus:
        hdus["SCI"].data[5, 5] += 1
    try:
        jobs = plan(**config())
    finally:
        path.write_bytes(content)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert of_product(jobs, products[name]) == ALIGNED | MOSAIC | {"find_sources"}
    (other,) = {"a", "b"} - {name}
    assert of_product(jobs, products[other]) == others
    frame = {(rule, "egs") for rule in ("solve_field", "field_stars", "field_grid")}
    assert of_field(jobs) == OF_FIELD | (frame if name == "a" else set())
    exposure = association.exposure_name(path)
    assert sum(job[0] == "find_sources" for job in jobs) == 1
    assert ("find_sources", products[name].name, exposure) in jobs


def test_parameters(plan, config, products):
    rules = {key: set(rules) for section, keys, rules in table("Fields") for key in keys}
    assert set(rules) == {"pixel_scale", "frame", "detection", "source_catalog", "products"}
    everything = [products[n].name for n in "ab"]
    changes = {
        "pixel_scale": config(pixel_scale=0.06),
        "frame": config(frame=everything[1:]),
        "detection": config(detection=everything[:1]),
        "source_catalog": {
            **(given := config()),
            "steps": {**given["steps"], "source_catalog": {"ci1_star_threshold": 1.5}},
        },
    }
    assert plan(**config(detection=everything)) == set(), "the default, written out"
    for key, change in changes.items():
        jobs = plan(**change)
        found = {job[0] for job in of_field(jobs)} - {"all"}
        assert found == rules[key] - {"i2d", "align"}, key
        mosaics = {job[1:] for job in jobs if job[0] == "i2d"}
        expected = {(name,) for name in everything} if "i2d" in rules[key] else set()
        assert mosaics == expected, key
        aligned = {job[1] for job in jobs if job[0] == "align"}
        assert aligned == (set(everything) if "align" in rules[key] else set()), key


def test_products_that_do_not_overlap(tmp_path, filters, products, observations):
    from snakewebb.workflow import associations

    far = associations.read(observations["modules"])[0].name
    own = {"products": [products["a"].name, far]}
    asked = [str(filters["a"]), str(observations["modules"])]
    grid = "results/fields/egs/work/egs_grid.asdf"
    failed = snakemake(tmp_path, grid, check=False, associations=asked, fields={"egs": own})
    assert failed.returncode == 1
    assert f"{far}: does not overlap with {products['a'].name}: take it out of" in failed.stderr
    assert not Path(tmp_path, grid).exists()


@pytest.fixture
def mosaics(made, products, tmp_path):
    """Copies of the mosaics of ``a`` and ``b``."""
    copies = []
    for name in "ab":
        own = products[name].name
        copies.append(shutil.copyfile(made / f"results/{own}/{own}_i2d.fits", tmp_path / name))
    return copies


def test_mosaics_of_other_grids_and_moving_targets_are_refused(mosaics):
    from snakewebb.jobs.field_detection import open_mosaics

    assert [image.instrument["filter"] for image in open_mosaics(mosaics, "ab")] == [
        "F356W",
        "F277W",
    ]
    with fits.open(mosaics[1], mode="update") as hdus:
        hdus["SCI"].header["CRPIX1"] += 0.5
    with pytest.raises(InputError, match="b: its mosaic lies on another grid than that of a"):
        open_mosaics(mosaics, "ab")
    fits.setval(mosaics[1], "TARGTYPE", value="MOVING")
    with pytest.raises(InputError, match="b: follows a moving target: take its product out of"):
        open_mosaics(mosaics, "ab")


def test_a_mosaic_of_failed_alignment_is_told_of(made, mosaics, products, tmp_path):
    from snakewebb.jobs.field_catalog import catalog_field

    fits.setval(mosaics[1], "S_TWKREG", value="FAILED")
    names = [products[name].name for name in "ab"]
    detection = made / f"results/{FIELD}_detection.fits"
    files = [tmp_path / name for name in ("cat.ecsv", "segm.fits")]
    status = catalog_field(detection, mosaics, *files, products=names)
    assert status["reason"].startswith(f"{names[1]}: tweakreg failed for some exposures")


def test_a_catalogue_does_not_depend_on_threads(made, mosaics, tmp_path):
    from snakewebb.jobs.field_catalog import catalog_field
    from snakewebb.jobs.field_detection import combine_mosaics

    contents = []
    for threads in (1, 3):
        paths = [tmp_path / f"{name}{threads}" for name in ("detection", "cat.ecsv", "segm")]
        combine_mosaics(mosaics, paths[0], products="ab", threads=threads)
        catalog_field(paths[0], mosaics, *paths[1:], products="ab", threads=threads)
        images = [fits.getdata(paths[0], name) for name in ("SCI", "ERR", "WHT", "NOISE_CORR")]
        contents.append((images, paths[1].read_text(), fits.getdata(paths[2], "SCI")))
    (images, text, labels), (others, other_text, other_labels) = contents
    for image, other in zip(images, others, strict=True):
        assert np.array_equal(image, other, equal_nan=True)
    assert text == other_text
    assert np.array_equal(labels, other_labels)
