import json
from pathlib import Path

from snakewebb.job import job
from snakewebb.align_refs import align, disc, repair, unaligned
from snakewebb.coron_products import read_psfmask, write_psfalign
from snakewebb.exposure import read_notes
from snakewebb.stack_refs import read_cube
from snakewebb.star_light import find_light

with job(snakemake.log[0]):
    exposures = read_notes(snakemake.input.stack)["stack_psfs"]["exposures"]
    target, stack = read_cube(snakemake.input.exposure), read_cube(snakemake.input.stack)
    image, _, missing = repair(target["SCI"], target["DQ"], **snakemake.params.repair)
    data, err, bad = repair(stack["SCI"], stack["DQ"], stack["ERR"], **snakemake.params.repair)
    path, shape = snakemake.input.get("psfmask"), image.shape[1:]
    skip = snakemake.params.step["skip"]
    if skip:
        mask, aligned = "none", unaligned(data, err, stack["DQ"])
    else:
        stars = json.loads(Path(snakemake.input.stars).read_text())
        center = stars[snakemake.wildcards.exposure]["center"]
        if path:
            mask, weights = Path(path).name, read_psfmask(path, shape)
        else:
            mask, weights = "derived", disc(shape, center)
        light = find_light(image.mean(axis=0), data, center, exposures)
        weights = weights * (light.alone if light else 1.0)
        good = ~missing.any(axis=0)
        aligned = align(image.mean(axis=0), data, err, stack["DQ"], weights, good=good, bad=bad)
    notes = {"parameters": snakemake.params.repair, "reason": "skip is set" if skip else ""}
    write_psfalign(
        snakemake.input.stack,
        snakemake.output[0],
        aligned,
        mask=mask,
        exposures=exposures,
        status="FAILED" if aligned.reason else "SKIPPED" if skip else "COMPLETE",
        asn=snakemake.params.asn,
        provenance=notes | ({"reason": aligned.reason} if aligned.reason else {}),
    )
