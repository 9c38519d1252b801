from snakewebb.workflow.job import job, named
from snakewebb.report.coron_figures import plot_product
from snakewebb.report.figures import drawn

with job(snakemake.log[0]), drawn(*snakemake.output):
    plot_product(snakemake.output, **named(snakemake.input), **named(snakemake.params))
