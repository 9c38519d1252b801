import json
from pathlib import Path

from snakewebb.job import job
from snakewebb.files import write_json
from snakewebb.layout import Layout
from snakewebb.skymatch import match_exposures

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
