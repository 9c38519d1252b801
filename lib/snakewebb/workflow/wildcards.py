"""What wildcards of rules may stand for, as regular expressions."""

from __future__ import annotations

import re
from collections.abc import Iterable


def names_of(values: Iterable[str]) -> str:
    """Return a regular expression that matches the given names only."""
    return "|".join(re.escape(value) for value in sorted(values)) or "none"


def numbered_names_of(values: Iterable[str]) -> str:
    """Return a short regular expression for many names: any digits where they have some."""
    return "|".join(sorted({re.sub(r"\d+", r"\\d+", re.escape(value)) for value in values}))
