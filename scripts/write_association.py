import json
from pathlib import Path

from snakewebb.job import job
from snakewebb import association
from snakewebb.files import write_text

with job(snakemake.log[0]):
    target = Path(snakemake.output[0])
    product = association.of_files(snakemake.wildcards.product, snakemake.params.files)
    table = association.as_table(product, target.parent)
    write_text(target, json.dumps(table, indent=4) + "\n")
