from snakewebb.workflow.job import job, named
from snakewebb.report.exposure_figures import plot_exposures
from snakewebb.report.figures import drawn

with job(snakemake.log[0]), drawn(*snakemake.output):
    plot_exposures(snakemake.output, **named(snakemake.input))
