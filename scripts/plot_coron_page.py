from snakewebb.workflow.job import job, named
from snakewebb.report.coron_page import plot_coron_page
from snakewebb.report.figures import drawn

with job(snakemake.log[0]), drawn(*snakemake.output):
    plot_coron_page(snakemake.output, **named(snakemake.input))
