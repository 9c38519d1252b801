from snakewebb.workflow.job import job, named
from snakewebb.jobs.cal import calibrate_exposure

with job(snakemake.log[0]):
    references = named(snakemake.input)
    calibrate_exposure(
        references.pop("exposure"),
        snakemake.output[0],
        background=references.pop("background", None) or None,
        references=references,
        **named(snakemake.params),
    )
