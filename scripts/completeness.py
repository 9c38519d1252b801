from snakewebb.workflow.job import job, named
from snakewebb.jobs.completeness import make_completeness

with job(snakemake.log[0]):
    make_completeness(
        threads=snakemake.threads,
        **named(snakemake.input),
        **named(snakemake.output),
        **named(snakemake.params),
    )
