from snakewebb.job import job
from snakewebb.exposure import typical_weights
from snakewebb.files import write_json
from snakewebb.sources import sources_of_exposure
from snakewebb.wcs import read_geometry

with job(snakemake.log[0]):
    path = snakemake.input.exposure
    known = read_geometry(path)
    known["group_id"] = snakemake.params.group_id or known["group_id"]
    known["typical_weights"] = typical_weights(path, known)
    sources = sources_of_exposure(
        path, known, snakemake.input.get("catalog"), **snakemake.params.step
    )
    known["sources"] = {name: sources[name].tolist() for name in sources.colnames}
    write_json(snakemake.output[0], known)
