from snakewebb.workflow.job import job
from snakewebb.coronagraphy.combine import integrations
from snakewebb.mosaicking.resample import drizzle_band, has_errors
from snakewebb.products.mosaic_file import write_i2d

with job(snakemake.log[0]):
    grid, inputs = integrations(
        snakemake.input.exposures,
        max_megapixels=snakemake.params.max_megapixels,
        **snakemake.params.grid,
    )
    drizzle = snakemake.params.drizzle
    if not has_errors(each.source for each in inputs):
        drizzle = {**drizzle, "enable_err": False}
    band = drizzle_band(inputs, grid, slice(0, grid.shape[0]), **drizzle)
    write_i2d(
        snakemake.output[0],
        grid,
        [(0, vars(band))],
        snakemake.input.exposures,
        parameters={**drizzle, **snakemake.params.grid},
        asn=snakemake.params.asn,
        **snakemake.params.step,
    )
