import json
from pathlib import Path

from snakewebb.bands import write_band
from snakewebb.exposure import remaining_sky
from snakewebb.job import job
from snakewebb.layout import Layout, band_rows
from snakewebb.resample import band_inputs, drizzle_band

with job(snakemake.log[0]):
    layout = Layout.from_dict(json.loads(Path(snakemake.input.grid).read_text()))
    rows = band_rows(layout.grid.shape[0], int(snakemake.wildcards.band), snakemake.params.bands)
    exposures = snakemake.input.exposures
    skies = [remaining_sky(path) for path in exposures]
    inputs = band_inputs(layout, exposures, snakemake.input.geometry, rows, skies)
    band = drizzle_band(inputs, layout.grid, rows, **snakemake.params.step)
    write_band(snakemake.output[0], vars(band), rows.start)
