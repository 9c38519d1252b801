from snakewebb.workflow.job import job, named
from snakewebb.jobs.source_catalog import MadeOf, make_catalog

with job(snakemake.log[0]):
    given = named(snakemake.input)
    make_catalog(
        given.pop("mosaic"),
        (snakemake.output.catalog, snakemake.output.segmentation),
        made_of=MadeOf(*(given.pop(name) for name in ("exposures", "facts", "alignment"))),
        threads=snakemake.threads,
        **given,
        **named(snakemake.params),
    )
