from snakewebb.workflow.job import job, named
from snakewebb.jobs.median import write_median

with job(snakemake.log[0]):
    write_median(
        target=snakemake.output[0],
        threads=snakemake.threads,
        **named(snakemake.input),
        **named(snakemake.params),
    )
