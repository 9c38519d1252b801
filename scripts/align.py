from snakewebb.workflow.job import job, named
from snakewebb.jobs.align import align_product

with job(snakemake.log[0]):
    align_product(**named(snakemake.input), **named(snakemake.output), **named(snakemake.params))
