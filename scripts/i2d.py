from snakewebb.workflow.job import job
from snakewebb.jobs.i2d import write_mosaic

with job(snakemake.log[0]):
    write_mosaic(
        snakemake.output[0],
        snakemake.input.exposures,
        snakemake.input.facts,
        snakemake.input.alignment,
        exposure=snakemake.wildcards.get("exposure"),
        output_wcs=snakemake.input.get("output_wcs"),
        max_megapixels=snakemake.params.max_megapixels,
        grid=snakemake.params.grid,
        drizzle=snakemake.params.drizzle,
        asn=snakemake.params.asn,
        threads=snakemake.threads,
        **snakemake.params.step,
    )
