"""Fields of several products: what is refused, and which jobs there are."""

import json
from pathlib import Path

import pytest
import yaml

from snakewebb.errors import InputError
from snakewebb.workflow.fields import Fields
from snakewebb.workflow.plan import read_plan
from workflow import REPO, planned, snakemake

SCHEMA = yaml.safe_load((REPO / "config" / "schema.yaml").read_text())


@pytest.fixture
def make(tmp_path, monkeypatch):
    """A function: the fields of a plan with image3 products ``x``, ``z`` and a coron3 ``y``."""
    monkeypatch.chdir(tmp_path)
    kinds = {"x": "image3", "z": "image3", "fields": "image3", "y": "coron3"}
    for name, kind in kinds.items():
        cubes = "ints" if kind == "coron3" else ""
        members = [{"expname": f"{name}{k}_cal{cubes}.fits", "exptype": "science"} for k in (1, 2)]
        if cubes:
            members.append({"expname": "r_calints.fits", "exptype": "psf"})
        table = {
            "asn_type": kind,
            "asn_id": "o001",
            "products": [{"name": name, "members": members}],
        }
        Path(f"{name}.json").write_text(json.dumps(table))

    def of(associations=("x.json", "z.json", "y.json"), **config):
        return Fields.of(read_plan({"associations": list(associations), **config}, SCHEMA))

    return of


def test_a_field_has_the_exposures_of_its_products(make):
    fields = make(
        fields={"egs": {"products": ["z", "x"]}}, steps={"tweakreg": {"abs_refcat": "gaia.ecsv"}}
    )
    assert fields.facts_files("egs") == [
        f"<results>/{name[0]}/work/{name}_facts.json" for name in ("z1", "z2", "x1", "x2")
    ]
    assert fields.solution("x") == fields.solution("z") == "<results>/fields/egs.json"
    assert fields.solution("y") is None
    assert fields.reference_catalog("egs") == "gaia.ecsv"
    assert fields.own_catalog("x") is None
    assert fields.options("egs") == fields.plan.options("x", "tweakreg", "align")
    alone = make(steps={"tweakreg": {"abs_refcat": "gaia.ecsv"}})
    assert not alone.products
    assert alone.own_catalog("x") == "gaia.ecsv"
    service = make(fields={"a": {"products": ["x"]}}, steps={"tweakreg": {"abs_refcat": "GAIADR3"}})
    assert service.reference_catalog("a") is None


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"fields": {"a": {"products": ["q"]}}}, "fields.a: there is no product q: known are x, z"),
        (
            {"fields": {"a": {"products": []}}},
            "fields.a.products: a list of texts, at least 1, each",
        ),
        ({"fields": {"a": {}}}, "fields.a.products: a list of texts, at least 1, each"),
        ({"fields": {"a/b": {"products": ["x"]}}}, "fields.a/b: is to be of letters and digits"),
        ({"fields": {"a": {"products": ["x", "y"]}}}, "fields.a: y is of coronagraphy: take it"),
        ({"fields": {"a": {"product": ["x"]}}}, "fields.a.product: "),
        ({"fields": {"a": ["x"]}}, "fields.a: must hold keys and values"),
        ({"fields": {"a": {"products": ["x", "x"]}}}, "each once, not .'x', 'x'."),
        (
            {"fields": {"a": {"products": ["x"]}, "b": {"products": ["z", "x"]}}},
            "fields.b: product x is in a, too: keep one",
        ),
        (
            {
                "fields": {"a": {"products": ["x", "z"]}},
                "products": {"z": {"steps": {"tweakreg": {"minobj": 9}}}},
            },
            "fields.a: tweakreg.minobj is 15 for x, but 9 for z: give them the same",
        ),
        (
            {"fields": {"a": {"products": ["x"]}}, "steps": {"tweakreg": {"skip": True}}},
            "fields.a: x skips tweakreg: take it out",
        ),
        (
            {"fields": {"a": {"products": ["x"], "detection": ["z"]}}},
            "fields.a.detection: z is not in its products: known are x",
        ),
        (
            {"fields": {"a": {"products": ["x"], "frame": ["q"]}}},
            "fields.a.frame: q is not in its products: known are x",
        ),
        (
            {
                "fields": {"a": {"products": ["x", "z"], "detection": ["z"]}},
                "products": {"z": {"steps": {"resample": {"skip": True}}}},
            },
            "fields.a.detection: z skips resample: take it out",
        ),
        (
            {
                "fields": {"a": {"products": ["x", "z"]}},
                "products": {"z": {"steps": {"resample": {"crval": [1.0, 2.0]}}}},
            },
            r"fields.a: resample.crval is None for x, but \[1.0, 2.0\] for z: give them the same",
        ),
        (
            {
                "fields": {"a": {"products": ["x", "z"]}},
                "products": {"z": {"steps": {"resample": {"output_wcs": "grid.asdf"}}}},
            },
            "fields.a: resample.output_wcs is None for x, but 'grid.asdf' for z: give them ",
        ),
        (
            {
                "fields": {"a": {"products": ["x", "z"], "pixel_scale": 0.03}},
                "products": {"z": {"steps": {"resample": {"pixel_scale": 0.05}}}},
            },
            "fields.a: its pixel_scale is 0.03, but resample.pixel_scale of z is 0.05: keep one",
        ),
        (
            {
                "fields": {"a": {"products": ["x"], "pixel_scale": 0.03}},
                "steps": {"resample": {"output_wcs": "grid.asdf"}},
            },
            "fields.a: its pixel_scale and resample.output_wcs of x are both given: keep one",
        ),
        ({"fields": {"a": {"products": ["x"], "pixel_scale": 0}}}, "fields.a.pixel_scale: "),
    ],
)
def test_fields_that_cannot_be(make, config, message):
    with pytest.raises(InputError, match=message):
        make(**config)


