"""JSON and YAML as users write them: what cannot be read, or stands twice, is told in one line.

Standard library only, but for what is YAML.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from snakewebb.errors import InputError, reason

DEEPEST = 50
"""Levels of YAML; PyYAML ends the process where there are very many."""


def read(path: str | Path) -> Any:
    """Return what a file holds: YAML if its name ends so, else JSON.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    InputError
        It cannot be read, or gives a key twice.
    """
    path = Path(path)
    language = "YAML" if path.suffix in (".yaml", ".yml") else "JSON"
    try:
        text = path.read_text(encoding="utf-8-sig")
        if language == "YAML":
            return _yaml(text)
        return json.loads(text, object_pairs_hook=_unique)
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: cannot be read as {language}: {reason(error)}: mend it"
        ) from None


def check_config(path: str | Path, may_be_empty: bool = False) -> None:
    """Raise where Snakemake could not read a configuration file, or it gives a key twice.

    Parameters
    ----------
    path : path
    may_be_empty : bool, optional
        Whether it may hold nothing but comments.

    Raises
    ------
    InputError
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        try:
            keys = isinstance(json.loads(text, object_pairs_hook=_unique), dict)
        except json.JSONDecodeError:
            root = _yaml(text, "compose")
            keys = may_be_empty if root is None else root.id == "mapping"
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file: write it, or give --configfile") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as YAML: {reason(error)}: mend it") from None
    if not keys:
        raise InputError(f"{path}: holds no keys and values: list your 'associations' in it")


def holds_keys(path: str | Path) -> bool:
    """Return whether there is such a file, with more in it than comments and blanks."""
    try:
        lines = Path(path).read_text(errors="replace").splitlines()
    except OSError:
        return False
    return any(line.strip() and not line.lstrip().startswith("#") for line in lines)


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(n for n in names if names.count(n) > 1)!r} is given twice")
    return found


def _yaml(text: str, use: str = "load") -> Any:
    """Return what a YAML text holds; or, with ``compose``, its root node: None if it is empty."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _check_events(yaml.parse(text, loader))
        return getattr(yaml, use)(text, loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}: " if mark else ""
        raise ValueError(f"{place}{error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise ValueError(error) from None


def _check_events(events: Iterable[Any]) -> None:
    """Raise ValueError where a YAML text has a key twice in a mapping, or is nested too deeply."""
    # Of each mapping or sequence that is open: its keys, and whether the next node is a key.
    open_nodes: list[list[Any]] = []
    for event in events:
        kind = type(event).__name__
        if kind.endswith("EndEvent") and kind.startswith(("Mapping", "Sequence")):
            open_nodes.pop()
        if not hasattr(event, "anchor"):
            continue
        if open_nodes and open_nodes[-1][0] is not None:
            keys, is_key = open_nodes[-1]
            open_nodes[-1][1] = not is_key
            if is_key and kind == "ScalarEvent":
                if event.value in keys:
                    line = event.start_mark.line + 1
                    raise ValueError(f"line {line}: {event.value!r} is given twice")
                keys.add(event.value)
        if kind.endswith("StartEvent"):
            open_nodes.append([set() if kind.startswith("Mapping") else None, True])
            if len(open_nodes) > DEEPEST:
                raise ValueError(f"more than {DEEPEST} lists and mappings in each other")
