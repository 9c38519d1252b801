from snakewebb.workflow.job import job, named
from snakewebb.jobs.psfalign import align_references

with job(snakemake.log[0]):
    align_references(
        target=snakemake.output[0], **named(snakemake.input), **named(snakemake.params)
    )
