from snakewebb.workflow.job import job, named
from snakewebb.jobs.psfstack import stack_references

with job(snakemake.log[0]):
    stack_references(
        target=snakemake.output[0], **named(snakemake.input), **named(snakemake.params)
    )
