import json
from pathlib import Path

from snakewebb.workflow.job import job
from snakewebb.io.atomic import write_json
from snakewebb.jobs.skymatch import match_exposures
from snakewebb.wcs.layout import Layout

with job(snakemake.log[0]):
    alignment = json.loads(Path(snakemake.input.alignment).read_text())
    result = match_exposures(
        snakemake.input.exposures,
        snakemake.input.facts,
        Layout.from_dict(alignment["layout"]),
        skylist=snakemake.input.get("skylist") or None,
        threads=snakemake.threads,
        **snakemake.params.step,
    )
    result["parameters"] = snakemake.params.step
    write_json(snakemake.output[0], result)
