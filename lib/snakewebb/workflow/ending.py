"""What a run says when it is done: what it warns of, where things are, what to do next."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath
from typing import Any

from snakewebb.errors import InputError
from snakewebb.workflow.logs import number_of_warnings
from snakewebb.workflow.progress import WIDTH, clock

MOST = 6
"""Products, and things that did not end well, that are told each."""
SHOWN = ("_i2d.fits", "_cat.ecsv", "_contrast.ecsv", "_rgb.png")
"""What is named of a product; the README has all."""


def finish(
    workflow: Any,
    report: str | None,
    outcomes: Sequence[str],
    logs: Iterable[str],
    seconds: float,
) -> list[str]:
    """Write the report of a run that has made everything; return the lines with which it ends.

    Parameters
    ----------
    workflow : snakemake.workflow.Workflow
        It has just succeeded.
    report : path or None
        Where the report is to be; None if nowhere.
    outcomes : sequence of str
        What did not end well, a line each (`snakewebb.workflow.outcomes`).
    logs : iterable of path
        Of the jobs of this run.
    seconds : float
        How long it took.
    """
    jobs, lines = list(workflow.dag.jobs), []
    if set(workflow.dag_settings.targets) - {"all"}:
        report = None
    if report:
        try:
            write_report(workflow, report)
        except Exception as error:  # whatever it is, the products are made
            lines = [f"{report}: the report cannot be written: {InputError(error)}"]
            report = None
    lines += told(outcomes, logs := list(logs))
    return [*lines, *ending([f for j in jobs for f in j.output], len(logs), seconds, report or "")]


def ending(files: Iterable[str], number: int, seconds: float, report: str) -> list[str]:
    """Return the lines that say what a run has made.

    Parameters
    ----------
    files : iterable of path
        What was asked for, and is made.
    number : int
        Of jobs in this run.
    seconds : float
        How long it took.
    report : path
        Empty if there is none.
    """
    lines = [f"Done: {number} job{'s' if number != 1 else ''} in {clock(seconds)}."]
    folders: dict[str, list[str]] = {}
    files = list(files)
    lines[-1] += " What there is:" if files else ""
    for path in map(PurePath, files):
        known = folders.setdefault(str(path.parent), [])
        known += [end for end in SHOWN if path.name == f"{path.parent.name}{end}"]
    products = [folder for folder, ends in folders.items() if ends]
    for folder in products[:MOST]:
        plots = ["plots/"] if f"{folder}/plots" in folders else []
        lines += indented(f"{folder}/: {', '.join([*sorted(folders[folder]), *plots])}")
    if products[MOST:]:
        lines.append(f"  and {len(products) - MOST} more products beside them")
    if not products:
        lines += indented(", ".join(sorted(folders)[:MOST]))
    lines += [f"  {report}: all pictures; open it in a browser"] if report else []
    return [*lines, "Next: change a parameter, see with -n what it makes again, run again"]


def told(outcomes: Sequence[str], logs: Iterable[str]) -> list[str]:
    """Return in a line or two each what did not end well, and where there is more about it."""
    lines = [line for outcome in outcomes[:MOST] for line in indented(outcome, first="")]
    if outcomes[MOST:]:
        lines.append(f"and {len(outcomes) - MOST} more: see the products' pages")
    if number := number_of_warnings(logs):
        lines.append(f"WARN {number} warnings in logs: grep WARNING -r logs")
    return lines


def indented(text: str, first: str = "  ") -> list[str]:
    """Return a text in lines, of which all but the first stand further in."""
    return textwrap.wrap(
        text, WIDTH, initial_indent=first, subsequent_indent="    ", break_on_hyphens=False
    )


def write_report(workflow: Any, path: str | Path) -> None:
    """Write Snakemake's report of what a run has made, as ``snakemake --report`` does.

    Parameters
    ----------
    workflow : snakemake.workflow.Workflow
        It has just succeeded.
    path : path
    """
    import warnings

    from snakemake.api import ReportPluginRegistry
    from snakemake.report import auto_report
    from snakemake.settings.types import GlobalReportSettings

    plugin = ReportPluginRegistry().get_plugin("html")
    settings = plugin.settings_cls(path=Path(path))
    plugin.validate_settings(settings)
    with warnings.catch_warnings():
        # Of rules whose memory follows from their input.
        warnings.filterwarnings("ignore", "coroutine", RuntimeWarning)
        workflow.async_run(auto_report(workflow.dag, plugin, settings, GlobalReportSettings()))
