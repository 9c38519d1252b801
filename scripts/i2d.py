import json
from pathlib import Path

from snakewebb.bands import read_band
from snakewebb.job import job
from snakewebb.layout import Layout
from snakewebb.products import write_i2d

with job(snakemake.log[0]):
    layout = Layout.from_dict(json.loads(Path(snakemake.input.grid).read_text()))
    write_i2d(
        snakemake.output[0],
        layout.grid,
        map(read_band, snakemake.input.bands),
        snakemake.input.exposures,
        parameters={
            **snakemake.params.drizzle,
            **snakemake.params.grid,
            "output_wcs": str(snakemake.params.output_wcs or ""),
        },
        group_ids=[placement.group for placement in layout.placements.values()],
        asn=snakemake.params.asn,
        **snakemake.params.step,
    )
