from snakewebb.workflow.job import job, named
from snakewebb.jobs.cal import calibrate_exposure

with job(snakemake.log[0]):
    calibrate_exposure(
        target=snakemake.output[0],
        bsub=getattr(snakemake.output, "bsub", None),
        **named(snakemake.input),
        **named(snakemake.params),
    )
