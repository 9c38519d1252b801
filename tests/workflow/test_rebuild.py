"""What runs again after a change: exactly what docs/rebuild.md says."""

import contextlib
import json
import os
import shutil

import numpy as np
import pytest
import yaml
from astropy.io import fits
from snakemake.settings.types import ResourceSettings

from snakewebb.io import names as association
from workflow import REPO, another, planned, snakemake, table

IMAGING = table("Imaging")
SCHEMA = yaml.safe_load((REPO / "config" / "schema.yaml").read_text())["properties"]
CHAIN = ("find_sources", "align", "skymatch", "median", "crf", "i2d", "source_catalog", "quality")
OF_SCHEMA = {"drizzle": "i2d", "grid": "i2d", "exposure_i2d": "i2d"}
CATALOG = ("cat.ecsv", "cat.fits", "cat.reg", "segm.fits")
PICTURES = {"crf": "plot_exposures", "i2d": "plot_mosaic", "source_catalog": "plot_sources"}
PICTURES |= {"quality": "plot_quality", "completeness": "plot_completeness"}


@pytest.fixture(scope="module")
def plan(results, checkout):
    """A function: the jobs that a copy of the workflow elsewhere would run now."""

    def of(config=None, folder=results.parent, **changes):
        return planned(folder, repo=checkout, **{**(config or {}), **changes})

    return of


@pytest.fixture(scope="module")
def field(observations):
    """A configuration of one product alone."""
    return {"associations": [str(observations["field"])]}


@pytest.fixture(scope="module")
def everything(tmp_path_factory, checkout, config):
    """All jobs of all products, and those of one exposure's mosaic."""
    steps = {**config.get("steps", {}), "source_catalog": {"completeness": True}}
    more = {**config, "steps": steps, "exposure_i2d": True}
    return planned(tmp_path_factory.mktemp("empty"), repo=checkout, **more)


@pytest.fixture
def jobs(everything):
    """A function: all jobs of some rules, with their pictures, for a product."""

    def of(rules, product):
        rules = {*rules, *(PICTURES[rule] for rule in rules if rule in PICTURES)}
        rules |= {"plot_page"} if any(rule.startswith("plot_") for rule in rules) else set()
        chosen = {job for job in everything if job[0] in rules and product.name in job[1:]}
        return chosen | {("all",)} if chosen else set()

    return of


@pytest.fixture
def copy(results, tmp_path):
    """A copy of all results, in which more can be run."""
    return shutil.copytree(results.parent, tmp_path / "copy")


@contextlib.contextmanager
def edited(path, content):
    """Give a file other content for a while; afterwards it is as before, with its times."""
    before, times = path.read_bytes(), path.stat()
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    try:
        yield
    finally:
        path.write_bytes(before)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def after(*rules):
    """Return these rules and all of imaging that comes after the first of them."""
    first = min(CHAIN.index(rule) for rule in rules)
    return set(CHAIN[first:])


def test_nothing_is_planned_after_the_run_from_another_checkout(plan, config):
    assert plan(config) == set()


@pytest.fixture(scope="module")
def files(tmp_path_factory, observations, results, names):
    """Values of the parameters that name files."""
    folder = tmp_path_factory.mktemp("files")
    exposures = [path.name for path in observations["field"].parent.glob("*_cal.fits")]
    (folder / "catfile.txt").write_text("".join(f"{name} catalog.ecsv\n" for name in exposures))
    made = {"catfile": "catfile.txt", "abs_refcat": "catalog.ecsv", "output_wcs": "wcs_i2d.fits"}
    made |= {"apcorr": "apcorr.fits", "abvegaoffset": "offset.asdf", "skylist": "sky.txt"}
    for name in made.values():
        (folder / name).touch()
    table = fits.BinTableHDU.from_columns([fits.Column("a", "D")], name="APCORR")
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(folder / made["apcorr"], overwrite=True)
    (folder / made["abvegaoffset"]).write_bytes(b"#ASDF 1.0.0\n")
    name = names["modules"].name
    shutil.copyfile(results / name / f"{name}_i2d.fits", folder / made["output_wcs"])
    return {key: str(folder / name) for key, name in made.items()}


