import json
from pathlib import Path

from snakewebb.workflow.job import job
from snakewebb.jobs.median import write_median
from snakewebb.wcs.layout import Layout

with job(snakemake.log[0]):
    alignment = json.loads(Path(snakemake.input.alignment).read_text())
    sky = snakemake.input.get("sky")
    write_median(
        snakemake.output[0],
        Layout.from_dict(alignment["layout"]),
        snakemake.input.exposures,
        snakemake.input.facts,
        json.loads(Path(sky).read_text())["exposures"] if sky else {},
        threads=snakemake.threads,
        **snakemake.params.step,
    )
