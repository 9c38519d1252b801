from snakewebb.job import job
from snakewebb.figures import drawn
from snakewebb.pictures import plot_sources

with job(snakemake.log[0]), drawn(*snakemake.output):
    plot_sources(snakemake.input.mosaic, snakemake.input.catalog, snakemake.output[0])
