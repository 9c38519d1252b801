"""The list of a product's files in MAST, which the user keeps, so that a run can be repeated.

A table as ECSV, ``data/<product>/products.ecsv``. Read with the standard library and YAML only:
every job does so with the plan.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from snakewebb.archive.criteria import Criteria
from snakewebb.errors import InputError, reason
from snakewebb.io.atomic import write_ecsv

FOLDER = "data"
FILES = f"{FOLDER}/mast"
"""Where files lie, once for all products."""


@dataclass(frozen=True)
class ArchivedFile:
    """A file in MAST.

    Attributes
    ----------
    filename : str
    exptype : {'science', 'psf'}
    size : int
        Bytes.
    uri : str
        What MAST calls it.
    release_date : str
        Day from which everybody may have it, as ``2023-07-01``; empty if it is not told.
    version : str
        Of the pipeline that made it; empty if it is not told.
    """

    filename: str
    exptype: str
    size: int
    uri: str
    release_date: str
    version: str

    @property
    def path(self) -> str:
        """Where it is put."""
        return f"{FILES}/{self.filename}"


COLUMNS = tuple(field.name for field in fields(ArchivedFile))


@dataclass(frozen=True)
class Lock:
    """The files of a product.

    Attributes
    ----------
    query : dict
        What was asked for.
    files : tuple of ArchivedFile
    """

    query: Mapping[str, Any]
    files: tuple[ArchivedFile, ...]


def lock_path(product: str) -> str:
    """Return where the list of a product's files lies."""
    return f"{FOLDER}/{product}/products.ecsv"


def as_query(criteria: Mapping[str, Criteria]) -> dict[str, Any]:
    """Return what is asked for as a list of files tells it."""
    return {exptype: each.as_dict() for exptype, each in criteria.items()}


def read_lock(path: str | Path) -> Lock | None:
    """Return the list of a product's files, None if there is none yet.

    Raises
    ------
    InputError
        It is no such list.
    """
    remedy = "give 'snakemake query', or take it back from your repository"
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({reason(error)}): {remedy}") from None
    try:
        head = [line[2:] for line in lines if line[:2] == "# " and line[2:3] != "%"]
        query = dict(yaml.safe_load("\n".join(head))["meta"])["query"]
        table = csv.DictReader((li for li in lines if li[:1] != "#"), delimiter=" ", strict=True)
        files = tuple(_file(row) for row in table)
    except (csv.Error, yaml.YAMLError, KeyError, TypeError, ValueError):
        raise InputError(f"{path}: is no list of files in MAST: {remedy}") from None
    for file in files:
        if "/" in file.filename or file.filename.startswith("."):
            raise InputError(f"{path}: {file.filename}: is no name of a file: {remedy}")
    return Lock(query, files)


def _file(row: Mapping[str, str]) -> ArchivedFile:
    filename, exptype, size, *others = (row[name] for name in COLUMNS)
    return ArchivedFile(filename, exptype, int(size), *others)


def write_lock(path: str | Path, query: Mapping[str, Any], files: Iterable[ArchivedFile]) -> bool:
    """Write the list of a product's files, unless it stands there already.

    Returns
    -------
    bool
        Whether it is another one than before.
    """
    from astropy.table import Table

    new = Lock(query, tuple(sorted(files, key=lambda file: (file.exptype, file.filename))))
    try:
        if read_lock(path) == new:
            return False
    except InputError:
        pass  # what cannot be read is replaced
    rows = [astuple(file) for file in new.files]
    table = Table(rows=rows, names=COLUMNS, dtype=[str, str, int, str, str, str])
    table["size"].unit = "byte"
    table.meta["query"] = dict(query)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_ecsv(path, table)
    return True
