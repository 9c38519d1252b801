import json
from pathlib import Path

from snakewebb.job import job
from snakewebb.coron import locate_stars

with job(snakemake.log[0]):
    stars = locate_stars(snakemake.input.exposures, **snakemake.params.step)
    Path(snakemake.output[0]).write_text(json.dumps(stars))
