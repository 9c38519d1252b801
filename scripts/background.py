from snakewebb.jobs.background import combine_backgrounds

from snakewebb.workflow.job import job, named

with job(snakemake.log[0]):
    combine_backgrounds(snakemake.input, snakemake.output[0], **named(snakemake.params))
