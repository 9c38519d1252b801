from snakewebb.workflow.job import job
from snakewebb.report.figures import drawn
from snakewebb.report.pictures import plot_mosaic

with job(snakemake.log[0]), drawn(*snakemake.output):
    plot_mosaic(snakemake.input.mosaic, snakemake.output[0])
