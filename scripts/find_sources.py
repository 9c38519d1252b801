from snakewebb.workflow.job import job, named
from snakewebb.jobs.find_sources import describe_exposure

with job(snakemake.log[0]):
    describe_exposure(
        target=snakemake.output[0], **named(snakemake.input), **named(snakemake.params)
    )
