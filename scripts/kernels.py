import logging

from snakewebb.job import job
from snakewebb.kernels.__main__ import COMPILED

with job(snakemake.log[0]):
    logging.info("compiled: %s", ", ".join(module.__name__ for module in COMPILED))
