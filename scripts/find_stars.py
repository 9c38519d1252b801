from snakewebb.workflow.job import job, named
from snakewebb.jobs.find_stars import stars_of_product

with job(snakemake.log[0]):
    stars_of_product(
        target=snakemake.output[0], **named(snakemake.input), **named(snakemake.params)
    )
