from snakewebb.workflow.job import job

with job(snakemake.log[0]):
    import snakewebb.kernels.__main__  # noqa: F401
