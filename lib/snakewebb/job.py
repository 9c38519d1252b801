"""What every job of the workflow does around its work.

Scripts import this module first: until their work begins no garbage is collected. Looking for it
among the modules being imported, where there is none, takes a fifth of a job's start.
"""

import gc
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from snakewebb.errors import InputError

gc.disable()


@contextmanager
def job(log: str) -> Iterator[None]:
    """Write a job's messages to its log, and end it in one line where the input is at fault.

    Parameters
    ----------
    log : str
        Path of the log file.
    """
    gc.freeze()
    gc.enable()
    logging.basicConfig(
        filename=log,
        filemode="w",
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        force=True,
    )
    logging.captureWarnings(True)
    try:
        yield
    except InputError as error:
        logging.error("%s", error)
        sys.exit(f"snakewebb: {error}")
    except MemoryError:
        logging.exception("out of memory")
        sys.exit("snakewebb: out of memory: give the job more, or run fewer at a time with --cores")
    except OSError as error:
        logging.exception("the system refused")
        sys.exit(f"snakewebb: {error}: check space and permissions of the results folder")
    except Exception:
        logging.exception("this is a defect of snakewebb")
        raise
