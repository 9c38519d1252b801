"""What every job of the workflow does around its work.

A job says itself what it took: Snakemake's ``benchmark`` looks at a job every half second, which
misses short jobs and short peaks, and takes a twentieth of the time that jobs take.

Scripts import this module first: until their work begins no garbage is collected. Looking for it
among the modules being imported, where there is none, takes a fifth of a job's start.
"""

import contextlib
import fcntl
import gc
import logging
import re
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from snakewebb.errors import InputError
from snakewebb.logs import DONE

gc.disable()
_BEGIN = time.perf_counter()


@contextlib.contextmanager
def job(log: str) -> Iterator[None]:
    """Write a job's messages to its log, and end it in one line where the user can mend it.

    A job of a run that was killed may live on. It has its log locked, and the next run's job waits
    for its end, so that never two write the same files.

    Parameters
    ----------
    log : str
        Path of the log file.
    """
    start = time.process_time()
    gc.freeze()
    gc.enable()
    # The line that tells of a full disk is not to be buried under logging's own complaints.
    logging.raiseExceptions = False
    try:
        _open_log(log)
        yield
    except InputError as error:
        logging.error("%s", error)
        sys.exit(f"snakewebb: {error} (log: {log})")
    except MemoryError:
        words = "out of memory: give the job more, or run fewer at a time with --cores"
        logging.exception(words)
        sys.exit(f"snakewebb: {words} (log: {log})")
    except OSError as error:
        words = f"{error}: check space and permissions of the folder"
        logging.exception(words)
        sys.exit(f"snakewebb: {words} (log: {log})")
    except Exception as error:
        logging.exception("%s: a defect of snakewebb: report it with this log", repr(error))
        raise
    logging.info(DONE, time.perf_counter() - _BEGIN, time.process_time(), start, _peak_memory())


def _peak_memory() -> float:
    """Return the most memory that this process has held, in MB."""
    status = Path("/proc/self/status")
    if status.exists():
        # What getrusage tells here is never less than what Snakemake held when it started the job.
        (kilobytes,) = re.findall(r"VmHWM:\s*(\d+)", status.read_text())
        return int(kilobytes) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


def _open_log(path: str) -> None:
    handler = logging.FileHandler(path)
    # Some file systems have no locks.
    with contextlib.suppress(OSError):
        fcntl.flock(handler.stream, fcntl.LOCK_EX)
    handler.stream.truncate(0)
    logging.basicConfig(
        handlers=[handler],
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        force=True,
    )
    logging.captureWarnings(True)
