from snakewebb.job import job
from snakewebb.figures import plot_alignment, plot_outliers, plot_sky
from snakewebb.status import read_status, write_table

with job(snakemake.log[0]):
    status = read_status(
        snakemake.input.alignment, snakemake.input.get("sky"), snakemake.input.exposures
    )
    plot_alignment(status, snakemake.output.alignment)
    plot_sky(status, snakemake.output.sky)
    plot_outliers(status, snakemake.output.outliers)
    write_table(status, snakemake.output.status)
