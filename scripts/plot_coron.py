from snakewebb.workflow.job import job
from snakewebb.report.coron_figures import plot_product
from snakewebb.report.figures import drawn

with job(snakemake.log[0]), drawn(*snakemake.output):
    names = snakemake.params.exposures
    plot_product(
        dict(zip(snakemake.params.members, snakemake.input.exposures, strict=True)),
        dict(zip(names, snakemake.input.references, strict=False)),
        dict(zip(names, snakemake.input.subtracted, strict=True)),
        snakemake.params.truncate,
        snakemake.output,
    )
