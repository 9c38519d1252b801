import json
from pathlib import Path

from snakewebb.bands import write_band
from snakewebb.job import job
from snakewebb.layout import Layout
from snakewebb.median import product_median

with job(snakemake.log[0]):
    alignment = json.loads(Path(snakemake.input.alignment).read_text())
    sky = snakemake.input.get("sky")
    median, start = product_median(
        Layout.from_dict(alignment["layout"]),
        snakemake.input.exposures,
        snakemake.input.geometry,
        json.loads(Path(sky).read_text())["exposures"] if sky else {},
        int(snakemake.wildcards.band),
        snakemake.params.bands,
        **snakemake.params.step,
    )
    write_band(snakemake.output[0], {"MEDIAN": median}, start)
