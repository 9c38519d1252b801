from snakewebb.workflow.job import job
from snakewebb.jobs.crfints import flag_integrations

with job(snakemake.log[0]):
    flag_integrations(
        snakemake.input.exposure,
        snakemake.output[0],
        others=snakemake.input.others,
        asn=snakemake.params.asn,
        **snakemake.params.step,
    )
