from snakewebb.workflow.job import job, named
from snakewebb.jobs.cal import subtract_background

with job(snakemake.log[0]):
    subtract_background(
        target=snakemake.output[0], **named(snakemake.input), **named(snakemake.params)
    )
