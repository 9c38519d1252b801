"""Pages with a table of what became of exposures in each step."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from snakewebb.io.atomic import write_text

ENDS = ("COMPLETE", "SKIPPED", "FAILED")

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Steps</title><style>
body {{ font: 13px/1.4 system-ui, sans-serif; margin: 1.5em; color: #222; background: white }}
p {{ margin: .3em 0 }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; margin-top: 1.2em }}
th, td {{ padding: .2em .6em; text-align: right; white-space: nowrap }}
th {{ vertical-align: bottom; background: white }}
tr.titles th {{ position: sticky; top: 0; box-shadow: inset 0 -1px #222 }}
tbody tr:nth-child(even) {{ background: #f3f3f3 }}
tr > .left {{ text-align: left }}
tr > .remarks {{ text-align: left; white-space: normal; min-width: 22em }}
.step {{ border-left: 1px solid #bbb }}
.COMPLETE {{ color: #0063a0 }}
.SKIPPED {{ color: #6a6a6a; font-style: italic }}
.FAILED, .WARN {{ color: white; background: #b93a00; font-weight: 600; padding: 0 .3em }}
.OK {{ color: #0063a0 }}
.ABSENT {{ color: #6a6a6a; font-style: italic }}
</style></head><body>
{summary}
{lead}
<table><thead>
<tr><th></th>{steps}<th class="step"></th></tr>
<tr class="titles"><th class="left">exposure</th>{titles}<th class="step remarks">remarks</th></tr>
</thead><tbody>
{rows}
</tbody></table></body></html>
"""


def outlier_status(primary: Mapping[str, Any]) -> dict[str, Any]:
    """Return how outlier_detection ended, from an exposure's primary header."""
    status = primary.get("S_OUTLIR", "SKIPPED")
    # A card holds 72 characters, without the space that may be last; what is longer goes on.
    lines = (
        line.ljust(72) if len(line) > 70 else f"{line}\n" for line in primary.get("HISTORY", ())
    )
    entry = rf"snakewebb: outlier_detection {status}: (.*?) *(?=snakewebb: |$)"
    reasons = re.findall(entry, "".join(lines), re.MULTILINE)
    reason = reasons[-1] if reasons else ""
    return {"status": status, "reason": reason, "fraction": primary.get("SWB_OUTL")}


def write_page(
    summary: Iterable[str],
    columns: Mapping[str, Sequence[str]],
    rows: Iterable[str],
    path: str | Path,
    lead: str = "",
) -> None:
    """Write a page with a table.

    Parameters
    ----------
    summary : iterable of str
        Lines above it, HTML.
    columns : mapping
        By step, headings of the columns that come after its status.
    rows : iterable of str
        Of `row`.
    path : path
        The HTML to write.
    lead : str, optional
        What stands between the two, HTML.
    """
    steps, titles = "", ""
    for step, names in columns.items():
        steps += f'<th class="step left" colspan="{len(names) + 1}">{step}</th>'
        titles += '<th class="step left">status</th>' + "".join(f"<th>{n}</th>" for n in names)
    page = PAGE.format(
        summary="\n".join(f"<p>{line}</p>" for line in summary),
        lead=lead,
        steps=steps,
        titles=titles,
        rows="\n".join(rows),
    )
    write_text(path, page)


def counts(exposures: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[str]:
    """Return a line for each step: how it ended how many times."""
    lines = []
    for step in dict.fromkeys(step for steps in exposures.values() for step in steps):
        number = Counter(steps[step]["status"] for steps in exposures.values() if step in steps)
        ends = ", ".join(f'{number[k]} <span class="{k}">{k}</span>' for k in ENDS if number[k])
        lines.append(f"<b>{step}</b>: {ends}")
    return lines


def row(name: str, cells: Sequence[str], steps: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a row: an exposure's name, its cells, and the reasons of its steps as remarks."""
    remarks = "; ".join(f"{step}: {end['reason']}" for step, end in steps.items() if end["reason"])
    return (
        f'<tr><td class="left">{escape(name)}</td>{"".join(cells)}'
        f'<td class="step remarks">{escape(remarks)}</td></tr>'
    )


def outlier_cells(end: Mapping[str, Any]) -> list[str]:
    """Return the cells of outlier_detection."""
    fraction = end["fraction"]
    percent = None if fraction is None else 100 * fraction
    return [status_cell(end), number_cell(percent, ".2f")]


def status_cell(end: Mapping[str, Any]) -> str:
    """Return a cell with how a step ended."""
    return f'<td class="step left"><span class="{end["status"]}">{end["status"]}</span></td>'


def number_cell(value: float | None, form: str) -> str:
    """Return a cell with a number; empty for None and NaN."""
    return f"<td>{'' if value is None or value != value else format(value, form)}</td>"
