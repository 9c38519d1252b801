"""The folder that a run works in. Standard library only."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
from pathlib import Path
from typing import TextIO

from snakewebb.errors import InputError, tell

_MARKS: dict[Path, TextIO] = {}


def occupy(folder: str | Path) -> None:
    """Mark Snakemake's folder as in use, and clear the locks of a run that was killed.

    Snakemake's own locks outlive a killed run, and then the user has to unlock the folder by hand.
    The mark does not: the system takes it off when the process ends, however it ends. So locks
    without a mark are remains, and go. Where that is not sure (the mark was last set on another
    machine, or the file system has no locks) they stay.

    Parameters
    ----------
    folder : path
        ``.snakemake``.

    Raises
    ------
    InputError
        The folder cannot be written.
    """
    folder = Path(folder).absolute()
    if folder in _MARKS:
        return
    try:
        folder.mkdir(exist_ok=True)
        mark = _MARKS[folder] = (folder / "in_use").open("a+")
    except OSError as error:
        raise InputError(
            f"{folder.parent}: cannot be written ({error.strerror}): make it writable, "
            "or work elsewhere with --directory"
        ) from error
    results = folder.parent / "results"
    if results.exists() and not os.access(results, os.W_OK):
        tell(f"{results.name}: is read-only: a run will fail")
    here, locks = socket.gethostname(), folder / "locks"
    mark.seek(0)
    last = mark.read()
    try:
        fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if any(locks.glob("*")):
            tell(f"another run is at work here ({last})")
    except OSError:
        return
    else:
        if last.startswith(f"{here}, "):
            shutil.rmtree(locks, ignore_errors=True)
        if not any(locks.glob("*")):
            mark.truncate(0)
            mark.write(f"{here}, process {os.getpid()}")
            mark.flush()
    fcntl.flock(mark, fcntl.LOCK_SH)
