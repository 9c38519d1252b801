import json
from pathlib import Path

from snakewebb.workflow.job import job
from snakewebb.coronagraphy.contrast_file import write_contrast
from snakewebb.coronagraphy.reduction import read_target
from snakewebb.jobs.contrast import product_contrast

with job(snakemake.log[0]):
    klip, stars = snakemake.params.klip, json.loads(Path(snakemake.input.stars).read_text())
    target = read_target(
        snakemake.input.exposures,
        snakemake.input.references,
        stars,
        repair=snakemake.params.repair,
        **klip,
    )
    names = ("psf", "throughput", "abvegaoffset")
    measured = product_contrast(
        target,
        snakemake.input.subtracted,
        stars,
        truncate=klip["truncate"],
        grid=snakemake.params.grid | {"max_megapixels": snakemake.params.max_megapixels},
        drizzle=snakemake.params.drizzle,
        **{name: snakemake.input.get(name) for name in names},
        **snakemake.params.star,
    )
    out = snakemake.output
    write_contrast(measured, snakemake.input.mosaic, out.curve, out.detections, out.snr)
