"""What every job of the workflow does around its work.

A job says itself what it took: Snakemake's ``benchmark`` looks at a job every half second, which
misses short jobs and short peaks, and takes a twentieth of the time that jobs take.

Scripts import this module first. From then on whatever ends them is told in the log, and in one
line, be it in an import. Until their work begins no garbage is collected, and astropy's reader of
FITS files is there without its units (`snakewebb.startup`).
"""

import contextlib
import faulthandler
import fcntl
import logging
import os
import re
import resource
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from snakewebb.errors import InputError
from snakewebb.startup import collect_garbage, import_fits, put_off_garbage
from snakewebb.workflow.logs import DONE, STOPPED

put_off_garbage()
_BEGIN = time.perf_counter()


@contextlib.contextmanager
def job(log: str) -> Iterator[None]:
    """Write a job's messages to its log, and end it in one line if it fails.

    A job of a run that was killed may live on. It has its log locked, and the next run's job waits
    for its end, so that never two write the same files.

    Parameters
    ----------
    log : str
        Path of the log file.
    """
    start = time.process_time()
    collect_garbage()
    try:
        if log != _GUARDED:
            _open_log(log)
        # Not before, because astropy takes warnings to itself when it is imported.
        logging.captureWarnings(True)
        yield
    except (Exception, KeyboardInterrupt) as error:
        _end(log, error)
    logging.info(DONE, time.perf_counter() - _BEGIN, time.process_time(), start, _peak_memory())


def named(given: Any) -> dict[str, Any]:
    """Return a rule's input or parameters by name, for the job's function to be called with.

    Left out is what only tells Snakemake when to run: the digest of code, and compiled kernels.
    """
    return {name: value for name, value in given.items() if name not in ("code", "kernels")}


def _end(log: str, error: BaseException) -> NoReturn:
    """End this process, and say why."""
    trace = None if isinstance(error, InputError | KeyboardInterrupt) else error
    match error:
        case InputError():
            words = str(error)
        case KeyboardInterrupt():
            words = STOPPED
        case MemoryError():
            words = "out of memory: give the job more, or run fewer at a time with --cores"
        case OSError():
            words = f"{error}: check space and permissions of the folder"
        case ImportError() if not (error.name or "").startswith("snakewebb"):
            words = f"{error}: the environment is incomplete: give 'make env' in the checkout"
        case _:
            words = f"{error!r}: a defect of snakewebb: report it with this log"
    if logging.root.handlers:
        logging.error("%s", words, exc_info=trace)
    # The line in which the run says how far it is, see snakewebb.workflow.console.
    clear = "\r\x1b[K" if sys.stderr and sys.stderr.isatty() else ""
    sys.exit(130 if words == STOPPED else f"{clear}snakewebb: {words} (log: {log})")


def _peak_memory() -> float:
    """Return the most memory that this process has held, in MB."""
    status = Path("/proc/self/status")
    if status.exists():
        # What getrusage tells here is never less than what Snakemake held when it started the job.
        (kilobytes,) = re.findall(r"VmHWM:\s*(\d+)", status.read_text())
        return int(kilobytes) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


def _open_log(path: str) -> logging.FileHandler:
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
    # The line that tells of a full disk is not to be buried under logging's own complaints.
    logging.raiseExceptions = False
    logging.info("process %d on %s", os.getpid(), os.uname().nodename)
    return handler


def _guard(log: str) -> None:
    """From now on tell whatever ends this process, in its log if no more can be done."""
    sys.excepthook = lambda kind, error, trace: _end(log, error)
    handler = _open_log(log)
    faulthandler.enable(handler.stream)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            faulthandler.register(number, handler.stream, all_threads=False, chain=True)


_GUARDED = None
if script := getattr(sys.modules["__main__"], "snakemake", None):
    _guard(_GUARDED := script.log[0])

# What BLAS adds up depends on the number of its threads, for which Snakemake takes a rule's.
os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
import_fits()
