from snakewebb.job import job
from snakewebb.coron import locate_stars
from snakewebb.files import write_json

with job(snakemake.log[0]):
    stars = locate_stars(snakemake.input.exposures, **snakemake.params.step)
    write_json(snakemake.output[0], stars)
