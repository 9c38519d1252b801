from snakewebb.workflow.job import job
from snakewebb.coronagraphy.files import write_psfstack
from snakewebb.coronagraphy.stack_refs import stack

with job(snakemake.log[0]):
    paths = snakemake.input.exposures
    planes, names, left_out = stack(paths)
    write_psfstack(
        paths[0],
        snakemake.output[0],
        planes,
        exposures=names,
        left_out=left_out,
        asn=snakemake.params.asn,
    )
