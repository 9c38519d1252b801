"""Digests of code: what a script is, with all of the library that it needs.

As a parameter of a rule, a digest makes its jobs run again after an edit of what they need, and
only then, not after a checkout. Standard library only.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path


def code_digest(script: str | Path, library: str | Path) -> str:
    """Return a digest of a script and of all that it imports of a library, directly or not.

    Parameters
    ----------
    script : path
    library : path
        The folder that packages are imported from.

    Returns
    -------
    str
        The same wherever script and library lie.
    """
    root = Path(library)
    files = needed(Path(script), root)
    digest = sha256()
    for file in sorted(files):
        name = file.relative_to(root) if file.is_relative_to(root) else file.name
        digest.update(f"{name}\0".encode() + file.read_bytes())
    return f"{Path(script).name} and what it imports: {digest.hexdigest()[:16]}"


def needed(script: Path, root: Path) -> set[Path]:
    """Return a script and the files of a library that it needs, directly or not."""
    todo, files = [script], {script}
    while todo:
        found = set(_needs(todo.pop(), root)) - files
        files |= found
        todo += [file for file in found if file.suffix == ".py"]
    return files


@cache
def _needs(file: Path, root: Path) -> list[Path]:
    """Return the files of a library that a Python file needs itself.

    These are the modules that it imports, their packages, which are imported before them, and data
    that lie beside it and that it names.
    """
    source = file.read_text(encoding="utf-8")
    names: set[str] = set()
    for node in _imports(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        else:
            base = _package(file, root, node.level) + (
                node.module.split(".") if node.module else []
            )
            names.add(".".join(base))
            names.update(".".join([*base, alias.name]) for alias in node.names)
    files = []
    for name in names:
        parts = name.split(".")
        if parts[0] not in _packages(root):
            continue
        files += [root.joinpath(*parts[:n], "__init__.py") for n in range(1, len(parts) + 1)]
        files.append(root.joinpath(*parts).with_suffix(".py"))
    data = _data(file.parent) if file.is_relative_to(root) else ()
    files += [path for path in data if path.name in source]
    return [path for path in dict.fromkeys(files) if path.is_file() and path != file]


def _package(file: Path, root: Path, level: int) -> list[str]:
    """Return the package that a relative import starts from; empty for an absolute one."""
    return list(file.relative_to(root).parts[:-level]) if level else []


@cache
def _packages(root: Path) -> frozenset[str]:
    return frozenset(path.name for path in root.iterdir())


@cache
def _data(folder: Path) -> tuple[Path, ...]:
    """Return the files of a folder that are no code."""
    return tuple(p for p in folder.iterdir() if p.is_file() and p.suffix not in (".py", ".pyc"))


def _imports(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Find the imports below a node of a syntax tree; they are no part of expressions."""
    for field in ("body", "orelse", "finalbody", "handlers", "cases"):
        for statement in getattr(node, field, ()):
            if isinstance(statement, ast.Import | ast.ImportFrom):
                yield statement
            else:
                yield from _imports(statement)