@pytest.mark.parametrize(("section", "keys", "rules"), IMAGING, ids=lambda value: str(value)[:40])
def test_parameters(plan, field, jobs, names, files, section, keys, rules):
    inside = SCHEMA["steps"]["properties"].get(section, SCHEMA.get(section, {"properties": SCHEMA}))
    schemas = {key: inside["properties"][key] for key in keys}
    # All are changed at once: each is one that the first of these rules has, by the schema.
    for schema in schemas.values():
        direct = [OF_SCHEMA.get(rule, rule) for rule in schema.get("rules", ())]
        direct = sorted({CHAIN.index(rule) for rule in direct if rule in CHAIN})
        unused = "matched_filter" not in schema.get("finders", ["matched_filter"])
        assert not direct or len(keys) == 1 or [CHAIN[direct[0]]] * (not unused) == rules[:1]
    values = {key: files.get(key) or another(key, schema) for key, schema in schemas.items()}
    if "skylist" in keys:
        values["skymethod"] = "user"
    if section is None:
        change = values
    elif section in SCHEMA:
        change = {section: values}
    else:
        change = {"steps": {section: values}}
    assert plan(field, **change) == jobs(rules, names["field"])


def test_every_parameter_of_imaging_is_in_the_table():
    listed = [(section, key) for section, keys, _ in IMAGING for key in keys if section]
    assert len(listed) == len(set(listed))
    for step, schema in SCHEMA["steps"]["properties"].items():
        if step not in ("align_refs", "klip", "contrast"):
            assert set(schema["properties"]) == {key for section, key in listed if section == step}


def test_two_values_swapped(plan, field, jobs, names):
    change = {"source_catalog": {"ci1_star_threshold": 1.8, "ci2_star_threshold": 2.0}}
    assert plan(field, steps=change) == jobs(["source_catalog"], names["field"])
    change = {"tweakreg": {"searchrad": 3.0, "sigma": 2.0}}
    assert plan(field, steps=change) == jobs(after("align"), names["field"])


def test_an_override_is_of_one_product(plan, config, jobs, names):
    own = {names["modules"].name: {"steps": {"source_catalog": {"snr_threshold": 9}}}}
    products = {**config["products"], **own}
    assert plan(config, products=products) == jobs(["source_catalog"], names["modules"])


def test_the_summary_tells_which_files_have_other_parameters(copy, field, names):
    name = names["field"].name

    def changed(**config):
        lines = snakemake(copy, "--summary", **config).stdout.splitlines()[1:]
        rows = [line.split("\t") for line in lines]
        assert len(rows) > 10
        return {row[0] for row in rows if row[-2] == "params changed"}

    assert changed(**field) == set()
    made = {f"results/{name}/{name}_{suffix}" for suffix in CATALOG}
    assert changed(**field, steps={"source_catalog": {"snr_threshold": 9}}) == made


@pytest.mark.parametrize("kind", ["facts.zip", "alignment.json", "sky.json", "median.fits"])
def test_what_is_deleted_is_made_again(plan, copy, field, jobs, names, kind):
    name = names["field"].name
    (copy / "results" / name / "work" / f"{name}_{kind}").unlink()
    rule = {"sky.json": "skymatch", "median.fits": "median"}.get(kind, "align")
    assert plan(field, copy) == jobs(after(rule), names["field"])


@pytest.mark.parametrize("kind", ["sky.png", "outliers.png", "status.html"])
def test_a_figure_that_is_deleted_is_drawn_again(plan, copy, field, names, kind):
    name = names["field"].name
    (copy / "results" / name / "plots" / f"{name}_{kind}").unlink()
    assert plan(field, copy) == {("plot_exposures", name), ("plot_page", name), ("all",)}


@pytest.mark.parametrize(
    ("step", "change", "rule"),
    [
        ("skymatch", {"skymethod": "user", "skylist": "bad.txt"}, "skymatch"),
        ("tweakreg", {"abs_refcat": "bad.txt"}, "align"),
    ],
)
def test_what_failed_is_made_again(plan, copy, field, jobs, names, step, change, rule):
    """Snakemake's record says that a job which failed was done as it should be."""
    (copy / "bad.txt").write_text("this is no table\n")
    config = {**field, "steps": {step: change}}
    failed = snakemake(copy, check=False, **config)
    assert failed.returncode == 1
    assert f"snakewebb: logs/{names['field'].name}/{rule}.log: bad.txt" in failed.stderr
    assert plan(config, copy) == jobs(after(rule), names["field"])


def member_of(observations, index):
    """Return the file of an exposure of the field."""
    return sorted(observations["field"].parent.glob("*_cal.fits"))[index]


