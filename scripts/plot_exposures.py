from snakewebb.workflow.job import job, named
from snakewebb.report.figures import drawn, plot_exposures

with job(snakemake.log[0]), drawn(*snakemake.output):
    plot_exposures(snakemake.output, **named(snakemake.input))
