from snakewebb.exposure import remaining_sky
from snakewebb.job import job
from snakewebb.mosaic import output_layout
from snakewebb.products import write_i2d
from snakewebb.resample import band_inputs, drizzle_band

with job(snakemake.log[0]):
    exposure, geometry = snakemake.input.exposure, snakemake.input.geometry
    layout = output_layout(snakemake.input.alignment, [geometry], **snakemake.params.grid)
    rows = slice(0, layout.grid.shape[0])
    inputs = band_inputs(
        layout, [exposure], [geometry], rows, lambda name, facts: remaining_sky(exposure)
    )
    band = drizzle_band(inputs, layout.grid, rows, **snakemake.params.drizzle)
    write_i2d(
        snakemake.output[0],
        layout.grid,
        [(0, vars(band))],
        [exposure],
        parameters=snakemake.params.drizzle,
        asn=snakemake.params.asn,
        **{**snakemake.params.step, "blendheaders": False},
    )
