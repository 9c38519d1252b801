from snakewebb.workflow.job import job, named
from snakewebb.report.figures import drawn
from snakewebb.report.stage2_figures import plot_backgrounds

with job(snakemake.log[0]), drawn(*snakemake.output):
    plot_backgrounds(snakemake.output[0], **named(snakemake.input))
