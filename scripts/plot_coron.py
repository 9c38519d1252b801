from snakewebb.job import job
from snakewebb.coron_figures import plot_product
from snakewebb.figures import drawn

with job(snakemake.log[0]), drawn(*snakemake.output):
    names = snakemake.params.exposures
    plot_product(
        dict(zip(snakemake.params.members, snakemake.input.exposures, strict=True)),
        dict(zip(names, snakemake.input.references, strict=False)),
        dict(zip(names, snakemake.input.subtracted, strict=True)),
        snakemake.params.truncate,
        snakemake.output,
    )
