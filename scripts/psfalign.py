import json
from pathlib import Path

from snakewebb.job import job
from snakewebb.align_refs import align, disc, repair
from snakewebb.coron_products import read_exposures, read_psfmask, write_psfalign
from snakewebb.stack_refs import read_cube

with job(snakemake.log[0]):
    target, stack = read_cube(snakemake.input.exposure), read_cube(snakemake.input.stack)
    image, _, missing = repair(target["SCI"], target["DQ"], **snakemake.params.step)
    data, err, bad = repair(stack["SCI"], stack["DQ"], stack["ERR"], **snakemake.params.step)
    path, shape = snakemake.input.get("psfmask"), image.shape[1:]
    if path:
        mask = read_psfmask(path, shape)
    else:
        stars = json.loads(Path(snakemake.input.stars).read_text())
        mask = disc(shape, stars[snakemake.wildcards.exposure]["center"])
    aligned = align(
        image.mean(axis=0), data, err, stack["DQ"], mask, good=~missing.any(axis=0), bad=bad
    )
    write_psfalign(
        snakemake.input.stack,
        snakemake.output[0],
        aligned,
        mask=Path(path).name if path else "derived",
        exposures=read_exposures(snakemake.input.stack, "stack_psfs"),
        asn=snakemake.params.asn,
        provenance={"parameters": snakemake.params.step},
    )
