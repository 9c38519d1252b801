from snakewebb.workflow.job import job, named
from snakewebb.report.figures import drawn
from snakewebb.report.stage2_figures import write_status

with job(snakemake.log[0]), drawn(*snakemake.output):
    write_status(path=snakemake.output[0], **named(snakemake.input))