def test_an_exposure_dropped(plan, field, jobs, names, observations):
    content = json.loads(observations["field"].read_text())
    dropped = content["products"][0]["members"].pop()["expname"]
    with edited(observations["field"], json.dumps(content)):
        rest = {job for job in jobs(after("align"), names["field"]) if not of(job, dropped)}
        assert plan(field) == rest


def test_an_exposure_added(plan, field, jobs, names, observations):
    content = json.loads(observations["field"].read_text())
    fourth = member_of(observations, 3)
    fifth = fourth.with_name(fourth.name.replace("_00004_", "_00005_"))
    content["products"][0]["members"].append({"expname": fifth.name, "exptype": "science"})
    product = names["field"]
    exposure = association.exposure_name(fifth)
    new = {("find_sources", product.name, exposure), ("crf", product.name, exposure, "o001")}
    fifth.symlink_to(fourth)
    try:
        with edited(observations["field"], json.dumps(content)):
            assert plan(field) == jobs(after("align"), product) | new
    finally:
        fifth.unlink()


def of(job, file):
    """Tell whether a job is one of an exposure's file."""
    return association.exposure_name(file) in job


def test_another_association_of_the_same_exposures(plan, config, observations):
    content = json.loads(observations["field"].read_text())
    content["products"][0]["name"] = "second"
    path = observations["field"].with_name("second_asn.json")
    path.write_text(json.dumps(content))
    planned_jobs = plan(config, associations=[*config["associations"], str(path)])
    assert {job[1] for job in planned_jobs if len(job) > 1} == {"second"}
    pictures = {PICTURES[rule] for rule in CHAIN if rule in PICTURES}
    assert {job[0] for job in planned_jobs} == {*CHAIN, *pictures, "plot_page", "all"}


def test_an_exposure_replaced_runs_and_then_nothing_is_planned(
    plan, copy, observations, names, jobs
):
    product = names["moving"]
    config = {"associations": [str(observations["moving"])]}
    member = next(iter(product.of_type("science").values()))
    path = observations["moving"].parent / f"{member.exposure}_cal.fits"
    mosaic = copy / "results" / product.name / f"{product.name}_i2d.fits"
    before = fits.getdata(mosaic, "SCI")
    with edited(path, path.read_bytes()):
        os.utime(path)
        assert plan(config, copy) == set(), "touched only, and small enough to be compared"
    brighter = copy / "brighter.fits"
    with fits.open(path) as hdus:
        hdus["SCI"].data += 1.0
        hdus.writeto(brighter)
    with edited(path, brighter.read_bytes()):
        wanted = jobs(after("align"), product)
        wanted.add(("find_sources", product.name, member.exposure))
        assert plan(config, copy) == wanted
        snakemake(copy, **config)
        assert plan(config, copy) == set()
    assert np.nanmax(np.abs(fits.getdata(mosaic, "SCI") - before)) > 0


def test_a_kernel_edited_changes_the_result_and_back(
    plan, copy, checkout, observations, names, jobs
):
    product = names["moving"]
    config = {"associations": [str(observations["moving"])]}
    sky = copy / "results" / product.name / "work" / f"{product.name}_sky.json"
    target = ("--allowed-rules", "skymatch", "--", str(sky.relative_to(copy)))
    kernel = checkout / "lib" / "snakewebb" / "kernels" / "skymatch.py"
    source, before = kernel.read_text(), json.loads(sky.read_text())
    assert source.count("return start + width *") == 1
    edit = source.replace("return start + width *", "return 2.0 * start + width *")
    with edited(kernel, edit):
        assert plan(config, copy) == jobs(after("skymatch"), product)
        snakemake(copy, *target, repo=checkout, **config)
        assert json.loads(sky.read_text()) != before
    snakemake(copy, *target, repo=checkout, **config)
    assert json.loads(sky.read_text()) == before
    assert plan(config, copy) == set(), "the edit taken back, and the level as it was"


