from snakewebb.workflow.job import job, named
from snakewebb.report.figures import drawn
from snakewebb.report.quality_figures import plot_quality

with job(snakemake.log[0]), drawn(*snakemake.output):
    plot_quality(snakemake.output, **named(snakemake.input))
