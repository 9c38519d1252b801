"""The best reference file of an exposure, from a local cache of CRDS.

CRDS is the Calibration Reference Data System of STScI. Its rules lie in a cache, with the files,
as ``mappings/jwst/*.{pmap,imap,rmap}`` and ``references/jwst/[<instrument>/]``; what they say,
`snakewebb.references.rules` knows. Nothing is fetched. Standard library only, and PyYAML.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from snakewebb.errors import InputError
from snakewebb.io import schema
from snakewebb.references.rules import NoRowError, Rules, read_mapping, refused

NONE = {"N/A", "TEMP_N/A", "OMIT", "TEMP_OMIT"}
"""What rules say for: there is no such file, and none is needed."""
KEYWORDS = {known.name.upper(): known.keyword for known in schema.attributes()}
"""FITS keywords by data-model path in capitals."""


class AbsentError(InputError):
    """A cache, or the rules in it, have nothing of a type for an exposure."""


class CrdsCache:
    """A local cache of CRDS, and a context: the rules that held at some time.

    Parameters
    ----------
    path : path
        Its folder, as CRDS_PATH names it.
    context : str
        ``jwst_NNNN.pmap``.

    Raises
    ------
    InputError
        No context has such a name.
    """

    def __init__(self, path: str | Path, context: str) -> None:
        if not re.fullmatch(r"jwst_\d+\.pmap", str(context)):
            raise InputError(f"crds: context: {context!r} is none: write it as jwst_1234.pmap")
        self.path = Path(path).expanduser()
        self.context = context
        self._rules: dict[tuple[str, str], Rules | None] = {}
        self._files: dict[tuple[str, str], Path] = {}

    def best(self, header: Mapping[str, str], reftype: str) -> Path | None:
        """Return the best reference file of a type for an exposure; None if it needs none.

        Parameters
        ----------
        header : mapping
            The exposure's FITS keywords, as `snakewebb.io.fits_structure.first_header` reads them.
        reftype : str
            Such as flat, or pars-image2pipeline.

        Raises
        ------
        InputError
            The cache holds a broken file, or the rules are not understood.
        AbsentError
            The cache lacks a file, or the rules have none for this exposure.
        """
        place = header.get("INSTRUME", "").strip().upper(), reftype.upper()
        if place not in self._rules:
            self._rules[place] = self._read_rules(*place)
        rules = self._rules[place]
        if rules is None:
            return None
        values = {}
        for parameter in (*rules.parameters, *rules.moment):
            if parameter not in KEYWORDS:
                raise refused(rules.name, f"the parameter {parameter}")
            if KEYWORDS[parameter] in header:
                values[parameter] = header[KEYWORDS[parameter]]
        try:
            name = rules.choose(values)
        except NoRowError as error:
            raise AbsentError(
                f"{rules.name} of {self.context} has none for {error}: give "
                f"reference_files.{reftype}, or take a later context"
            ) from None
        if name.upper() in NONE:
            return None
        if (place[0], name) not in self._files:
            self._files[place[0], name] = self._find(place[0].lower(), name)
        return self._files[place[0], name]

    def _read_rules(self, instrument: str, reftype: str) -> Rules | None:
        """Return the rules for a type; None if the instrument has no files of it."""
        imaps = self._named(self.context, mapping="PIPELINE")
        imap = imaps.get(instrument, "N/A")
        if imap.upper() in NONE:
            known = ", ".join(sorted(key for key in imaps if imaps[key].upper() not in NONE))
            raise InputError(
                f"{self.context} knows no instrument {instrument or '(INSTRUME is missing)'}, but "
                f"{known or 'none at all'}: give exposures of these, or take another context"
            )
        rmap = self._named(imap, mapping="INSTRUMENT", instrument=instrument).get(reftype)
        if rmap is None:
            raise AbsentError(
                f"{imap} of {self.context} knows no such type: give "
                f"reference_files.{reftype.lower()}, or take a later context"
            )
        if rmap.upper() in NONE:
            return None
        header, selector = read_mapping(
            self._mapping(rmap), mapping="REFERENCE", instrument=instrument, filekind=reftype
        )
        try:
            return Rules(header, selector, rmap)
        except (TypeError, ValueError, AttributeError):
            raise refused(rmap, "its header") from None

    def _named(self, name: str, **place: str) -> dict[str, str]:
        """Return the mappings that one names, by words in capitals."""
        path = self._mapping(name)
        selector = read_mapping(path, **place).selector
        if not isinstance(selector, dict):
            raise InputError(f"{path}: is no CRDS mapping (it names no others): fetch it again")
        return {str(key).upper(): str(value) for key, value in selector.items()}

    def _mapping(self, name: str) -> Path:
        """Return where a mapping is."""
        folder = self.path / "mappings" / "jwst"
        if (folder / name).is_file():
            return folder / name
        contexts = sorted((len(p.name), p.name) for p in folder.glob("jwst_*.pmap"))
        if not contexts:
            raise InputError(
                f"crds: {self.path} is no cache of CRDS (mappings/jwst holds no context): give the "
                f"folder that CRDS_PATH names, or fill it: crds sync --contexts {self.context}"
            )
        raise InputError(
            f"crds: {self.path} lacks {name} (its last context is {contexts[-1][1]}): fetch it: "
            f"crds sync --contexts {self.context}"
        )

    def _find(self, instrument: str, name: str) -> Path:
        """Return where a reference file is, in a cache of either layout."""
        invalid = self.path / "config" / "jwst" / "bad_files.txt"
        if invalid.is_file() and name in invalid.read_text().split():
            raise InputError(
                f"{self.context} chooses {name}, which CRDS has called scientifically invalid: "
                "take a later context"
            )
        folder = self.path / "references" / "jwst"
        for path in (folder / instrument / name, folder / name):
            if path.is_file():
                return path
        raise AbsentError(
            f"crds: {self.path} lacks {name}, which {self.context} chooses: fetch it: crds sync "
            f"--contexts {self.context} --dataset-files *_rate*.fits --fetch-references"
        )
