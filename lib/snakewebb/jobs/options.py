"""From the options of the configuration to the dataclasses that steps take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

Options = TypeVar("Options")


def options_of(kind: type[Options], given: Mapping[str, Any], prefix: str = "") -> Options:
    """Return the options of one kind among those of a step; what is not given has its default.

    Parameters
    ----------
    kind : type
        A dataclass of options.
    given : mapping
        Options of the step, by the names of the configuration.
    prefix : str, optional
        What these names have before those of the dataclass.
    """
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    return kind(**{name: given[prefix + name] for name in names if prefix + name in given})
