"""Which reference files are for an exposure: those that the user gives, or those of CRDS.

Standard library only: the workflow asks while it finds out what is to be made.
"""

from __future__ import annotations

import glob
import logging
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from snakewebb.errors import InputError
from snakewebb.io.fits_structure import first_header
from snakewebb.references.headers import (
    agreements,
    contradictions,
    moment,
    reference_header,
    useafter,
)

if TYPE_CHECKING:
    from snakewebb.references.crds import CrdsCache

log = logging.getLogger(__name__)

DETECTOR = ("INSTRUME", "DETECTOR", "CHANNEL", "MODULE", "BAND")
OPTICS = (*DETECTOR, "FILTER", "PUPIL", "SUBARRAY")


class Kind(NamedTuple):
    """A type of reference file.

    Attributes
    ----------
    said : tuple of str
        What its files say of themselves that must be so of the exposure. Tables have rows for all
        filters.
    preferred : tuple of str
        What decides between several beside that. Real distortions do not list all the pupils that
        the rules of CRDS choose them for.
    by_type : bool
        Whether of several files those for other types of exposures are left out.
    spared : bool
        Whether an exposure can do without.
    """

    said: tuple[str, ...]
    preferred: tuple[str, ...] = ()
    by_type: bool = True
    spared: bool = True


KINDS = {
    "distortion": Kind((*DETECTOR, "SUBARRAY"), ("FILTER", "PUPIL"), spared=False),
    "filteroffset": Kind((*DETECTOR, "SUBARRAY")),
    "flat": Kind(OPTICS, ("READPATT",), by_type=False),
    "photom": Kind(DETECTOR),
    "area": Kind(OPTICS),
}
REFTYPES = tuple(KINDS)
"""Types of reference files that stage 2 takes."""

EXPOSURES = ("ImageModel", "CubeModel", "RampModel", "Level1bModel")
"""DATAMODL of exposures."""
KEYED = ("DETECTOR", "SUBARRAY", "PUPIL", "FILTER")
"""What keys of a mapping of files name, in the order of precedence."""
WORD = re.compile(
    r"NRC[AB]([1-4]|LONG)|MIRIMAGE|NIS|GUIDER[12]|(?!NRC|MIRI|GUIDER)[A-Z]+\d\w*|MASK\w+|CLEARP?|"
    r"NRM|FULLP?|BRIGHTSKY|SLITLESSPRISM|PINHOLES|OPAQUE|FND"
)
"""Detectors, filters, pupils, subarrays."""
MASKED = re.compile(r"F\d+\w+|MASK\w+")
"""Filters and masks."""


def canonical(name: str) -> str:
    """Return the one name of a coronagraph's mask, whichever of its names is given.

    NIRCam's masks are called after the module too (MASK335R, MASKA335R), MIRI's after the phase
    mask or the subarray (4QPM_1140, MASK1140; LYOT_2300, MASKLYOT).
    """
    name = re.sub(r"^MASK[AB](?=\d|LWB|SWB)", "MASK", name.strip().upper())
    return re.sub(r"^4QPM_", "MASK", name.replace("LYOT_2300", "MASKLYOT"))


class Reference(NamedTuple):
    """A reference file that was chosen.

    Attributes
    ----------
    path : str
    name : str
        What products call it: ``crds://<file>`` if it is one of CRDS, else its name.
    doubt : str
        A sentence on what speaks against it; empty if nothing does.
    """

    path: str
    name: str
    doubt: str = ""


def references_of(
    exposure: str | Path,
    given: Mapping[str, Any],
    crds: CrdsCache | None = None,
    reftypes: Iterable[str] = REFTYPES,
) -> dict[str, Reference]:
    """Return the reference files for an exposure, by type; those it needs none of are left out.

    Parameters
    ----------
    exposure : path
    given : mapping
        By type of `REFTYPES`: a file; ``N/A`` for none; a mapping of these by detector, subarray,
        pupil and filter (``NRCALONG``, ``F356W``, ``NRCALONG/F356W/CLEAR``); or a list or a
        pattern of files, of which the one is taken whose own header fits best, and of these the
        one with the latest USEAFTER not after the exposure. What is None, or has nothing for
        this exposure, is asked of CRDS.
    crds : CrdsCache, optional
    reftypes : iterable of str, optional
        Those that are needed.

    Raises
    ------
    InputError
        Nothing is found, a file cannot be read, or one that was given is not for this exposure.
    """
    header = first_header(exposure)
    found = {}
    for reftype in reftypes:
        try:
            reference = _reference(header, reftype, given.get(reftype), crds)
        except InputError as error:
            raise InputError(f"{exposure}: {reftype}: {error}") from None
        if reference:
            found[reftype] = reference
    return found


