"""What did not go as it should, of the products that are there: a line each, for the end of a run.

Standard library and PyYAML only; small files and headers are read, no pixels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from snakewebb.report.outcomes import STEPS, WORDS, End, first, product_ends
from snakewebb.workflow.fields import FOLDER
from snakewebb.workflow.plan import Plan


def outcomes(plan: Plan, fields: Iterable[str] = (), results: str | Path = "results") -> list[str]:
    """Return in a line each what failed, was skipped, is to be warned of, or lacks a file.

    Parameters
    ----------
    plan : Plan
    fields : iterable of str, optional
        Their names.
    results : path, optional
        The folder of its products; what is not there is passed over.
    """
    # What is the same of several products, such as a file that none has, is one line.
    alike: dict[End, list[str]] = defaultdict(list)
    for name in plan.products:
        folder = Path(results) / name
        own = folder / name
        exposures = [
            folder / Path(path).name
            for kind in STEPS
            for exptype in ("science", "psf")
            for path in plan.files(name, kind, exptype)
            if folder.is_dir()
        ]
        for end in product_ends(
            exposures,
            f"{own}_cat.ecsv",
            f"{own}_contrast.ecsv",
            f"{own}_quality.ecsv",
        ):
            alike[end].append(name)
    for name in fields:
        for end in product_ends(catalog=Path(results) / FOLDER / name / f"{name}_cat.ecsv"):
            alike[end].append(f"field {name}")
    lines = [f"{end.word} {first(of)} {end.step}: {end.why}" for end, of in alike.items()]
    return sorted(lines, key=lambda line: WORDS.index(line.partition(" ")[0]))
