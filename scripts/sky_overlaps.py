import json
from pathlib import Path

from snakewebb.job import job
from snakewebb.layout import Layout, read_facts
from snakewebb.skymatch import overlap_statistics

with job(snakemake.log[0]):
    alignment = json.loads(Path(snakemake.input.alignment).read_text())
    result = overlap_statistics(
        snakemake.input.exposure,
        snakemake.wildcards.exposure,
        read_facts(snakemake.input.geometry)[1],
        Layout.from_dict(alignment["layout"]),
        **snakemake.params.step,
    )
    Path(snakemake.output[0]).write_text(json.dumps(result))
