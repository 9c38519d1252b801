from snakewebb.workflow.job import job, named
from snakewebb.jobs.source_catalog import make_catalog

with job(snakemake.log[0]):
    make_catalog(
        threads=snakemake.threads,
        **named(snakemake.input),
        **named(snakemake.output),
        **named(snakemake.params),
    )
