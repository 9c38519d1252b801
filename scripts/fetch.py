from snakewebb.workflow.job import job, named
from snakewebb.jobs.fetch import fetch

with job(snakemake.log[0]):
    fetch(snakemake.output[0], **named(snakemake.params))
