from snakewebb.workflow.job import job, named
from snakewebb.jobs.background import combine_backgrounds

with job(snakemake.log[0]):
    combine_backgrounds(
        target=snakemake.output[0], **named(snakemake.input), **named(snakemake.params)
    )
