from snakewebb.workflow.job import job, named
from snakewebb.jobs.source_catalog import make_catalog

with job(snakemake.log[0]):
    make_catalog(
        out=snakemake.output.out,
        threads=snakemake.threads,
        **named(snakemake.input),
        **named(snakemake.params),
    )
