from snakewebb.workflow.job import job
from snakewebb.io.atomic import write_json
from snakewebb.io.planes import check_exposure
from snakewebb.jobs.find_sources import sources_of_exposure
from snakewebb.mosaicking.weights import typical_weights
from snakewebb.wcs.exposure import locate

with job(snakemake.log[0]):
    path = snakemake.input.exposure
    check_exposure(path)
    known, sky = locate(path)
    known["group_id"] = snakemake.params.group_id or known["group_id"]
    known["typical_weights"] = typical_weights(path, known)
    sources = sources_of_exposure(
        path, known, sky, snakemake.input.get("catalog"), **snakemake.params.step
    )
    known["sources"] = {name: column.tolist() for name, column in sources.items()}
    write_json(snakemake.output[0], known)
