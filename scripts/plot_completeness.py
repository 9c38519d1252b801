from snakewebb.workflow.job import job
from snakewebb.report.completeness_figures import plot_completeness
from snakewebb.report.figures import drawn

with job(snakemake.log[0]), drawn(*snakemake.output):
    plot_completeness(snakemake.input.completeness, snakemake.output[0])
