"""What a run says when it is done: what it warns of, where things are, what to do next."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from pathlib import Path, PurePath
from typing import Any

from snakewebb.errors import InputError
from snakewebb.workflow.logs import warnings_of
from snakewebb.workflow.progress import WIDTH, clock

MOST = 6
"""Products, and warnings, that are told each."""
SHOWN = ("_i2d.fits", "_cat.ecsv", "_contrast.ecsv")
"""What is named of a product; the README has all."""


def finish(workflow: Any, report: str | None, logs: Iterable[str], seconds: float) -> list[str]:
    """Write the report of a run that has made everything; return the lines with which it ends.

    Parameters
    ----------
    workflow : snakemake.workflow.Workflow
        It has just succeeded.
    report : path or None
        Where the report is to be; None if nowhere.
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
    return [*lines, *ending([f for j in jobs for f in j.output], logs, seconds, report or "")]


def ending(files: Iterable[str], logs: Iterable[str], seconds: float, report: str) -> list[str]:
    """Return the lines with which a run ends.

    Parameters
    ----------
    files : iterable of path
        What was asked for, and is made.
    logs : iterable of path
        Of the jobs of this run.
    seconds : float
        How long it took.
    report : path
        Empty if there is none.
    """
    logs = list(logs)
    jobs = f"{len(logs)} job{'s' if len(logs) != 1 else ''}"
    lines = [*warned(logs), f"Done: {jobs} in {clock(seconds)}."]
    folders: dict[str, list[str]] = {}
    files = list(files)
    lines[-1] += " Made are" if files else ""
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


def warned(logs: Iterable[str]) -> list[str]:
    """Return what jobs warn of, in a line or two each; what differs in numbers only once."""
    alike: dict[str, list[tuple[str, str]]] = {}
    for message, where in warnings_of(logs).items():
        for log in where:
            key = re.sub(r"\d+", "", f"{message} {PurePath(log).parts[1:-1]}")
            alike.setdefault(key, []).append((message, log))
    lines = []
    for (message, log), *others in list(alike.values())[:MOST]:
        product, *_, job = PurePath(log).with_suffix("").parts[1:3]
        more = f" (and {len(others)} like it)" if others else ""
        lines += indented(f"WARN {product} {job}: {message}{more}", first="")
    if len(alike) > MOST:
        lines.append(f"WARN and {len(alike) - MOST} more: grep WARNING -r logs")
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
