from snakewebb.workflow.job import job, named
from snakewebb.workflow.associations import write_association

with job(snakemake.log[0]):
    write_association(snakemake.output[0], snakemake.wildcards.product, **named(snakemake.params))
