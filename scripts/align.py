import json
from pathlib import Path

from snakewebb.job import job
from snakewebb.alignment import align_product

with job(snakemake.log[0]):
    result = align_product(
        snakemake.input.facts,
        snakemake.output.facts,
        tweakreg_options=snakemake.params.tweakreg,
        find_options=snakemake.params.find_sources,
        assign_mtwcs_options=snakemake.params.assign_mtwcs,
        refcat=snakemake.input.get("refcat"),
        max_megapixels=snakemake.params.max_megapixels,
    )
    Path(snakemake.output.alignment).write_text(json.dumps(result))
