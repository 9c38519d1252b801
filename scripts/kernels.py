from snakewebb.job import job
from snakewebb.kernels.__main__ import compile_all

with job(snakemake.log[0]):
    compile_all()
