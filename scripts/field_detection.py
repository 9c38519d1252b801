from snakewebb.workflow.job import job, named
from snakewebb.jobs.field_detection import combine_mosaics

with job(snakemake.log[0]):
    combine_mosaics(
        target=snakemake.output[0],
        threads=snakemake.threads,
        **named(snakemake.input),
        **named(snakemake.params),
    )
