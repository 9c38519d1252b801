from snakewebb.job import job
from snakewebb.exposure import check_exposure, typical_weights
from snakewebb.exposure_geometry import locate
from snakewebb.files import write_json
from snakewebb.sources import sources_of_exposure

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
