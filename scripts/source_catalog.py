from snakewebb.workflow.job import job
from snakewebb.jobs.source_catalog import make_catalog

with job(snakemake.log[0]):
    make_catalog(
        snakemake.input.mosaic,
        snakemake.output.catalog,
        snakemake.output.segmentation,
        apcorr=snakemake.input.get("apcorr"),
        abvegaoffset=snakemake.input.get("abvegaoffset"),
        threads=snakemake.threads,
        **snakemake.params.step,
    )
