from snakewebb.workflow.job import job
from snakewebb.report.figures import drawn
from snakewebb.report.pictures import plot_sources

with job(snakemake.log[0]), drawn(*snakemake.output):
    plot_sources(snakemake.input.mosaic, snakemake.input.catalog, snakemake.output[0])
