from snakewebb.job import job
from snakewebb.figures import drawn
from snakewebb.pictures import plot_mosaic

with job(snakemake.log[0]), drawn(*snakemake.output):
    plot_mosaic(snakemake.input.mosaic, snakemake.output[0])
