"""Fetch a file from MAST."""

import logging
from pathlib import Path

from snakewebb.archive.mast import fetch_file

logger = logging.getLogger(__name__)


def fetch(target: str | Path, *, uri: str, size: int, version: str) -> None:
    """Fetch a file, or what is missing of it.

    Parameters
    ----------
    target : path
    uri, size, version
        See `snakewebb.archive.lock.ArchivedFile`.

    Raises
    ------
    InputError
    """
    fetch_file(target, uri, size)
    logger.info("%s: %d bytes, made by version %s", uri, size, version or "unknown")
