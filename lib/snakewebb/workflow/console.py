"""What a run says to the person who started it, in place of Snakemake's own words.

Snakemake's log file has these in full. Whoever asks for another output (``--quiet``, ``--verbose``,
``--printshellcmds``, ``--debug-dag``, ``--logger``) gets that.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TextIO

from snakewebb.workflow.logs import current_words
from snakewebb.workflow.progress import WIDTH, Progress, Task, cut

PERIOD = 0.5
"""Seconds between two looks at the clock."""
CHATTER = ("Assuming unrestricted shared filesystem usage", "Config file config/config.yaml is")
NOTHING = "Nothing to be done"
OF_JOBS = (
    "CalledProcessError",
    "Exiting because a job execution failed",
    "At least one job did not",
)
"""Of jobs that failed; the log of each is quoted at the end."""


class Console(logging.Handler):
    """Where a run is, a line that is written anew; or, without a terminal, a line now and then.

    Parameters
    ----------
    workflow : snakemake.workflow.Workflow
    other : snakemake.logging.ColorizingTextHandler
        Snakemake's own handler, which still has what is out of the ordinary.
    say_plan : function of the workflow
        What a dry run says: lines.
    explain : function of a text
        What to say of an error of Snakemake's in place of its text; None for that itself.
    """

    def __init__(
        self,
        workflow: Any,
        other: Any,
        say_plan: Callable[[Any], list[str]],
        explain: Callable[[str], str | None],
    ) -> None:
        super().__init__()
        self._workflow, self._other = workflow, other
        self._say_plan, self._explain = say_plan, explain
        self._stream: TextIO = other.stream
        self._terminal = self._stream.isatty() and not other.nocolor
        self._at_work = self._counted = self._ended = False
        self._progress: Progress | None = None
        self._logs: dict[int, str] = {}
        self._line, self._next = "", 0.0

    @classmethod
    def take_over(
        cls,
        logger: logging.Logger,
        workflow: Any,
        say_plan: Callable[[Any], list[str]],
        explain: Callable[[str], str | None],
    ) -> Console | None:
        """Take the place of Snakemake's own handler; return None where another output is wanted."""
        wanted = workflow.output_settings
        own = [handler for handler in logger.handlers if handler.name == "DefaultStreamHandler"]
        other = (wanted.quiet, wanted.verbose, wanted.printshellcmds, wanted.debug_dag)
        if len(own) != 1 or any(other):
            return None
        console = cls(workflow, own[0], say_plan, explain)
        logger.removeHandler(own[0])
        logger.addHandler(console)
        return console

    # --- records of Snakemake ---

    def emit(self, record: logging.LogRecord) -> None:
        """Take notice of what Snakemake does, and pass on what is out of the ordinary."""
        try:
            self._take_notice(record)
        except Exception:  # as handlers are to do: no run ends for want of words
            self.handleError(record)

    def _take_notice(self, record: logging.LogRecord) -> None:
        told, text = vars(record), record.getMessage()
        event = told.get("event")
        notice: Callable[[Mapping[str, Any]], None] | None = getattr(self, f"_on_{event}", None)
        if notice:
            notice(told)
        elif event == "error" or record.levelno >= logging.WARNING:
            self._pass_on(record, text)
        elif event is None and self._at_work:
            if text.startswith(NOTHING):
                self.say("Nothing to be done: all that was asked for is made, and up to date")
        elif event is None and not text.startswith(CHATTER):
            self._pass_on(record, text)

    def _on_workflow_started(self, told: Mapping[str, Any]) -> None:
        self._at_work = True

    def _on_run_info(self, told: Mapping[str, Any]) -> None:
        """Say what would be done, or begin to count: Snakemake has told how many jobs there are."""
        if self._counted:
            return
        self._counted = True
        if self._workflow.dryrun:
            self.say(*self._say_plan(self._workflow))
            return
        self._progress = Progress(tasks_of(self._workflow), time.monotonic())
        threading.Thread(target=self._watch, daemon=True).start()

    def _on_job_info(self, told: Mapping[str, Any]) -> None:
        if self._progress:
            self._progress.start(told["jobid"], time.monotonic())
            self._logs[told["jobid"]] = next(iter(told["log"]), "")

    def _on_job_finished(self, told: Mapping[str, Any]) -> None:
        if self._progress:
            self._progress.finish(told["job_id"], time.monotonic())

    def _on_job_error(self, told: Mapping[str, Any]) -> None:
        if self._progress:
            self._progress.fail(told["jobid"])

    def _ignore(self, told: Mapping[str, Any]) -> None:
        """Say nothing of it."""

    _on_job_started = _on_shellcmd = _on_group_info = _on_group_error = _ignore
    _on_progress = _on_resources_info = _on_rulegraph = _ignore

    def _pass_on(self, record: logging.LogRecord, text: str) -> None:
        if any(words in text for words in OF_JOBS):
            return
        with self._line_cleared():
            if words := self._explain(text):
                print(f"snakewebb: {words}", file=self._stream, flush=True)
            else:
                self._other.handle(record)

    # --- the line ---

    def say(self, *lines: str) -> None:
        """Write lines."""
        with self._line_cleared():
            for line in lines:
                print(line, file=self._stream)
            self._stream.flush()

    @contextlib.contextmanager
    def _line_cleared(self) -> Iterator[None]:
        if self._line:
            self._stream.write("\r\x1b[K")
        yield
        if self._line:
            self._stream.write(self._line)
            self._stream.flush()

    def finish(self) -> float:
        """Stop to say where the run is, and return how long it took, in seconds."""
        self.acquire()
        try:
            if self._line:
                self._stream.write("\r\x1b[K")
            self._line, self._ended = "", True
            return time.monotonic() - self._progress.begin if self._progress else 0.0
        finally:
            self.release()

    def close(self) -> None:
        """Leave the terminal as it was."""
        self.finish()
        super().close()

    def _watch(self) -> None:
        while not self._ended:
            self.acquire()
            try:
                if self._progress and not self._ended:
                    self._show(self._progress, time.monotonic())
            finally:
                self.release()
            time.sleep(PERIOD)

    def _show(self, progress: Progress, now: float) -> None:
        """Say where the run is: in a terminal always, else if that was long ago."""
        if not progress.running:
            return
        words = progress.words(now)
        if len(progress.running) == 1:
            (job,) = progress.running
            words += current_words(self._logs[job])
        if self._terminal:
            self._line = cut(words, shutil.get_terminal_size().columns - 1)
            self._stream.write(f"\r\x1b[K{self._line}")
            self._stream.flush()
        elif now >= self._next:
            # Seldom in a long run, often enough in a short one.
            self._next = now + min(max(2.0, (now - progress.begin) / 2), 300.0)
            print(cut(words, WIDTH), file=self._stream, flush=True)


def tasks_of(workflow: Any) -> dict[int, Task]:
    """Return the jobs that a run is to do, by Snakemake's number, with what they took before."""
    dag = workflow.dag
    return {
        dag.jobid(job): Task(job.rule.name, threads_of(job, workflow), seconds_of(job, workflow))
        for job in dag.needrun_jobs(exclude_finished=False)
        if job.output
    }


def threads_of(job: Any, workflow: Any) -> int:
    """Return how many cores a job keeps busy; on a cluster it has its own."""
    return min(job.threads, workflow.cores) if workflow.local_exec else 1


def seconds_of(job: Any, workflow: Any) -> float | None:
    """Return what a job took the last time, if it is known."""
    record = workflow.persistence.metadata(job.output[0])
    if not record or record.get("rule") != job.rule.name:
        return None
    start, end = record.get("starttime"), record.get("endtime")
    return end - start if start and end else None
