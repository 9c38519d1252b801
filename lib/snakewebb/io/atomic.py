"""Files that stand under their name only when they are complete.

Standard library only.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

BLOCK = 2880
"""Bytes; FITS files are made of such blocks."""


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file that appears under its name only when it is complete.

    The bytes go to a hidden file in the same folder, which replaces `path` at the end of the
    block, or is removed if the block raises.

    Raises
    ------
    OSError
        No space, no permission; the message names `path`.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("w+b") as file:
            yield file
        partial.replace(path)
    except OSError as error:
        raise OSError(f"{path}: cannot be written: {error}") from error
    finally:
        # Where nothing can be written, nothing can be removed: the first reason counts.
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file; see `replacing`."""
    with replacing(path) as file:
        file.write(text.encode())


def write_json(path: str | Path, value: Any) -> None:
    """Write what JSON can hold; see `replacing`."""
    write_text(path, json.dumps(value))


def write_ecsv(path: str | Path, table: Any) -> None:
    """Write an astropy table as ECSV; see `replacing`."""
    text = io.StringIO()
    table.write(text, format="ascii.ecsv")
    write_text(path, text.getvalue())
