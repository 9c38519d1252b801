from snakewebb.workflow.job import job, named
from snakewebb.report.figures import drawn
from snakewebb.report.product_page import plot_page

with job(snakemake.log[0]), drawn(*snakemake.output):
    plot_page(snakemake.output, **named(snakemake.input))
