from snakewebb.workflow.job import job, named
from snakewebb.jobs.quality import measure_quality

with job(snakemake.log[0]):
    measure_quality(
        snakemake.output,
        threads=snakemake.threads,
        **named(snakemake.input),
        **named(snakemake.params),
    )
