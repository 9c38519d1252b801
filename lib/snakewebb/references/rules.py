"""The rules by which CRDS chooses reference files: what its mapping files say.

A mapping is Python source of two literals, ``header`` and ``selector``, the latter with calls of
`Match` and `UseAfter`; it is read with `ast`, nothing of it is executed. How keys match is as
crds 14.0.3 does it, held to in `tests/references/test_rules.py`; what JWST's rules do not use, such
as regular expressions, is refused. Standard library only.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from snakewebb.errors import InputError, reason
from snakewebb.io.fits_structure import version

WITHOUT_EFFECT = {
    "rmap_relevance": ("ALWAYS",),
    "rmap_omit": ("FALSE",),
    "reffile_required": ("NONE", "YES"),
    "merge_overlaps": ("TRUE", "1"),
    "parkey_relevance": ("{}",),
    "comment_parkeys": ("", "[]"),
    "hooks": ("{}",),
}
"""What a header may say that changes a choice, and the values with which it does not."""
SUBSTITUTIONS: Mapping[str, Mapping[str, Any]] = {"META.SUBARRAY.NAME": {"GENERIC": "N/A"}}
"""In keys of all rules, by parameter."""
NUMBER = re.compile(r"[-+]?(\d*\.?\d+(E[-+]?\d+)?|\d+\.)")
MOMENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,6})?")
BEYOND = re.compile(r"[({#<>]|BETWEEN|NOT(?! )|.*[\[?]")
"""Keys that crds knows and that are refused."""
UNDEFINED = "UNDEFINED"


class Selector(NamedTuple):
    """A call of ``Match`` or ``UseAfter`` in a mapping: its name, and what it is given."""

    name: str
    choices: Mapping[Any, Any]


class Mapped(NamedTuple):
    """A mapping file: its header, and its selector, in an rmap a `Selector`."""

    header: Mapping[str, Any]
    selector: Any


def read_mapping(path: Path, **place: str) -> Mapped:
    """Return what a mapping of JWST says.

    Parameters
    ----------
    path : Path
    **place : str
        What its header must say, in capitals: ``mapping`` is PIPELINE, INSTRUMENT or REFERENCE;
        then ``instrument``, then ``filekind``.

    Raises
    ------
    InputError
        It cannot be read, is damaged, or belongs elsewhere.
    """
    mapped = _read(path, version(path))
    for key, wanted in {"observatory": "JWST", **place}.items():
        found = str(mapped.header.get(key, "")).upper()
        if found != wanted:
            raise InputError(
                f"{path}: is not the CRDS mapping that belongs here ({key} is "
                f"{found or 'missing'}, not {wanted}): fetch it again"
            )
    return mapped


@cache
def _read(path: Path, version: tuple[int, int]) -> Mapped:
    try:
        text = path.read_text(encoding="utf-8")
        parts = {
            statement.targets[0].id: _literal(statement.value)
            for statement in ast.parse(text).body
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
        }
        header, selector = parts["header"], parts["selector"]
        if not isinstance(header, dict):
            raise ValueError("its header is none")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({reason(error)}): fetch it again") from None
    except KeyError as error:
        raise InputError(f"{path}: is no CRDS mapping (no {error}): fetch it again") from None
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        raise InputError(f"{path}: is no CRDS mapping ({error}): fetch it again") from None
    rest = "".join(line for line in text.splitlines(True) if "sha1sum" not in line)
    if hashlib.sha1(rest.encode()).hexdigest() != header.get("sha1sum"):
        raise InputError(f"{path}: is damaged (its sha1sum is another): fetch it again")
    return Mapped(header, selector)


def _literal(node: ast.expr) -> Any:
    """Return the value of an expression of literals, and of calls of selectors."""
    if isinstance(node, ast.Call):
        if not isinstance(node.func, ast.Name) or len(node.args) != 1 or node.keywords:
            raise ValueError(f"line {node.lineno}: a call that is no selector's")
        return Selector(node.func.id, _literal(node.args[0]))
    if isinstance(node, ast.Dict) and None not in node.keys:
        keys = map(ast.literal_eval, node.keys)
        return dict(zip(keys, map(_literal, node.values), strict=True))
    return ast.literal_eval(node)


def refused(name: str, what: str) -> InputError:
    """Return the error that rules of a name say something that is not understood."""
    return InputError(
        f"{name}: {what} is not understood here: choose with the crds package "
        "(crds.getreferences), and give what it chooses in reference_files"
    )


class NoRowError(LookupError):
    """The rules have no reference file for an exposure."""


class Rules:
    """The rules for one type of reference file: an rmap.

    Parameters
    ----------
    header : mapping
    selector : Selector
    name : str

    Attributes
    ----------
    name : str
        What messages call it.
    parameters, moment : tuple of str
        Data-model paths, in capitals, of what is matched and of the date and time.

    Raises
    ------
    InputError
        They are told in a way that is not known here.
    """

    def __init__(self, header: Mapping[str, Any], selector: Selector, name: str) -> None:
        self.name = name
        for key, values in WITHOUT_EFFECT.items():
            if str(header.get(key, values[0])).strip("()").upper() not in values:
                raise refused(self.name, key)
        parkeys = [tuple(str(p).upper() for p in level) for level in header.get("parkey", ())]
        if isinstance(selector, Selector) and selector.name == "UseAfter":
            parkeys, selector = [(), *parkeys], Selector("Match", {(): selector})
        if not isinstance(selector, Selector) or selector.name != "Match":
            raise refused(self.name, "a selector that is not Match")
        self.parameters, self.moment = (*parkeys, (), ())[:2]
        self._rows = self._conditioned(selector, header.get("substitutions", {}))
        self._ranked: dict[tuple[str, ...], list[list[Any]]] = {}

    def _conditioned(
        self, selector: Selector, substitutions: Mapping[str, Mapping[str, Any]]
    ) -> dict[tuple[str, ...], Any]:
        """Return choices by keys as they are compared."""
        raw = {key if isinstance(key, tuple) else (key,): c for key, c in selector.choices.items()}
        substitutions = {**SUBSTITUTIONS, **substitutions}
        for at, parameter in enumerate(self.parameters):
            for key in list(raw):
                new = substitutions.get(parameter, {}).get(key[at]) if at < len(key) else None
                if new is not None:
                    new = tuple(new) if isinstance(new, list) else new
                    raw[*key[:at], new, *key[at + 1 :]] = raw.pop(key)
        rows: dict[tuple[str, ...], Any] = {}
        for key, choice in raw.items():
            known = tuple(map(_condition_key, key))
            if len(known) != len(self.parameters) or known in rows:
                raise refused(self.name, f"the key {key}")
            for element in known:
                if BEYOND.match(element.removeprefix("NOT ").strip()):
                    raise refused(self.name, f"the key {element!r}")
            if isinstance(choice, Selector):
                files = choice.choices
                if choice.name != "UseAfter" or not all(isinstance(f, str) for f in files.values()):
                    raise refused(self.name, f"{choice.name} in {key}")
                if not all(MOMENT.fullmatch(str(date)) for date in files):
                    raise refused(self.name, f"a date of {key}")
                choice = dict(files)
            elif not isinstance(choice, str):
                raise refused(self.name, f"what {key} chooses")
            rows[known] = choice
        return rows

    def choose(self, values: Mapping[str, str]) -> str:
        """Return the file for an exposure; or ``N/A``, or another word for that there is none.

        Of the rows that match, those with the most parameters that match by more than ``N/A``
        go first, taken together; of their dates the latest one not after the exposure's. Where
        all are after it, the next best rows are asked.

        Parameters
        ----------
        values : mapping
            What the exposure says, by data-model path in capitals.

        Raises
        ------
        NoRowError
        InputError
            Rows that match equally well contradict each other.
        """
        wanted = tuple(condition(values.get(p, UNDEFINED)) for p in self.parameters)
        if wanted not in self._ranked:
            self._ranked[wanted] = self._rank(wanted)
        moment = ""
        for choices in self._ranked[wanted]:
            table = self._merged(choices)
            if isinstance(table, str):
                return table
            moment = moment or self._moment(values)
            date = max((date for date in table if date <= moment), default=None)
            if date is not None:
                return table[date]
        told = [f"{p.rpartition('.')[2]} {v}" for p, v in zip(self.parameters, wanted, strict=True)]
        raise NoRowError(", ".join([*told, f"at {moment}" if moment else ""]).rstrip(", "))

    def _rank(self, wanted: tuple[str, ...]) -> list[list[Any]]:
        """Return the choices of rows that match, those that match equally well together."""
        columns = zip(*self._rows, strict=True)
        if not all(_is_listed(v, keys) for v, keys in zip(wanted, columns, strict=False)):
            return []
        found = defaultdict(list)
        for key, choice in self._rows.items():
            scores = [_score(k, v) for k, v in zip(key, wanted, strict=True)]
            if None not in scores:
                found[sum(scores)].append(choice)
        return [found[score] for score in sorted(found, reverse=True)]

    def _merged(self, choices: Sequence[Any]) -> str | dict[str, str]:
        """Return the one choice of equally good rows; of one date, the greater name."""
        if isinstance(choices[0], str) and all(choice == choices[0] for choice in choices):
            return choices[0]
        if not all(isinstance(choice, dict) for choice in choices):
            raise refused(self.name, "a choice between equally good rows")
        merged: dict[str, str] = {}
        for choice in choices:
            merged |= {date: max(file, merged.get(date, "")) for date, file in choice.items()}
        return merged

    def _moment(self, values: Mapping[str, str]) -> str:
        """Return the exposure's date and time as rules write them."""
        text = " ".join(values.get(p, UNDEFINED).strip() for p in self.moment)
        try:
            if MOMENT.fullmatch(text):
                return datetime.fromisoformat(text).isoformat(" ")
        except ValueError:
            pass
        raise NoRowError(f"{' and '.join(p.rpartition('.')[2] for p in self.moment)} {text!r}")


