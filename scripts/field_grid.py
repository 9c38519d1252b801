from snakewebb.workflow.job import job, named
from snakewebb.jobs.field_grid import lay_out_field

with job(snakemake.log[0]):
    lay_out_field(
        **named(snakemake.input),
        **named(snakemake.output),
        **named(snakemake.params),
    )
