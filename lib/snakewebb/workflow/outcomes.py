"""What did not go as it should, of the products that are there: a line each, for the end of a run.

Standard library and PyYAML only; small files and headers are read, no pixels.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

from snakewebb.errors import InputError
from snakewebb.io.fits_structure import first_header
from snakewebb.io.names import product_exposure
from snakewebb.workflow.plan import Plan

ON_PURPOSE = "skip is set"
"""Why a step was skipped that the user wants to be."""
NAMED = 3
"""So many exposures, or products, are named each."""
NO_FILE = {
    "apcorr": ("model", "{}: reference_files.apcorr or crds replaces it"),
    "abvegaoffset": ("none", "no Vega magnitudes: they need reference_files.abvegaoffset or crds"),
}
"""What the status of a catalogue begins with where a reference file is wanting; what is said."""


class End(NamedTuple):
    """How something ended that did not end well.

    Attributes
    ----------
    place : str
        Product and step.
    word : str
        ``FAILED``, ``SKIPPED``, ``WARN``, or ``REFERENCE``.
    reason : str
    exposure : str
        Its name; empty if it is of the whole product.
    """

    place: str
    word: str
    reason: str
    exposure: str = ""


def outcomes(plan: Plan, results: str | Path = "results") -> list[str]:
    """Return in a line each what failed, was skipped, is to be warned of, or lacks a file.

    Parameters
    ----------
    plan : Plan
    results : path, optional
        The folder of its products; what is not there is passed over.
    """
    ends = [
        end
        for name in plan.products
        for end in _ends(plan, name, Path(results) / name)
        if end.reason != ON_PURPOSE
    ]
    exposures: dict[End, list[str]] = defaultdict(list)
    for end in ends:
        exposures[end._replace(exposure="")].append(end.exposure)
    # What is the same of several products as a whole, such as a file that none has, is one line.
    alike: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for end, names in exposures.items():
        product, _, step = end.place.rpartition(" ")
        known = [name for name in names if name]
        told = f" ({_first(known)})" if known else ""
        alike[end.word, step, end.reason + told].append(product)
    lines = [f"{word} {_first(of)} {step}: {why}" for (word, step, why), of in alike.items()]
    order = ("FAILED", "WARN", "SKIPPED", "REFERENCE")
    return sorted(lines, key=lambda line: order.index(line.partition(" ")[0]))


def _first(names: list[str]) -> str:
    """Return the first of some names, and how many more there are."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _ends(plan: Plan, product: str, folder: Path) -> Iterator[End]:
    """Return what did not end well of a product."""
    own = folder / product
    work = folder / "work" / product
    for step, part in (("alignment", "alignment"), ("skymatch", "sky")):
        yield from _of_json(Path(f"{work}_{part}.json"), product, step)
    for kind, step in (("crf", "outlier_detection"), ("psfalign", "align_psfs")):
        members = plan.files(product, kind) if folder.is_dir() else []
        yield from _of_headers((folder / Path(path).name for path in members), product, step)
    catalog = _ecsv_meta(Path(f"{own}_cat.ecsv")).get("source_catalog", {})
    yield from _of_status(catalog, f"{product} source_catalog")
    for reftype, (word, words) in NO_FILE.items():
        if str(found := catalog.get(reftype, "")).startswith(word):
            yield End(f"{product} source_catalog", "REFERENCE", words.format(found))
    contrast = _ecsv_meta(Path(f"{own}_contrast.ecsv"))
    yield from _of_status(contrast.get("contrast", {}), f"{product} contrast")
    if "approximate" in str(contrast.get("psf", "")):
        words = "fluxes rest on a model of the PSF that may be wrong by 30 %: give reference_files"
        yield End(f"{product} contrast", "REFERENCE", f"{words}.psf")
    for warning in _ecsv_meta(Path(f"{own}_quality.ecsv")).get("quality", {}).get("warnings", ()):
        yield End(f"{product} quality", "WARN", warning)


def _of_status(status: dict[str, Any], place: str) -> Iterator[End]:
    word = status.get("status", "COMPLETE")
    if word != "COMPLETE":
        yield End(place, word, status.get("reason", ""))


def _of_json(path: Path, product: str, step: str) -> Iterator[End]:
    """Return what a file of alignment or of sky levels tells of exposures."""
    try:
        told = json.loads(path.read_text())
    except (OSError, ValueError):
        return
    exposures = told.get("exposures", {})
    name = told.get("step", step)
    for exposure, end in exposures.items():
        if end["status"] != "COMPLETE":
            yield End(f"{product} {name}", end["status"], end["reason"], exposure)


def _of_headers(paths: Iterable[Path], product: str, step: str) -> Iterator[End]:
    """Return what primary headers tell of a step."""
    keyword = {"outlier_detection": "S_OUTLIR", "align_psfs": "S_PSFALI"}[step]
    for path in paths:
        try:
            status = first_header(path).get(keyword, "COMPLETE")
        except (InputError, OSError):
            continue
        if status in ("FAILED", "SKIPPED"):
            yield End(f"{product} {step}", status, _reason(path, step), product_exposure(path))


def _reason(path: Path, step: str) -> str:
    """Return what the history in a primary header says of a step that was not completed."""
    lines = []
    with open(path, "rb") as file:
        while (card := file.read(80).decode("ascii", "replace")) and card.strip() != "END":
            if card.startswith("HISTORY "):
                # A card holds 72 characters; what is longer goes on in the next.
                lines.append(card[8:] if len(card.rstrip()) > 78 else f"{card[8:].rstrip()}\n")
    told = re.findall(rf"snakewebb: {step} [A-Z]+: (.*)", "".join(lines))
    return told[-1].strip() if told else ""


def _ecsv_meta(path: Path) -> dict[str, Any]:
    """Return the metadata of a table; empty if it is not there, or has none."""
    import yaml

    class Plain(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        """Passes over columns that need astropy to be understood."""

    Plain.add_multi_constructor("!", lambda loader, tag, node: None)
    try:
        with open(path) as file:
            head = [line[2:] for line in takewhile(lambda line: line.startswith("#"), file)]
        return dict(yaml.load("".join(head[1:]), Plain)["meta"])
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError):
        return {}
