from snakewebb.workflow.job import job
from snakewebb.jobs.crf import finish_exposure

with job(snakemake.log[0]):
    finish_exposure(
        snakemake.input.exposure,
        snakemake.output[0],
        facts_file=snakemake.input.facts,
        alignment_file=snakemake.input.alignment,
        sky_file=snakemake.input.get("sky"),
        median_file=snakemake.input.get("median"),
        outlier_detection=snakemake.params.outlier_detection,
        median=snakemake.params.median,
        sip=snakemake.params.sip,
        subtract=snakemake.params.skymatch["subtract"],
        asn=snakemake.params.asn,
    )
