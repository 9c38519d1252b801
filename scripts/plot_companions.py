import json
from pathlib import Path

from snakewebb.workflow.job import job
from snakewebb.report.figures import drawn
from snakewebb.report.subtraction_figures import plot_companions

with job(snakemake.log[0]), drawn(*snakemake.output):
    stars = json.loads(Path(snakemake.input.stars).read_text())
    place = next(iter(stars.values()))["correction"]
    plot_companions(
        snakemake.input.mosaic,
        (place["ra0"], place["dec0"]),
        snakemake.output[0],
        sources=snakemake.input.get("detections"),
        snr=snakemake.input.get("snr"),
    )
