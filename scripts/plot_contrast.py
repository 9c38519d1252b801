from snakewebb.workflow.job import job, named
from snakewebb.report.contrast_figures import plot_contrast
from snakewebb.report.figures import drawn

with job(snakemake.log[0]), drawn(*snakemake.output):
    plot_contrast(snakemake.output[0], **named(snakemake.input))
