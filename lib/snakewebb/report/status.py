"""What became of each exposure in each step: one record for the report's plots and its table."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import starmap
from pathlib import Path
from typing import Any

from snakewebb.io.atomic import write_text
from snakewebb.io.planes import open_fits

SKIPPED = {"status": "SKIPPED", "reason": "skip is set"}
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
.FAILED {{ color: white; background: #b93a00; font-weight: 600; padding: 0 .3em }}
</style></head><body>
{summary}
<table><thead>
<tr><th></th>{steps}<th class="step"></th></tr>
<tr class="titles"><th class="left">exposure</th>{titles}<th class="step remarks">remarks</th></tr>
</thead><tbody>
{rows}
</tbody></table></body></html>
"""


@dataclass(frozen=True)
class ProductStatus:
    """How the steps before resampling ended.

    Attributes
    ----------
    alignment : dict
        See `snakewebb.jobs.align.align_product`.
    sky : dict or None
        See `snakewebb.mosaicking.skymatch.match_sky`; None if the step was skipped.
    unit : str
        Of the exposures' pixels.
    exposures : dict
        By exposure, in association order, and step: ``status``, ``reason`` and the numbers that
        the step found. The steps are tweakreg or assign_mtwcs, skymatch and outlier_detection,
        whose number is the ``fraction`` of pixels flagged.
    """

    alignment: dict[str, Any]
    sky: dict[str, Any] | None
    unit: str
    exposures: dict[str, dict[str, dict[str, Any]]]


def read_status(
    alignment: str | Path, sky: str | Path | None, exposures: Sequence[str | Path]
) -> ProductStatus:
    """Gather how the steps of a product ended.

    Parameters
    ----------
    alignment : path
        What `snakewebb.jobs.align` found.
    sky : path or None
        What `snakewebb.mosaicking.skymatch` found; None if the step was skipped.
    exposures : sequence of paths
        All ``_crf`` files, in association order. Only headers are read.

    Raises
    ------
    InputError
        An exposure cannot be read.
    """
    aligned = json.loads(Path(alignment).read_text())
    matched = json.loads(Path(sky).read_text()) if sky else None
    found, unit = {}, ""
    for name, path in zip(aligned["layout"]["exposures"], exposures, strict=True):
        with open_fits(path) as hdus:
            primary, unit = hdus[0].header, hdus["SCI"].header.get("BUNIT", "")
        found[name] = {
            aligned["step"]: aligned["exposures"][name],
            "skymatch": matched["exposures"][name] if matched else SKIPPED,
            "outlier_detection": outlier_status(primary),
        }
    return ProductStatus(aligned, matched, unit, found)


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


def write_table(status: ProductStatus, path: str | Path) -> None:
    """Write a page with a row for each exposure.

    Parameters
    ----------
    status : ProductStatus
    path : path
        The HTML to write. It needs no other file.
    """
    unit = escape(status.unit)
    columns: dict[str, Sequence[str]] = {
        status.alignment["step"]: (
            "stars",
            "shift E<br>mas",
            "shift N<br>mas",
            "rms before<br>mas",
            "rms after<br>mas",
        ),
        "skymatch": (f"level<br>{unit}",),
        "outlier_detection": ("flagged<br>%",),
    }
    write_page(_summary(status), columns, starmap(_row, status.exposures.items()), path)


def write_page(
    summary: Iterable[str],
    columns: Mapping[str, Sequence[str]],
    rows: Iterable[str],
    path: str | Path,
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
    """
    steps, titles = "", ""
    for step, names in columns.items():
        steps += f'<th class="step left" colspan="{len(names) + 1}">{step}</th>'
        titles += '<th class="step left">status</th>' + "".join(f"<th>{n}</th>" for n in names)
    page = PAGE.format(
        summary="\n".join(f"<p>{line}</p>" for line in summary),
        steps=steps,
        titles=titles,
        rows="\n".join(rows),
    )
    write_text(path, page)


def _summary(status: ProductStatus) -> list[str]:
    """Return a line for each step and for each fit to the reference catalogue."""
    lines = counts(status.exposures)
    for what, sets in (
        ("stars", _sets(status.alignment["exposures"])),
        ("sky", (status.sky or {}).get("subsets", [])),
    ):
        if len(sets) > 1:
            members = "; ".join(escape(", ".join(names)) for names in sets)
            lines.append(f"<b>not tied together by their {what}</b>: {members}")
    reference = status.alignment.get("reference", {})
    if reference.get("unused"):
        unused = f"{reference['file']}: {reference['unused']}"
        lines.append(f"<b>of no use in the reference catalogue</b> {escape(unused)}")
    for island in status.alignment["islands"]:
        end = f'<span class="{island["status"]}">{island["status"]}</span>'
        if island["status"] == "COMPLETE":
            end += f", {island['n_matches']} stars matched, rms {island['rms']:.1f} mas"
        else:
            end += f", {escape(island['reason'])}"
        lines.append(f"<b>fit to the reference catalogue</b>: {end}")
    return lines


def counts(exposures: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[str]:
    """Return a line for each step: how it ended how many times."""
    lines = []
    for step in dict.fromkeys(step for steps in exposures.values() for step in steps):
        number = Counter(steps[step]["status"] for steps in exposures.values() if step in steps)
        ends = ", ".join(f'{number[k]} <span class="{k}">{k}</span>' for k in ENDS if number[k])
        lines.append(f"<b>{step}</b>: {ends}")
    return lines


def _sets(exposures: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """Return the groups of each island of common stars."""
    islands: dict[int, dict[str, None]] = {}
    for entry in exposures.values():
        if "island" in entry:
            islands.setdefault(entry["island"], {})[entry["group"]] = None
    return [list(groups) for groups in islands.values()]


def _row(name: str, steps: Mapping[str, Mapping[str, Any]]) -> str:
    """Return an exposure's row."""
    aligned, sky, outliers = steps.values()
    east, north = aligned.get("offset", (None, None))
    cells = [
        status_cell(aligned),
        number_cell(aligned.get("n_matches"), "d"),
        number_cell(east, "+.1f"),
        number_cell(north, "+.1f"),
        number_cell(aligned.get("rms_before"), ".1f"),
        number_cell(aligned.get("rms_after"), ".1f"),
        status_cell(sky),
        number_cell(sky.get("level"), ".5g"),
        *outlier_cells(outliers),
    ]
    return row(name, cells, steps)


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
