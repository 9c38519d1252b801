from snakewebb.workflow.job import job
from snakewebb.report.figures import drawn, plot_alignment, plot_outliers, plot_sky
from snakewebb.report.status import read_status, write_table

with job(snakemake.log[0]), drawn(*snakemake.output):
    made, out = snakemake.input, snakemake.output
    status = read_status(made.alignment, made.get("sky"), made.exposures)
    for plot, path in (
        (plot_alignment, out.alignment),
        (plot_sky, out.sky),
        (plot_outliers, out.outliers),
        (write_table, out.status),
    ):
        with drawn(path):
            plot(status, path)
