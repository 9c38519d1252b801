from snakewebb.job import job
from snakewebb.coron import integrations
from snakewebb.i2d import write_i2d
from snakewebb.resample import drizzle_band

with job(snakemake.log[0]):
    grid, inputs = integrations(
        snakemake.input.exposures,
        max_megapixels=snakemake.params.max_megapixels,
        **snakemake.params.grid,
    )
    band = drizzle_band(inputs, grid, slice(0, grid.shape[0]), **snakemake.params.drizzle)
    write_i2d(
        snakemake.output[0],
        grid,
        [(0, vars(band))],
        snakemake.input.exposures,
        parameters={**snakemake.params.drizzle, **snakemake.params.grid},
        asn=snakemake.params.asn,
        **snakemake.params.step,
    )
