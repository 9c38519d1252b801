import json
from pathlib import Path

from snakewebb.job import job
from snakewebb.coron import read_target
from snakewebb.coron_products import write_psfsub
from snakewebb.exposure_geometry import read_geometry
from snakewebb.geometry import Correction, Geometry

with job(snakemake.log[0]):
    step = dict(snakemake.params.step)
    skip, number = step.pop("skip"), step.pop("truncate")
    stars = json.loads(Path(snakemake.input.stars).read_text())
    target = read_target(
        [snakemake.input.exposure, *snakemake.input.others],
        snakemake.input.references,
        stars,
        repair=snakemake.params.repair,
        truncate=[number],
        **step,
    )
    star = stars[snakemake.wildcards.exposure]
    notes = {"parameters": snakemake.params.step, "star": star}
    data, err, model_err = target.cubes[0], target.errors[0], None
    if skip:
        notes["reason"] = "skip is set"
    else:
        ((made,),) = target.subtract(target.cubes, target.errors, only=[0])
        data, err, model_err = made.data, made.err, made.model_err
        notes["modes"] = made.modes
        notes["eigenvalues"] = [values.tolist() for values in made.eigenvalues]
        notes["references"] = [len(chosen) for chosen in made.references]
    write_psfsub(
        snakemake.input.exposure,
        snakemake.output[0],
        data,
        err,
        target.bad[0],
        model_err=model_err,
        status="SKIPPED" if skip else "COMPLETE",
        correction=Correction.from_dict(star["correction"]),
        geometry=Geometry.from_dict(read_geometry(snakemake.input.exposure)["geometry"]),
        sip={},
        asn=snakemake.params.asn,
        provenance={"klip": notes},
    )