def _reference(
    header: Mapping[str, str], reftype: str, given: Any, crds: CrdsCache | None
) -> Reference | None:
    path: str | Path | None = _given(header, reftype, given)
    if path and str(path).upper() != "N/A":
        doubt = _doubt(header, reftype, path)
        if doubt:
            raise InputError(f"{path} {doubt}: give another file")
        return Reference(str(path), Path(path).name)
    instrument = header.get("INSTRUME", "").strip().upper()
    if path is None and (reftype, instrument) != ("filteroffset", "FGS"):
        if crds is None:
            nearest = _nearest(header, reftype, given)
            raise InputError(
                f"no file is given for {_words(header)}{nearest}: give reference_files.{reftype}, "
                "or crds with path and context"
            )
        path = crds.best(header, reftype)
        if path:
            doubt = _doubt(header, reftype, path)
            if doubt:
                doubt = (
                    f"{path} {doubt}, though {crds.context} chooses it for {_words(header)}: CRDS "
                    "has mended rules without a new name: remove the cache's mappings, and fetch "
                    f"them again: crds sync --contexts {crds.context}"
                )
            return Reference(str(path), f"crds://{path.name}", doubt)
    if not KINDS[reftype].spared:
        raise InputError(f"{_words(header)} cannot do without: give reference_files.{reftype}")
    return None


def _words(header: Mapping[str, str]) -> str:
    words = (header.get(key, "").strip() for key in ("INSTRUME", *reversed(KEYED), "EXP_TYPE"))
    return " ".join(filter(None, words))


def _doubt(header: Mapping[str, str], reftype: str, path: str | Path) -> str:
    """Return what a file says of itself that is not so of the exposure; empty if nothing is."""
    reference = reference_header(path)
    if other := _other(reference, reftype):
        return f"says that {other}"
    return _told(contradictions(header, reference, KINDS[reftype].said), header)


def _told(wrong: Mapping[str, str], header: Mapping[str, str]) -> str:
    return ", ".join(
        f"says that its {key} is {words}, not {header[key].strip()}" for key, words in wrong.items()
    )


def _other(reference: Mapping[str, str], reftype: str) -> str:
    """Return what a file says of itself that is of another type; empty if it is none such."""
    own = reference.get("REFTYPE", "").strip()
    if own:
        return f"its REFTYPE is {own}" if own.lower() != reftype else ""
    model = reference.get("DATAMODL", "").strip()
    return f"it is an exposure ({model})" if model in EXPOSURES else ""


def _given(header: Mapping[str, str], reftype: str, given: Any) -> str | None:
    """Return the file that a user gives for an exposure; None if it is none."""
    if isinstance(given, Mapping):
        mistake = (
            "{!r} is neither detector, subarray, pupil nor filter: write NRCALONG, F356W or "
            "NRCALONG/F356W/CLEAR"
        )
        return _by_key(given, header, KEYED, WORD, mistake)
    if isinstance(given, str) and not _is_pattern(given):
        return given or None
    return _by_header(header, reftype, given)


def _by_key(
    files: Mapping[str, str],
    header: Mapping[str, str],
    keywords: Iterable[str],
    word: re.Pattern[str],
    mistake: str,
) -> str | None:
    """Return the file whose key fits an exposure and names the most; None if there is none.

    Parameters
    ----------
    files : mapping
        By words of the exposure's header, joined by ``/`` in any order.
    header : mapping
    keywords : iterable of str
        Whose words keys may name; of keys with as many, one with a word of the first goes first.
    word : pattern
        Of words that there are.
    mistake : str
        What is told of a key with others, with braces for the key.
    """
    words = [canonical(header.get(keyword, "")) for keyword in keywords]
    known = {}
    for key, file in files.items():
        parts = [canonical(part) for part in str(key).split("/")]
        if not all(word.fullmatch(part) for part in parts) or len(parts) > len(words):
            raise InputError(mistake.format(key))
        known[frozenset(parts)] = file
    fitting = [key for key in known if key <= set(words)]
    best = max(fitting, key=lambda k: (len(k), [w in k for w in words]), default=None)
    return None if best is None else known[best]