@pytest.mark.parametrize(
    ("file", "rules"),
    [
        ("scripts/crf.py", after("crf")),
        ("scripts/source_catalog.py", {"source_catalog"}),
        ("lib/snakewebb/sources/catalog.py", {"source_catalog"}),
        ("scripts/quality.py", {"quality"}),
        ("lib/snakewebb/quality/stars.py", {"quality", "plot_quality"}),
        ("lib/snakewebb/report/quality_status.py", {"plot_quality"}),
        ("lib/snakewebb/astrometry/matching.py", after("align")),
        ("lib/snakewebb/mosaicking/skymatch.py", after("skymatch")),
        ("lib/snakewebb/kernels/skymatch.py", after("skymatch")),
        ("lib/snakewebb/kernels/drizzle.py", after("median")),
        ("lib/snakewebb/kernels/centroids.py", after("find_sources")),
        ("lib/snakewebb/report/pictures.py", {"plot_exposures", "plot_mosaic", "plot_sources"}),
        ("lib/snakewebb/report/page.js", {"plot_page"}),
        ("lib/snakewebb/coronagraphy/klip.py", set()),
        ("lib/snakewebb/simulate/scene.py", set()),
    ],
)
def test_code_edited(plan, field, jobs, names, checkout, file, rules):
    path = checkout / file
    with edited(path, path.read_text() + "\n# edited\n"):
        assert plan(field) == jobs(rules, names["field"])


def test_code_edited_and_a_parameter_changed(plan, field, jobs, names, checkout):
    """A kernel that must be compiled again hides no other reason."""
    path = checkout / "lib" / "snakewebb" / "kernels" / "skymatch.py"
    change = {"tweakreg": {"snr_threshold": 20}}
    with edited(path, path.read_text() + "\n# edited\n"):
        assert plan(field, steps=change) == jobs(after("find_sources"), names["field"])


def test_threads_and_resources_do_not_matter(plan, config):
    settings = ResourceSettings(
        cores=2,
        overwrite_threads={"median": 2, "i2d": 1, "crf": 2},
        overwrite_resources={"crf": {"mem_mb": 12345}, "source_catalog": {"runtime": 77}},
    )
    assert plan(config, resources=settings) == set()


def test_layout_of_yaml_does_not_matter(plan, config):
    """Other order, comments, defaults written out, and 3 for 3.0."""
    (pair,) = config["products"]
    own = config["products"][pair]
    backwards = {
        "exposure_i2d": False,
        "products": {pair: {key: own[key] for key in reversed(own)}},
        "steps": {
            "source_catalog": {"kernel_fwhm": 2, "bkg_boxsize": 1000},
            "resample": {"pixel_scale_ratio": 1, "crval": None},
            "tweakreg": {"sigma": 3, "minobj": 15, "snr_threshold": 10},
        },
        "associations": config["associations"],
    }
    text = "# my galaxies\n" + yaml.safe_dump(backwards, sort_keys=False, default_flow_style=True)
    assert plan(text=text) == set()


def test_comments_paths_of_logs_and_touch_do_not_matter(plan, config, checkout):
    with contextlib.ExitStack() as edits:
        for path in (checkout / "rules").glob("*.smk"):
            text = path.read_text().replace('"<logs>/', '"<logs>/elsewhere/')
            text = text.replace('"<benchmarks>/', '"<benchmarks>/elsewhere/')
            text = text.replace("threads: 8", "threads: 3").replace("mem_mb=800", "mem_mb=900")
            edits.enter_context(edited(path, f"# a comment\n{text}"))
        for name in ("Snakefile", "config/schema.yaml", "config/config.yaml"):
            path = checkout / name
            edits.enter_context(edited(path, f"# a comment\n{path.read_text()}"))
        assert plan(config) == set()
    for path in checkout.rglob("*"):
        os.utime(path)
    assert plan(config) == set()


def test_a_deleted_picture_is_drawn_again(plan, field, names, results):
    name = names["field"].name
    plots = results / name / "plots"
    for kind in ("alignment.png", "placements.png", "sky.png", "outliers.png", "status.html"):
        path = plots / f"{name}_{kind}"
        away = path.rename(path.with_suffix(".away"))
        try:
            assert plan(field) == {("plot_exposures", name), ("plot_page", name), ("all",)}, kind
        finally:
            away.rename(path)
    assert plan(field) == set()


def test_the_working_folder_may_move(plan, config, copy):
    assert plan(config, copy) == set()


def test_the_default_profile_goes_by_content_of_code():
    profile = yaml.safe_load((REPO / "profiles" / "default" / "profile.yaml").read_text())
    line = f"    rerun-triggers: [{', '.join(profile['rerun-triggers'])}]\n"
    assert line in (REPO / "docs" / "rebuild.md").read_text()
    assert "code" not in profile["rerun-triggers"]
