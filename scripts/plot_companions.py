from snakewebb.workflow.job import job, named
from snakewebb.report.figures import drawn
from snakewebb.report.subtraction_figures import plot_companions

with job(snakemake.log[0]), drawn(*snakemake.output):
    plot_companions(snakemake.output[0], **named(snakemake.input))
