from snakewebb.workflow.job import job
from snakewebb.jobs.psfsub import subtract_star

with job(snakemake.log[0]):
    subtract_star(
        snakemake.input.exposure,
        snakemake.output[0],
        others=snakemake.input.others,
        references=snakemake.input.references,
        stars_file=snakemake.input.stars,
        repair=snakemake.params.repair,
        asn=snakemake.params.asn,
        **snakemake.params.step,
    )
