"""Products whose files are in MAST: what of them the plan has, and what it waits for.

Planning never asks MAST: what it has stands in lists that ``snakemake query`` writes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from snakewebb.archive.criteria import TOKEN, criteria_of
from snakewebb.archive.lock import FILES, ArchivedFile, as_query, lock_path, read_lock
from snakewebb.errors import InputError


@dataclass(frozen=True)
class Archived:
    """Files in MAST.

    Attributes
    ----------
    asked : dict
        What products ask for, by name; the section ``mast`` of each.
    files : dict of str to ArchivedFile
        Those that are listed, by where they are put.
    products : dict of str to tuple of ArchivedFile
        Those of each product that has a list.
    remarks : tuple of str
        What the user is to know.
    waiting : tuple of str
        Products that nothing else can be planned of yet.
    """

    asked: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    files: Mapping[str, ArchivedFile] = field(default_factory=dict)
    products: Mapping[str, tuple[ArchivedFile, ...]] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()

    def uri(self, filename: str) -> str:
        """Return what MAST calls a file."""
        return self._file(filename).uri

    def size(self, filename: str) -> int:
        """Return how many bytes a file has."""
        return self._file(filename).size

    def version(self, filename: str) -> str:
        """Return by which version of the pipeline a file was made."""
        return self._file(filename).version

    def _file(self, filename: str) -> ArchivedFile:
        file = self.files.get(f"{FILES}/{filename}")
        if file is None:
            raise InputError(f"{filename}: is in no list of files in MAST: give 'snakemake query'")
        return file

    def of_product(self, product: str) -> dict[str, list[str]]:
        """Return where the files of a product are put, by type of exposure."""
        found: dict[str, list[str]] = {}
        for file in self.products.get(product, ()):
            found.setdefault(file.exptype, []).append(file.path)
        return found

    def targets(self) -> list[str]:
        """Return the files of products that nothing else can be planned of yet."""
        return [file.path for name in self.waiting for file in self.products.get(name, ())]


def read_archived(config: Mapping[str, Any]) -> Archived:
    """Return what a completed configuration has in MAST.

    Raises
    ------
    InputError
        A product asks for what cannot be, or its list cannot be read.
    """
    asked: dict[str, Mapping[str, Any]] = {}
    files: dict[str, ArchivedFile] = {}
    products: dict[str, tuple[ArchivedFile, ...]] = {}
    remarks, waiting = [], []
    today = datetime.now(UTC).date().isoformat()
    for name, entry in config["products"].items():
        criteria = criteria_of(name, entry["mast"])
        if not criteria:
            continue
        if entry["science"] or entry["psf"]:
            raise InputError(f"products.{name}: has 'mast' and files of its own: keep one")
        asked[name] = entry["mast"]
        lock = read_lock(lock_path(name))
        if lock is None:
            remarks.append(f"{name}: has no {lock_path(name)} yet: give 'snakemake query'")
            waiting.append(name)
            continue
        if lock.query != as_query(criteria):
            remarks.append(
                f"{name}: {lock_path(name)} is of another 'mast' than the configuration's: give "
                "'snakemake query'"
            )
        products[name] = lock.files
        files |= {file.path: file for file in lock.files}
        missing = [file for file in lock.files if not os.path.exists(file.path)]
        secret = [f for f in missing if f.release_date > today and not os.environ.get(TOKEN)]
        if secret:
            remarks.append(
                f"{name}: {secret[0].filename} is proprietary until {secret[0].release_date} "
                f"({len(secret)} files): set {TOKEN}"
            )
        if missing and _needs_headers(entry):
            remarks.append(
                f"{name}: {len(missing)} of its {len(lock.files)} files are fetched first: then "
                "give the same command again"
            )
            waiting.append(name)
    return Archived(asked, files, products, tuple(remarks), tuple(waiting))


def without_waiting(config: Mapping[str, Any], archived: Archived) -> dict[str, Any]:
    """Return a configuration without products that wait, and without fields that are of these."""
    waiting = set(archived.waiting)
    products = {name: p for name, p in config["products"].items() if name not in waiting}
    fields = {
        name: {**entry, "products": [p for p in entry["products"] if p not in waiting]}
        for name, entry in config["fields"].items()
        if not waiting.issuperset(entry["products"])
    }
    return {**config, "products": products, "fields": fields}


def _needs_headers(entry: Mapping[str, Any]) -> bool:
    """Return whether files must be there before what is made of them can be planned."""
    mast, crds = entry["mast"], entry["reference_files"]["crds"]
    return mast["level"] == "rate" or any(mast["psf"].values()) or crds["path"] is not None
