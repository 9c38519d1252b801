from snakewebb.workflow.job import job, named
from snakewebb.jobs.source_catalog import MadeOf, make_catalog

with job(snakemake.log[0]):
    given = named(snakemake.input) | named(snakemake.params)
    made_of = MadeOf(*(given.pop(name) for name in ("exposures", "facts", "alignment")))
    out = snakemake.output.catalog, snakemake.output.segmentation
    make_catalog(out=out, made_of=made_of, threads=snakemake.threads, **given)
