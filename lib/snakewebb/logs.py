"""What the logs of jobs say. Standard library only."""

import re
from pathlib import Path

DONE = "done"
"""The last message of a job that did its work."""

_RECORD = re.compile(r"^\d{4}-\d\d-\d\d \S+ ([A-Z]+) [^:]+: (.*)$")


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
    if message == DONE:
        return None
    return (
        "ended without a reason: killed for want of memory (then give it more, or run fewer at a "
        f"time with --cores), or the disk is full; its last words: {message}"
    )
