from snakewebb.workflow.job import job, named
from snakewebb.jobs.solve_field import solve_field

with job(snakemake.log[0]):
    solve_field(**named(snakemake.input), **named(snakemake.output), **named(snakemake.params))
