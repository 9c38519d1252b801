import json
from pathlib import Path

from snakewebb.workflow.job import job
from snakewebb.jobs.median import write_median

with job(snakemake.log[0]):
    sky = snakemake.input.get("sky")
    write_median(
        snakemake.output[0],
        json.loads(Path(snakemake.input.alignment).read_text()),
        snakemake.input.exposures,
        snakemake.input.facts,
        json.loads(Path(sky).read_text())["exposures"] if sky else {},
        threads=snakemake.threads,
        **snakemake.params.step,
    )
