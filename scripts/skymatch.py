from snakewebb.workflow.job import job, named
from snakewebb.jobs.skymatch import match_exposures

with job(snakemake.log[0]):
    match_exposures(
        target=snakemake.output[0],
        threads=snakemake.threads,
        **named(snakemake.input),
        **named(snakemake.params),
    )
