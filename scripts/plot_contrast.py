from snakewebb.job import job
from snakewebb.coron_figures import plot_contrast

with job(snakemake.log[0]):
    plot_contrast(snakemake.input.curve, snakemake.input.detections, snakemake.output[0])