def condition(value: Any) -> str:
    """Return a parameter's value as crds compares it."""
    text = str(value).strip().upper()
    if NUMBER.fullmatch(text):
        text = str(float(text))
    if re.match(r"-2147483648\.0|\(\)|N/A|NOT APPLICABLE|NOT_APPLICABLE$", text):
        return "N/A"
    return {"ANY": "*", "4294967295.0": "-1.0", "TRUE": "T", "FALSE": "F"}.get(text, text)


def _condition_key(element: Any) -> str:
    """Return an element of a row's key likewise; alternatives stand between bars."""
    if isinstance(element, str) and "|" in element and not element.upper().startswith("NOT"):
        element = sorted(part for part in map(str.strip, element.split("|")) if part)
    if isinstance(element, tuple | list):
        return "|".join(map(condition, element))
    return condition(element)


def _score(key: str, value: str) -> int | None:
    """Return 1 where a value matches, 0 where it does not matter, None where it does not match."""
    if key.startswith("NOT "):
        return {None: 1, 0: 0, 1: None}[_score(key[4:].strip(), value)]
    if "N/A" in (key, value):
        return 0
    fits = value == "*" or any(fnmatchcase(value, part.strip()) for part in key.split("|"))
    return 1 if fits else None


def _is_listed(value: str, keys: Sequence[str]) -> bool:
    """Return whether a parameter's value is one that the rules know of.

    To crds a value that no row spells out is none, also if a row has a pattern that it fits,
    unless there are rows for all values or for all but some.
    """
    parts = {part for key in keys for part in key.split("|")}
    return (
        bool(parts & {value, "N/A", "*"})
        or value in ("N/A", "*")
        or any(key.startswith("NOT") for key in keys)
    )
