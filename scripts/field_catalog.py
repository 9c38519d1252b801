from snakewebb.workflow.job import job, named
from snakewebb.jobs.field_catalog import catalog_field

with job(snakemake.log[0]):
    catalog_field(
        snakemake.input.detection,
        snakemake.input.mosaics,
        threads=snakemake.threads,
        **named(snakemake.output),
        **named(snakemake.params),
    )
