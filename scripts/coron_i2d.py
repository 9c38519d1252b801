from snakewebb.workflow.job import job, named
from snakewebb.jobs.coron_i2d import combine_exposures

with job(snakemake.log[0]):
    combine_exposures(
        target=snakemake.output[0], **named(snakemake.input), **named(snakemake.params)
    )