def test_no_product_is_called_as_the_folder_of_fields(make):
    assert not make(["x.json", "fields.json"]).products
    with pytest.raises(InputError, match="product fields: is what the folder of fields is called"):
        make(["x.json", "fields.json"], fields={"a": {"products": ["x"]}})


def test_other_parameters_of_products_may_differ(make):
    own = {"z": {"steps": {"tweakreg": {"sip_degree": 3}, "resample": {"pixfrac": 0.5}}}}
    assert make(fields={"a": {"products": ["x", "z"]}}, products=own).products


def test_what_a_field_is_made_of(make):
    fields = make(
        fields={"a": {"products": ["z", "x"], "frame": ["z"], "pixel_scale": 0.03}},
        steps={"resample": {"rotation": 0.0, "pixel_scale_ratio": 0.5}},
        products={
            "x": {
                "reference_files": {"apcorr": "a.fits"},
                "steps": {"tweakreg": {"abs_refcat": "gaia.ecsv"}},
            }
        },
    )
    assert fields.own_catalog("x") == "gaia.ecsv"
    assert fields.facts_files("a") == [
        "<results>/z/work/z1_facts.json",
        "<results>/z/work/z2_facts.json",
    ]
    assert fields.solution("z") == "<results>/fields/a.json"
    assert fields.solution("x") is None
    assert fields.alignments("a") == ["<results>/z/work/z_alignment.json"]
    grid = "<results>/fields/a/work/a_grid.asdf"
    assert fields.output_wcs("x") == fields.output_wcs("z") == grid
    assert fields.output_wcs("y") is None
    options = fields.grid_options("a")
    assert (options["pixel_scale"], options["rotation"]) == (0.03, 0.0)
    assert fields.mosaic_options("x")["grid"] == {"output_shape": None}
    assert fields.mosaics("a") == ["<results>/z/z_i2d.fits", "<results>/x/x_i2d.fits"]
    assert fields.detection_mosaics("a") == fields.mosaics("a")
    assert fields.apertures("a") == {"x": "a.fits"}
    made = {
        f"<results>/fields/a/a_{name}"
        for name in ("detection.fits", "segm.fits", "rgb.png", "cat.ecsv", "cat.fits", "cat.reg")
    }
    assert set(fields.targets()) == made | {"<results>/fields/a.json", grid}
    own = make(fields={"a": {"products": ["x"]}}, steps={"resample": {"output_wcs": "g.asdf"}})
    assert own.output_wcs("x") == "g.asdf"


