"""Small files between jobs: JSON that tells the number of its format.

Standard library only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snakewebb.errors import InputError
from snakewebb.io.atomic import write_text


def record_text(values: Mapping[str, Any], version: int) -> str:
    """Return values as JSON, with the version of their format."""
    return json.dumps({"format": version, **values})


def write_record(path: str | Path, values: Mapping[str, Any], version: int) -> None:
    """Write what `read_record` reads."""
    write_text(path, record_text(values, version))


def read_record(path: str | Path, version: int) -> dict[str, Any]:
    """Read values of a version of their format; see `parse_record`."""
    return parse_record(Path(path).read_bytes(), version, path)


def parse_record(text: str | bytes, version: int, path: str | Path) -> dict[str, Any]:
    """Return the values of what `record_text` returned.

    Parameters
    ----------
    text : str or bytes
    version : int
        The version of the format that is understood.
    path : path
        Where the text is from, for the message.

    Raises
    ------
    InputError
        It is no such text, or its format of another version.
    """
    try:
        values = json.loads(text)
        found = values.pop("format", None)
    except (ValueError, AttributeError, TypeError):
        raise InputError(f"{path}: is no JSON of snakewebb: remove it and run again") from None
    if found != version:
        raise InputError(
            f"{path}: made by another version of snakewebb (format {found}, not {version}): "
            "remove it and run again"
        )
    return values
