"""What did not go as it should of a product, as the files say that were made of it.

A run ends with it, and the product's page begins with it. Standard library and PyYAML only; small
files and headers are read, no pixels.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

from snakewebb.errors import InputError
from snakewebb.io.fits_structure import first_header
from snakewebb.io.names import exposure_suffix, product_exposure

ON_PURPOSE = "skip is set"
"""Why a step was skipped that the user wants to be."""
NAMED = 3
"""So many exposures, or products, are named each."""
WORDS = ("FAILED", "WARN", "SKIPPED", "REFERENCE")
STAGE2 = {
    "bkg_subtract": "S_BKDSUB",
    "assign_wcs": "S_WCS",
    "flat_field": "S_FLAT",
    "photom": "S_PHOTOM",
}
"""Keywords of how steps ended."""
OUTLIERS = {"outlier_detection": "S_OUTLIR"}
STAR = {"align_psfs": "S_PSFALI"}
ALIGNED = {"tweakreg": "S_TWKREG", "assign_mtwcs": "S_MTWCS", "skymatch": "S_SKYMAT"}
STEPS = {
    "crf": STAGE2 | ALIGNED | OUTLIERS,
    "crfints": STAGE2 | OUTLIERS,
    "psfalign": STAR,
    "psfsub": STAR | {"klip": "S_KLIP"},
}
"""By the suffix of an exposure's file the steps that were done to make it."""
NO_FILE = {
    "apcorr": ("model", "{}: reference_files.apcorr or crds replaces it"),
    "abvegaoffset": ("none", "no Vega magnitudes: they need reference_files.abvegaoffset or crds"),
}
"""What the status of a catalogue begins with where a reference file is wanting; what is said."""


class End(NamedTuple):
    """How a step ended that did not end well.

    Attributes
    ----------
    word : str
        Of `WORDS`.
    step : str
    reason : str
    exposures : str
        The first of those that it is of; empty if it is of the whole product.
    """

    word: str
    step: str
    reason: str
    exposures: str

    @property
    def why(self) -> str:
        """The reason, and the exposures."""
        return f"{self.reason} ({self.exposures})" if self.exposures else self.reason


def product_ends(
    exposures: Iterable[str | Path] = (),
    catalog: str | Path | None = None,
    detections: str | Path | None = None,
    quality: str | Path | None = None,
) -> list[End]:
    """Return what did not end well; what is the same of several exposures once.

    Parameters
    ----------
    exposures : iterable of paths
        Files of `STEPS`.
    catalog, detections, quality : path, optional
        ECSV: of sources, of the point sources about a star, and of metrics. Of any of these files
        that is not there, or is damaged, nothing is said.
    """
    found: dict[End, dict[str, None]] = defaultdict(dict)
    for path in exposures:
        for end in _of_exposure(Path(path)):
            found[end].setdefault(product_exposure(path))
    ends = [
        *(end._replace(exposures=first(list(names))) for end, names in found.items()),
        *_of_catalog(ecsv_meta(catalog).get("source_catalog", {})),
        *_of_contrast(ecsv_meta(detections)),
        *_of_quality(ecsv_meta(quality).get("quality", {})),
    ]
    ends = [end for end in ends if end.reason != ON_PURPOSE]
    return sorted(ends, key=lambda end: WORDS.index(end.word))


def first(names: list[str]) -> str:
    """Return the first of some names, and how many more there are."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _of_exposure(path: Path) -> Iterator[End]:
    """Return what the primary header of an exposure tells of its steps."""
    try:
        header = first_header(path)
    except (InputError, OSError):
        return
    ends = {step: header.get(key) for step, key in STEPS[exposure_suffix(path)].items()}
    bad = {step: word for step, word in ends.items() if word in ("FAILED", "SKIPPED")}
    said = _history(path) if bad else ""
    for step, word in bad.items():
        # Of what was done to it before it came here nothing is said.
        if told := re.findall(rf"snakewebb: {step} {word}: (.*)", said):
            yield End(word, step, told[-1].strip(), "")


def _history(path: Path) -> str:
    """Return the history in a primary header, a line each."""
    lines = []
    with open(path, "rb") as file:
        while (card := file.read(80).decode("ascii", "replace")) and card.strip() != "END":
            if card.startswith("HISTORY "):
                # A card holds 72 characters; what is longer goes on in the next.
                lines.append(card[8:] if len(card.rstrip()) > 78 else f"{card[8:].rstrip()}\n")
    return "".join(lines)


def _of_catalog(status: Mapping[str, Any]) -> Iterator[End]:
    yield from _of_status(status, "source_catalog")
    for reftype, (word, words) in NO_FILE.items():
        if str(found := status.get(reftype, "")).startswith(word):
            yield End("REFERENCE", "source_catalog", words.format(found), "")


def _of_contrast(meta: Mapping[str, Any]) -> Iterator[End]:
    yield from _of_status(meta.get("contrast", {}), "contrast")
    if meta.get("star_flux_Jy", 1) is None:
        words = "limits are in MJy/sr, not relative to the star: give contrast.star_flux"
        yield End("REFERENCE", "contrast", words, "")
    if str(meta.get("coronagraph_transmission", "")).startswith("not given"):
        words = "losses by the coronagraph's mask are not in it: give reference_files.throughput"
        yield End("REFERENCE", "contrast", words, "")
    if "approximate" in str(meta.get("psf", "")):
        words = "fluxes rest on a model of the PSF that may be wrong by 30 %: give reference_files"
        yield End("REFERENCE", "contrast", f"{words}.psf", "")


def _of_quality(status: Mapping[str, Any]) -> Iterator[End]:
    for warning in status.get("warnings", ()):
        yield End("WARN", "quality", warning, "")


def _of_status(status: Mapping[str, Any], step: str) -> Iterator[End]:
    """Return how a table was made; one that is COMPLETE may lack something all the same."""
    word, reason = status.get("status", "COMPLETE"), status.get("reason", "")
    if word != "COMPLETE" or reason:
        yield End("WARN" if word == "COMPLETE" else word, step, reason, "")


def ecsv_meta(path: str | Path | None) -> dict[str, Any]:
    """Return the metadata of a table; empty if it is not there, or has none."""
    import yaml

    class Plain(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        """Passes over columns that need astropy to be understood."""

    Plain.add_multi_constructor("!", lambda loader, tag, node: None)
    try:
        with open(path or "") as file:
            head = [line[2:] for line in takewhile(lambda line: line.startswith("#"), file)]
        return dict(yaml.load("".join(head[1:]), Plain)["meta"])
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError):
        return {}
