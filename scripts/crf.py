from snakewebb.workflow.job import job, named
from snakewebb.jobs.crf import finish_exposure

with job(snakemake.log[0]):
    finish_exposure(target=snakemake.output[0], **named(snakemake.input), **named(snakemake.params))