def _is_pattern(path: str) -> bool:
    return glob.has_magic(path) and not Path(path).exists()


def _by_header(header: Mapping[str, str], reftype: str, given: Any) -> str | None:
    """Return the file of several that fits an exposure best; None if none does."""
    try:
        latest = moment(f"{header.get('DATE-OBS', '')} {header.get('TIME-OBS', '')}".strip())
    except ValueError:
        latest = "9999"
    fitting = [
        known
        for known in _candidates(header, reftype, given)
        if not known.wrong and known.useafter <= latest
    ]
    order = [(known.agreements, known.useafter) for known in fitting]
    best = [known.path for known, place in zip(fitting, order, strict=True) if place == max(order)]
    if len(best) > 1:
        raise InputError(
            f"{best[0]} and {best[1]} fit {_words(header)} equally well: leave one of them out of "
            f"reference_files.{reftype}"
        )
    return best[0] if best else None


def _nearest(header: Mapping[str, str], reftype: str, given: Any) -> str:
    """Return what is wrong with that of several files that fits an exposure nearly."""
    several = given and not isinstance(given, Mapping)
    known = _candidates(header, reftype, given) if several else ()
    if not known:
        return ""
    nearest = min(known, key=lambda known: len(known.wrong))
    told = _told(nearest.wrong, header) or f"is for exposures after {nearest.useafter}"
    return f" (the nearest, {nearest.path}, {told})"


class Candidate(NamedTuple):
    """One of several files: what speaks against it, for it, and from when it holds."""

    path: str
    wrong: Mapping[str, str]
    agreements: int
    useafter: str


def _candidates(header: Mapping[str, str], reftype: str, given: Any) -> tuple[Candidate, ...]:
    """Return the files of a type among those given."""
    kind = KINDS[reftype]
    keywords = (*kind.said, *(("EXP_TYPE",) if kind.by_type else ()))
    values = tuple((key, header.get(key, "")) for key in (*keywords, *kind.preferred))
    patterns = (given,) if isinstance(given, str) else tuple(map(str, given or ()))
    return _weighed(patterns, reftype, keywords, values)


@cache
def _weighed(
    patterns: tuple[str, ...],
    reftype: str,
    keywords: tuple[str, ...],
    values: tuple[tuple[str, str], ...],
) -> tuple[Candidate, ...]:
    """Return the same; many exposures say the same of themselves."""
    header, found = dict(values), []
    for path in dict.fromkeys(file for pattern in patterns for file in _files(pattern, reftype)):
        reference = reference_header(path)
        if not _other(reference, reftype):
            wrong = contradictions(header, reference, keywords)
            score = agreements(header, reference, header)
            found.append(Candidate(path, wrong, score, useafter(reference, path)))
    return tuple(found)


@cache
def _files(pattern: str, reftype: str) -> tuple[str, ...]:
    """Return the files of a name or a pattern; of the latter those that are FITS or ASDF."""
    if not _is_pattern(pattern):
        return (pattern,)
    ends = (".fits", ".fits.gz", ".asdf")
    found = tuple(p for p in sorted(glob.glob(pattern, recursive=True)) if p.endswith(ends))
    if not found:
        raise InputError(
            f"no FITS or ASDF file is called {pattern}: mend reference_files.{reftype}"
        )
    return found


def choose(masks: Mapping[str, str], path: str | Path) -> str | None:
    """Return the PSFMASK for an exposure; None if none is for it.

    Parameters
    ----------
    masks : mapping
        Files by filter, mask, or both: ``F335M``, ``MASK335R``, ``F335M/MASK335R``. What names
        both goes before a mask, that before a filter.
    path : path
        The exposure.

    Raises
    ------
    InputError
        A key is neither filter nor mask, or the exposure cannot be read.
    """
    mistake = (
        "reference_files.psfmask: {!r} is neither filter nor mask: write F335M, MASK335R or "
        "F335M/MASK335R"
    )
    return _by_key(masks, first_header(path), ("CORONMSK", "FILTER"), MASKED, mistake)
