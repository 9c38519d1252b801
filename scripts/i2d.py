from snakewebb.workflow.job import job, named
from snakewebb.jobs.i2d import write_mosaic

with job(snakemake.log[0]):
    write_mosaic(
        target=snakemake.output[0],
        threads=snakemake.threads,
        **named(snakemake.input),
        **named(snakemake.params),
    )
