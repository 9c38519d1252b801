from snakewebb.workflow.job import job

with job(snakemake.log[0]):
    from snakewebb.kernels.__main__ import compile_kernels

    compile_kernels(snakemake.threads)
