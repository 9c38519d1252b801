"""The page of a product's quality: what is thought of it, WARN first, and of its exposures."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from snakewebb.report.status import number_cell, row, status_cell, write_page

ENDS = ("WARN", "OK", "ABSENT")
NUMBERS = {
    "stars": ("stars", 1.0, "d"),
    "offset_east": ("offset E<br>mas", 1.0, "+.2f"),
    "offset_north": ("offset N<br>mas", 1.0, "+.2f"),
    "position_rms": ("rms<br>mas", 1.0, ".2f"),
    "flux_offset": ("flux<br>mmag", 1000.0, "+.2f"),
    "sky_step": ("sky step<br>{unit}", 1.0, "+.2g"),
    "noise": ("noise<br>{unit}", 1.0, ".3g"),
    "alignment_rms": ("alignment<br>mas", 1.0, ".1f"),
    "flagged": ("flagged<br>%", 100.0, ".2f"),
}
"""Columns of exposures: heading, factor, format."""


def write_quality_page(
    metrics: Sequence[Mapping[str, Any]],
    exposures: Sequence[Mapping[str, Any]],
    path: str | Path,
) -> None:
    """Write a page with a row for each metric, and one for each exposure.

    Parameters
    ----------
    metrics, exposures : sequence of mappings
        Rows of the tables of `snakewebb.quality.quality_file.write_quality`.
    path : path
        The HTML to write. It needs no other file.
    """
    number = Counter(str(metric["status"]) for metric in metrics)
    counts = ", ".join(f'{number[e]} <span class="{e}">{e}</span>' for e in ENDS if number[e])
    lines = [f"<b>quality</b>: {counts}"]
    lines += [
        f'<span class="WARN">WARN</span> {escape(str(metric["description"]))}: '
        f"{escape(str(metric['reason']))}"
        for metric in metrics
        if metric["status"] == "WARN"
    ]
    unit = next((str(m["unit"]) for m in metrics if m["metric"] == "sky_step"), "")
    titles = tuple(title.format(unit=escape(unit)) for title, _, _ in NUMBERS.values())
    rows = (_row(exposure) for exposure in exposures)
    write_page(lines, {"each exposure": titles}, rows, path, quality_table(metrics))


def quality_table(metrics: Iterable[Mapping[str, Any]]) -> str:
    """Return the table of what a product is worth, HTML: what is WARN first."""
    rows = []
    for metric in sorted(metrics, key=lambda metric: ENDS.index(str(metric["status"]))):
        unit = f" {metric['unit']}" if metric["unit"] else ""
        error = f" ± {metric['error']:.2g}" if math.isfinite(metric["error"]) else ""
        value, limit = (
            f"{number:.4g}{told}{unit}" if math.isfinite(number) else ""
            for number, told in ((metric["value"], error), (metric["threshold"], ""))
        )
        rows.append(
            f'<tr><td class="left">{escape(str(metric["description"]))}</td>'
            f"<td>{escape(value)}</td><td>{escape(limit)}</td><td>{metric['n']}</td>"
            f'{status_cell(metric)}<td class="remarks">{escape(str(metric["reason"]))}</td></tr>'
        )
    titles = "".join(f"<th>{name}</th>" for name in ("value", "threshold", "n"))
    return (
        f'<table><thead><tr class="titles"><th class="left">quality</th>{titles}'
        '<th class="step left">status</th><th class="remarks">remarks</th></tr></thead><tbody>\n'
        + "\n".join(rows)
        + "\n</tbody></table>"
    )


def _row(exposure: Mapping[str, Any]) -> str:
    """Return an exposure's row."""
    reason = str(exposure["outlying"])
    end = {"status": "WARN" if reason else "OK", "reason": reason}
    cells = [status_cell(end)]
    for name, (_, factor, form) in NUMBERS.items():
        value = exposure[name]
        cells.append(number_cell(int(value) if form == "d" else factor * float(value), form))
    return row(str(exposure["exposure"]), cells, {"stands out": end})
