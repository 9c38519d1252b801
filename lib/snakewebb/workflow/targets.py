"""Names that a user may ask for: products, fields, exposures, suffixes. Standard library only."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from pathlib import PurePath

from snakewebb.workflow.default_targets import default_targets
from snakewebb.workflow.logs import GOES_ON
from snakewebb.workflow.plan import Plan


def named_targets(plan: Plan, of_fields: Iterable[str] = ()) -> dict[str, list[str]]:
    """Return the files that a name stands for.

    Parameters
    ----------
    plan : Plan
    of_fields : iterable of str, optional
        Files of fields.

    Returns
    -------
    dict
        By name: of a product or a field, all that is made of it; of an exposure, what is made of it
        alone; and of a suffix as ``_i2d`` all files that have it.
    """
    found: dict[str, list[str]] = {}
    exposures = sorted({*plan.exposures()}, key=len, reverse=True)
    of_exposure = re.compile("|".join(map(re.escape, exposures)) or "(?!)")
    for file in default_targets(plan):
        path = PurePath(file)
        own, _, suffix = path.stem.rpartition("_")
        names = [path.parts[1]] if path.parts[1] in plan.products else []
        if own:
            names.append(f"_{suffix}")
        if exposure := of_exposure.match(path.name):
            names.append(exposure[0])
        for name in dict.fromkeys(names):
            found.setdefault(name, []).append(file)
    for file in of_fields:
        # <results>/fields/<field>.json, or below <results>/fields/<field>/.
        field, own = PurePath(file).parts[2].removesuffix(".json"), PurePath(file).stem
        names = [field, own.removeprefix(field)] if own != field else [field]
        for name in names:
            found.setdefault(name, []).append(file)
    return found


def explain(text: str, known: Iterable[str], rules: Iterable[str]) -> str | None:
    """Return what to say of an error of Snakemake's; None if nothing better is known.

    Parameters
    ----------
    text : str
        Its words.
    known : iterable of str
        Names that may be asked for.
    rules : iterable of str
        Names of the rules.
    """
    if text.startswith("Cancelling snakemake"):
        return GOES_ON
    if "Target rules may not contain wildcards" in text:
        return "that is the name of a rule, of many files: ask for a suffix, as _i2d, or a product"
    missing = re.search(r"No rule to produce (.+?) \(if you use input functions", text)
    if missing is None:
        return None
    name = missing[1]
    known = [*known, *rules]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5) or [
        other for other in known if name in other
    ]
    hint = f"did you mean {near[0]}?" if near else "ask for a product, field, exposure or suffix"
    return f"{name}: nothing is called so, and no rule makes such a file: {hint}"
