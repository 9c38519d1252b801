import json
from pathlib import Path

from snakewebb.bands import write_band
from snakewebb.exposure import remaining_sky
from snakewebb.job import job
from snakewebb.layout import Layout, band_rows
from snakewebb.resample import band_inputs, drizzle_band

with job(snakemake.log[0]):
    layout = Layout.from_dict(json.loads(Path(snakemake.input.grid).read_text()))
    exposures = dict(zip(layout.placements, snakemake.input.exposures, strict=True))
    band = int(snakemake.wildcards.band)
    rows = band_rows(layout.grid.shape[0], band, snakemake.params.bands)
    inputs = band_inputs(
        layout,
        snakemake.input.exposures,
        snakemake.input.geometry,
        rows,
        lambda name, facts: remaining_sky(exposures[name]),
    )
    made = drizzle_band(inputs, layout.grid, rows, **snakemake.params.step)
    write_band(snakemake.output[0], vars(made), rows.start)
