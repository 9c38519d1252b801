"""What the logs of jobs say. Standard library only."""

import logging
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from snakewebb.errors import tell

DONE = "done in %.2f s: %.2f s of CPU, %.2f of them before its work began, %d MB of memory"
"""The last message of a job that did its work."""

STOPPED = "stopped"
"""The last message of a job that was interrupted."""

GOES_ON = f"{STOPPED}; the same command goes on"
"""What a run says that was interrupted."""

_KILLED = "killed"
_SILENT = "ended without a word: see what it printed, and whether the disk is full"
_DONE = re.compile(re.sub(r"%\S+", r"([\\d.]+)", DONE))
_RECORD = re.compile(r"^\d{4}-\d\d-\d\d \S+ ([A-Z]+ [^:]+): (.*)$")
# Of the message with which a job ends itself.
_END = "ERROR root"
# What faulthandler writes on a crash, and on a signal that ends the process.
_CRASH = re.compile(r"^Fatal Python error: (.*)$")
_SIGNAL = "Stack (most recent call first):"


def tell_of_interrupt() -> None:
    """Say in one line from now on, instead of a traceback, that Ctrl-C has ended this process.

    A run whose jobs have begun is told by Snakemake, see `Failures`.
    """

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            tell(GOES_ON)
        else:
            sys.__excepthook__(kind, error, trace)

    sys.excepthook = hook


def cost(log: str | Path) -> dict[str, float]:
    """Return what a job took: ``wall_s``, ``cpu_s``, ``start_s`` of these, ``peak_mb``.

    Parameters
    ----------
    log : str or path
        What `snakewebb.workflow.job.job` wrote of a job that did its work.
    """
    numbers = _DONE.findall(Path(log).read_text(errors="replace"))[-1]
    return dict(zip(("wall_s", "cpu_s", "start_s", "peak_mb"), map(float, numbers), strict=True))


def last_words(log: str | Path) -> str | None:
    """Return in one line why a job failed; None if it did not.

    Parameters
    ----------
    log : path
        What `snakewebb.workflow.job.job` wrote.
    """
    try:
        lines = Path(log).read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    source = message = ""
    for line in lines:
        if match := _RECORD.match(line):
            source, message = match.groups()
        elif match := _CRASH.match(line):
            return (
                f"crashed ({match[1]}): a defect of snakewebb or of a library: report it with this "
                f"log; its last words: {message}"
            )
        elif line == _SIGNAL and source != _END:
            return (
                f"{STOPPED} by a signal: by hand, or at a limit of time; its last words: {message}"
            )
    if source == _END:
        return message
    if _DONE.fullmatch(message):
        return None
    if not source:
        return _SILENT
    return (
        f"{_KILLED}, mostly for want of memory: give it more, or run fewer at a time with --cores; "
        f"its last words: {message}"
    )


def current_words(log: str | Path) -> str:
    """Return what a job said last, behind a comma; nothing if it has not said anything yet."""
    try:
        lines = Path(log).read_text(errors="replace").splitlines()
    except OSError:
        return ""
    # The first says where the job runs, the last what it took.
    said = [match[2] for line in lines[1:] if (match := _RECORD.match(line))]
    return f", {said[-1]}" if said and not _DONE.fullmatch(said[-1]) else ""


def number_of_warnings(logs: Iterable[str | Path]) -> int:
    """Return how many different warnings of this library some logs hold."""
    found = set()
    for log in logs:
        try:
            lines = Path(log).read_text(errors="replace").splitlines()
        except OSError:
            continue
        said = filter(None, map(_RECORD.match, lines))
        found |= {match[2] for match in said if match[1].startswith("WARNING snakewebb")}
    return len(found)


class Failures(logging.Handler):
    """Snakemake's own records of jobs that failed, which it makes even when told to be quiet."""

    def __init__(self) -> None:
        super().__init__()
        self._jobs: dict[str, list[str]] = {}
        self.logs: dict[str, None] = {}
        """Of all jobs that have begun, in order."""
        self.interrupted = False

    def emit(self, record: logging.LogRecord) -> None:
        """Note a job that failed: its log, and the files that it should have made."""
        told = vars(record)
        if told.get("event") == "job_info":
            self.logs.update(dict.fromkeys(told["log"][:1]))
        elif record.msg and str(record.msg).startswith("Terminating processes on user request"):
            self.interrupted = True
        # What ends after Ctrl-C, ends because of it, whatever it says.
        if told.get("event") == "job_error" and told["log"] and not self.interrupted:
            self._jobs[told["log"][0]] = told["output"]

    def reasons(self) -> list[tuple[str, str]]:
        """Return the log of each job that failed for good, and in one line why it did."""
        found = [
            (log, last_words(log) or _SILENT)
            for log, files in self._jobs.items()
            # Another attempt may have made them.
            if not all(Path(file).exists() for file in files)
        ]
        # What was stopped before it could say so was so with the others, by hand.
        stopped = any(words.startswith(STOPPED) for _, words in found)
        by_hand = any(words == STOPPED for _, words in found)
        lost = ((_SILENT,) if stopped else ()) + ((_KILLED,) if by_hand else ())
        return [
            (log, STOPPED if lost and words.startswith(lost) else words) for log, words in found
        ]

    def messages(self) -> list[str]:
        """Return in one line each why jobs failed, and what to do then."""
        reasons = self.reasons()
        if self.interrupted and all(words.startswith(STOPPED) for _, words in reasons):
            return [GOES_ON]
        mend = "" if all(words.startswith(STOPPED) for _, words in reasons) else "mend this and "
        last = f"{mend}give the same command again: what is made stays"
        return [*(f"{path}: {words}" for path, words in reasons), last]
