from snakewebb.workflow.job import job
from snakewebb.report.figures import drawn
from snakewebb.report.rgb_picture import plot_rgb

with job(snakemake.log[0]), drawn(*snakemake.output):
    plot_rgb(snakemake.input.mosaics, snakemake.output[0], field=snakemake.wildcards.field)
