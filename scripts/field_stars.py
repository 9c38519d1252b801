from snakewebb.workflow.job import job, named
from snakewebb.jobs.field_stars import write_stars

with job(snakemake.log[0]):
    write_stars(
        **named(snakemake.input),
        **named(snakemake.output),
        **named(snakemake.params),
    )
