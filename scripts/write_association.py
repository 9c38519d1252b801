import json
from pathlib import Path

from snakewebb.job import job
from snakewebb import association

with job(snakemake.log[0]):
    target = Path(snakemake.output[0])
    product = association.of_files(snakemake.wildcards.product, snakemake.params.files)
    table = association.as_table(product, target.parent)
    target.write_text(json.dumps(table, indent=4) + "\n")
