<<<<<<< HEAD
from snakewebb.jobs.background import combine_backgrounds

from snakewebb.workflow.job import job, named

with job(snakemake.log[0]):
    combine_backgrounds(snakemake.input, snakemake.output[0], **named(snakemake.params))
=======
from snakewebb.workflow.job import job, named
from snakewebb.jobs.background import combine_backgrounds

with job(snakemake.log[0]):
    combine_backgrounds(
        target=snakemake.output[0], **named(snakemake.input), **named(snakemake.params)
    )
>>>>>>> cal
