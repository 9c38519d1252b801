from snakewebb.workflow.job import job, named
from snakewebb.jobs.cal import calibrate_exposure

with job(snakemake.log[0]):
    calibrate_exposure(
        target=snakemake.output[0],
        bsub=snakemake.output.get("bsub"),
        **named(snakemake.input),
        **named(snakemake.params),
    )
