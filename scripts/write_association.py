import json
from pathlib import Path

from snakewebb.workflow.job import job
from snakewebb.io.atomic import write_text
from snakewebb.workflow import associations

with job(snakemake.log[0]):
    target = Path(snakemake.output[0])
    product = associations.of_files(snakemake.wildcards.product, snakemake.params.files)
    table = associations.as_table(product, target.parent)
    write_text(target, json.dumps(table, indent=4) + "\n")
