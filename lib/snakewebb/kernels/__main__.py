"""Compile all kernels, once, rather than in the first jobs: ``python -m snakewebb.kernels``.

Importing a module does it, since kernels have signatures.
"""

import logging
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

from snakewebb.kernels.cache import are_complete, note_complete

log = logging.getLogger(__name__)
MODULES = sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))


def compile_kernels(processes: int) -> None:
    """Compile what is not there, with some processes; each begins with other kernels.

    They come to wait for each other where they meet, see `snakewebb.kernels.cache`. Where all are
    there nothing is imported, which would take longer than most jobs.
    """
    if are_complete():
        log.info("all kernels are compiled")
        return
    # Ctrl-C ends them without a word: the job, or the user, knows.
    quiet = "import signal; signal.signal(signal.SIGINT, signal.SIG_DFL)"
    program = f"{quiet}; from {__spec__.name} import compile_from; compile_from"
    firsts = [len(MODULES) * number // processes for number in range(1, processes)]
    others = [subprocess.Popen([sys.executable, "-c", f"{program}({first})"]) for first in firsts]
    compile_from(0)
    for other in others:
        other.wait()
    note_complete()


def compile_from(first: int) -> None:
    """Compile all kernels, beginning with those of one of the modules."""
    for number, name in enumerate(MODULES[first:] + MODULES[:first], 1):
        log.info("kernels of %s, %d of %d", name, number, len(MODULES))
        import_module(f"{__package__}.{name}")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    compile_kernels(os.cpu_count() or 1)
