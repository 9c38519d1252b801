"""From the options of the configuration to the dataclasses that steps take."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, fields
from typing import Any, TypeVar

from snakewebb.errors import InputError

Options = TypeVar("Options")


def option_names(kind: type, prefix: str = "") -> set[str]:
    """Return what the configuration calls the options of a dataclass."""
    return {prefix + field.name for field in fields(kind)}


def options_of(
    kind: type[Options],
    given: Mapping[str, Any],
    prefix: str = "",
    *,
    others: Collection[str] = (),
) -> Options:
    """Return the options of one kind among those of a step; what is not given has its default.

    Parameters
    ----------
    kind : type
        A dataclass of options.
    given : mapping
        Options of the step, by the names of the configuration.
    prefix : str, optional
        What these names have before those of the dataclass.
    others : collection of str, optional
        Options of the step that are not of this kind.

    Raises
    ------
    InputError
        The step has no such option.
    """
    names = option_names(kind, prefix)
    if unknown := given.keys() - names - set(others):
        known = ", ".join(sorted(names | set(others)))
        raise InputError(f"no option {', '.join(sorted(unknown))}: known are {known}")
    return kind(**{name.removeprefix(prefix): given[name] for name in names & given.keys()})


def record_of(options: Any) -> dict[str, Any]:
    """Return what is noted of options in a product: their names in order, and values."""
    return dict(sorted(asdict(options).items()))
