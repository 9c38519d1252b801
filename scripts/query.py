from snakewebb.workflow.job import job, named
from snakewebb.jobs.query import query

with job(snakemake.log[0]):
    query(**named(snakemake.params))
