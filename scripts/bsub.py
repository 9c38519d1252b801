from snakewebb.jobs.cal import calibrate_exposure

from snakewebb.workflow.job import job, named

with job(snakemake.log[0]):
    calibrate_exposure(
        target=snakemake.output[0],
        step={"bkg_subtract": {}},
        **named(snakemake.input),
        **named(snakemake.params),
    )
