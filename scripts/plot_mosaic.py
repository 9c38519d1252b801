from snakewebb.job import job
from snakewebb.pictures import plot_mosaic

with job(snakemake.log[0]):
    plot_mosaic(snakemake.input.mosaic, snakemake.output[0])
