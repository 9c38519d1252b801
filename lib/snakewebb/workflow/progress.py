"""How far a run is, and how long it will still take. Standard library only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

WIDTH = 100
"""Columns of a line where there is no terminal."""
WEIGHTS: Mapping[str, float] = {
    "background": 0.7, "cal": 0.2, "quick_look": 0.6, "kernels": 2.0, "find_sources": 0.2,
    "align": 0.1, "skymatch": 0.4, "median": 1.3, "crf": 0.3, "i2d": 1.6, "source_catalog": 0.5,
    "quality": 0.5, "crfints": 0.2, "psfstack": 0.2, "find_stars": 0.9, "psfalign": 1.2,
    "psfsub": 0.5, "coron_i2d": 0.3, "contrast": 5.6, "plot_backgrounds": 2.3, "plot_coron": 1.0,
    "plot_exposures": 0.5, "plot_mosaic": 0.5, "plot_quality": 0.5, "plot_sources": 0.6,
    "plot_companions": 0.3, "plot_contrast": 0.3, "plot_stage2": 0.1,
}  # fmt: skip
"""What a job takes, by rule, before any was measured: seconds of CPU in the logs of ``make demo``.

Only their ratios count. Kernels are compiled by ``make env``; where they are not, a minute is to be
added, in which the line says how far they are. Of a rule that is not here it is `UNKNOWN`.
"""
UNKNOWN = 0.5


@dataclass(frozen=True)
class Task:
    """A job that is to be done.

    Attributes
    ----------
    rule : str
    threads : int
        How many cores it keeps busy.
    seconds : float or None
        What it took the last time, if it was ever done here.
    """

    rule: str
    threads: int = 1
    seconds: float | None = None


@dataclass
class Progress:
    """The jobs of a run: which run, which are done, and what they took.

    Attributes
    ----------
    tasks : mapping
        By Snakemake's number of the job.
    begin : float
        When the run began, in seconds on some clock.
    """

    tasks: Mapping[int, Task]
    begin: float
    running: dict[int, float] = field(default_factory=dict)
    done: dict[int, float] = field(default_factory=dict)

    def start(self, job: int, now: float) -> None:
        """Note that a job begins."""
        if job in self.tasks:
            self.running[job] = now

    def fail(self, job: int) -> None:
        """Note that a job has failed; it may begin once more."""
        self.running.pop(job, None)

    def finish(self, job: int, now: float) -> None:
        """Note that a job is done."""
        if job in self.running:
            self.done[job] = now - self.running.pop(job)

    def remaining(self, now: float) -> float | None:
        """Return how many seconds it will still take; None as long as nothing tells.

        As long for each second of work as until now, with the work of a job taken from others of
        its rule in this run, else from the last time it was done, else from `WEIGHTS`.
        """
        expected = expectations(self.tasks, self.done)
        work = {job: expected[job] * task.threads for job, task in self.tasks.items()}
        parts = {
            job: min((now - start) / expected[job], 0.9)
            for job, start in self.running.items()
            if expected[job]
        }
        finished = sum(work[job] for job in self.done)
        finished += sum(work[job] * part for job, part in parts.items())
        if not self.done or not finished:
            return None
        return (now - self.begin) * (sum(work.values()) / finished - 1)

    def words(self, now: float) -> str:
        """Return in a line how far the run is."""
        gone, rest = now - self.begin, self.remaining(now)
        to_go = "" if rest is None else f", about {clock(rest)} to go"
        busy = many(self.tasks[job].rule for job in self.running)
        return f"{len(self.done)} of {len(self.tasks)} jobs, {clock(gone)}{to_go}: {busy}"


def expectations(
    tasks: Mapping[int, Task], done: Mapping[int, float] | None = None
) -> dict[int, float]:
    """Return what each job takes, in seconds: measured, where it can be.

    Parameters
    ----------
    tasks : mapping
        By number.
    done : mapping, optional
        What some of them took just now.
    """
    done = done or {}
    now: dict[str, list[float]] = {}
    before: dict[str, list[float]] = {}
    for job, task in tasks.items():
        if job in done:
            now.setdefault(task.rule, []).append(done[job])
        elif task.seconds is not None:
            before.setdefault(task.rule, []).append(task.seconds)
    means = {rule: sum(values) / len(values) for rule, values in (before | now).items()}
    known = {rule: mean for rule, mean in means.items() if WEIGHTS.get(rule)}
    scale = sum(known.values()) / sum(WEIGHTS[rule] for rule in known) if known else 1.0
    found = {}
    for job, task in tasks.items():
        own = done.get(job, None if task.rule in now else task.seconds)
        rule = means.get(task.rule, WEIGHTS.get(task.rule, UNKNOWN) * scale)
        found[job] = rule if own is None else own
    return found


def cut(text: str, width: int) -> str:
    """Return a text as it is, or what of it fits in a line, with an ellipsis."""
    return text if len(text) <= width else f"{text[: width - 1]}…"


def clock(seconds: float) -> str:
    """Return a time as minutes and seconds, as *1:05*, or with hours, as *2:01:05*."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def many(rules: Iterable[str]) -> str:
    """Return in words how many jobs of each rule there are, as *crf ×4, i2d*."""
    counts = Counter("pictures" if rule.startswith("plot_") else rule for rule in rules)
    return ", ".join(f"{rule} ×{n}" if n > 1 else rule for rule, n in counts.items())
