from snakewebb.workflow.job import job, named
from snakewebb.jobs.contrast import ContrastFiles, ContrastOptions, ProductFiles, measure_product

with job(snakemake.log[0]):
    measure_product(
        ProductFiles(**named(snakemake.input)),
        ContrastFiles(**named(snakemake.output)),
        ContrastOptions(**named(snakemake.params)),
    )
