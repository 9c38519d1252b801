import json
from pathlib import Path

from snakewebb.job import job
from snakewebb.mosaic import output_layout

with job(snakemake.log[0]):
    layout = output_layout(
        snakemake.input.alignment,
        snakemake.input.geometry,
        output_wcs=snakemake.input.get("output_wcs"),
        max_megapixels=snakemake.params.max_megapixels,
        **snakemake.params.step,
    )
    Path(snakemake.output[0]).write_text(json.dumps(layout.to_dict()))
