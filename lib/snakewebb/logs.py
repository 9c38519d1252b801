"""What the logs of jobs say. Standard library only."""

import re
from pathlib import Path

DONE = "done in %.2f s: %.2f s of CPU, %.2f of them before its work began, %d MB of memory"
"""The last message of a job that did its work."""

_DONE = re.compile(re.sub(r"%\S+", r"([\\d.]+)", DONE))
_RECORD = re.compile(r"^\d{4}-\d\d-\d\d \S+ ([A-Z]+) [^:]+: (.*)$")


def cost(log: str | Path) -> dict[str, float]:
    """Return what a job took: ``wall_s``, ``cpu_s``, ``start_s`` of these, ``peak_mb``.

    Parameters
    ----------
    log : str or path
        What `snakewebb.job.job` wrote of a job that did its work.
    """
    numbers = _DONE.findall(Path(log).read_text(errors="replace"))[-1]
    return dict(zip(("wall_s", "cpu_s", "start_s", "peak_mb"), map(float, numbers), strict=True))


def last_words(log: str | Path) -> str | None:
    """Return in one line why a job failed; None if it did not.

    Parameters
    ----------
    log : path
        What `snakewebb.job.job` wrote.
    """
    try:
        lines = Path(log).read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    records = [match.groups() for match in map(_RECORD.match, lines) if match]
    level, message = records[-1] if records else ("", "nothing")
    if level == "ERROR":
        return message
    if _DONE.fullmatch(message):
        return None
    return (
        "ended without a reason: killed for want of memory (then give it more, or run fewer at a "
        f"time with --cores), or the disk is full; its last words: {message}"
    )
