from snakewebb.workflow.job import job
from snakewebb.io.atomic import write_json
from snakewebb.jobs.find_stars import locate_stars

with job(snakemake.log[0]):
    stars = locate_stars(snakemake.input.exposures, **snakemake.params.step)
    write_json(snakemake.output[0], stars)