def test_mosaics_that_are_not_made_are_in_no_catalogue(make):
    entry = {"fields": {"a": {"products": ["x", "z"]}}}
    one = make(**entry, products={"z": {"steps": {"resample": {"skip": True}}}})
    assert one.mosaics("a") == ["<results>/x/x_i2d.fits"]
    assert one.alignments("a") == [f"<results>/{n}/work/{n}_alignment.json" for n in "xz"]
    solution, grid = "<results>/fields/a.json", "<results>/fields/a/work/a_grid.asdf"
    assert make(**entry, steps={"resample": {"skip": True}}).targets() == [solution]
    assert make(**entry, steps={"source_catalog": {"skip": True}}).targets() == [solution, grid]


def test_what_is_beside_the_frame_is_aligned_to_its_stars(make):
    entry = {"fields": {"a": {"products": ["x", "z"], "frame": ["x"]}}}
    stars = "<results>/fields/a/work/a_stars.ecsv"
    fields = make(**entry)
    assert fields.stars("z") == fields.own_catalog("z") == stars
    assert fields.align_options("z")["tweakreg"]["abs_refcat"] == stars
    assert fields.align_options("x")["tweakreg"]["abs_refcat"] == ""
    assert fields.own_catalog("x") is None
    assert stars in fields.targets()
    for own in ({"abs_refcat": "GAIADR3"}, {"skip": True}):
        other = make(**entry, products={"z": {"steps": {"tweakreg": own}}})
        assert other.stars("z") is None
        assert other.own_catalog("z") is None
        assert stars not in other.targets()


CHAIN = {"skymatch", "median", "crf", "i2d", "source_catalog", "quality"}
CHAIN |= {"plot_exposures", "plot_mosaic", "plot_quality", "plot_page"}


def jobs_of(planned_jobs, product):
    return {job[0] for job in planned_jobs if product in job[1:]}


def test_a_product_in_a_field_is_aligned_again_and_so_are_those_beside_it(results, config, names):
    field, modules, moving = (names[key].name for key in ("field", "modules", "moving"))
    jobs = planned(results.parent, **config, fields={"egs": {"products": [field, modules]}})
    assert ("solve_field", "egs") in jobs
    for product in (field, modules):
        assert jobs_of(jobs, product) == {"align", *CHAIN, "plot_sources"}
    assert not jobs_of(jobs, moving)
    assert not jobs_of(jobs, "pair")
    one = planned(results.parent, **config, fields={"egs": {"products": [field]}})
    assert {job for job in jobs if job[0] == "solve_field"} == {
        job for job in one if job[0] == "solve_field"
    }
    assert not jobs_of(one, modules)


def test_a_field_runs_and_its_products_lie_in_one_frame(tmp_path, config, names):
    from snakewebb.astrometry.alignment import AlignmentResult, Solution

    field, modules = names["field"].name, names["modules"].name
    asked = {
        "associations": config["associations"][:2],
        "fields": {"egs": {"products": [field, modules]}},
    }
    targets = [f"results/{name}/work/{name}_alignment.json" for name in (field, modules)]
    snakemake(tmp_path, *targets, **asked)
    solution = Solution.read(tmp_path / "results" / "fields" / "egs.json")
    for name in (field, modules):
        found = AlignmentResult.read(tmp_path / f"results/{name}/work/{name}_alignment.json")
        assert list(found.exposures) == list(found.layout.placements)
        for exposure, aligned in found.exposures.items():
            assert solution.exposures[exposure] == aligned
            assert found.layout.placements[exposure].correction == aligned.correction
        assert found.network == solution.network
    assert len(solution.exposures) == 8
    moving = {"associations": config["associations"][:3]}
    moving["fields"] = {"egs": {"products": [field, names["moving"].name]}}
    failed = snakemake(tmp_path, "results/fields/egs.json", check=False, **moving)
    assert failed.returncode == 1
    assert "follows a moving target: take its product out of 'fields'" in failed.stderr
