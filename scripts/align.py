from snakewebb.workflow.job import job
from snakewebb.io.atomic import write_json
from snakewebb.jobs.align import align_product

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
    write_json(snakemake.output.alignment, result)
