import json
from pathlib import Path

from snakewebb.job import job
from snakewebb.skymatch import match_sky

with job(snakemake.log[0]):
    statistics = [json.loads(Path(path).read_text()) for path in snakemake.input.overlaps]
    result = match_sky(
        statistics, skylist=snakemake.input.get("skylist") or None, **snakemake.params.step
    )
    result["parameters"] = {**snakemake.params.overlaps, **snakemake.params.step}
    Path(snakemake.output[0]).write_text(json.dumps(result))
