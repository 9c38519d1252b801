from snakewebb.workflow.job import job, named
from snakewebb.jobs.crfints import flag_integrations

with job(snakemake.log[0]):
    flag_integrations(
        target=snakemake.output[0], **named(snakemake.input), **named(snakemake.params)
    )
