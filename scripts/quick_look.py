from snakewebb.workflow.job import job, named
from snakewebb.jobs.i2d import rectify_exposure

with job(snakemake.log[0]):
    rectify_exposure(
        target=snakemake.output[0], **named(snakemake.input), **named(snakemake.params)
    )
