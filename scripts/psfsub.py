from snakewebb.workflow.job import job, named
from snakewebb.jobs.psfsub import subtract_star

with job(snakemake.log[0]):
    subtract_star(target=snakemake.output[0], **named(snakemake.input), **named(snakemake.params))
