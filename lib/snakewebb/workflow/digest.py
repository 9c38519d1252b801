"""Digests of code: what a script is, with all of the library that it needs.

As a parameter of a rule, a digest makes its jobs run again after an edit of what they need, and
only then, not after a checkout. Standard library only.
"""

from __future__ import annotations

import re
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
    digest = sha256()
    for file in sorted(needed(Path(script), root), key=str):
        digest.update(_content(file, root, file.stat().st_mtime_ns))
    return f"{Path(script).name} and what it imports: {digest.hexdigest()[:16]}"


def needed(script: Path, root: Path) -> set[Path]:
    """Return a script and the files of a library that it needs, directly or not."""
    todo, files = [script], {script}
    while todo:
        found = _needs(todo.pop(), root) - files
        files |= found
        todo += [file for file in found if file.suffix == ".py"]
    return files


@cache
def _content(file: Path, root: Path, modified: int) -> bytes:
    """Return the name of a file, as the digest has it, and what is in it.

    The time at which it was modified is there so that an edit is seen by the next run of a process.
    """
    name = file.relative_to(root) if file.is_relative_to(root) else file.name
    return f"{name}\0".encode() + file.read_bytes()


@cache
def _needs(file: Path, root: Path) -> set[Path]:
    """Return the files of a library that a Python file needs itself.

    These are the modules that it imports, their packages, which are imported before them, and data
    that lie beside it and that it names.
    """
    source = file.read_text(encoding="utf-8")
    modules = _modules(root)
    files: set[Path] = set()
    for base, listed in imports(source):
        level = len(base) - len(base.lstrip("."))
        parts = [*_package(file, root, level), *filter(None, base[level:].split("."))]
        names = [".".join(parts[:n]) for n in range(1, len(parts) + 1)]
        names += [f"{names[-1]}.{name}" if names else name for name in listed]
        files.update(modules[name] for name in names if name in modules)
    data = _data(file.parent) if file.is_relative_to(root) else ()
    files.update(path for path in data if path.name in source)
    return files - {file}


def _package(file: Path, root: Path, level: int) -> list[str]:
    """Return the package that a relative import starts from; empty for an absolute one."""
    return list(file.relative_to(root).parts[:-level]) if level else []


@cache
def _modules(root: Path) -> dict[str, Path]:
    """Return the files of a library's modules, by what they are imported as."""
    # An installed library lies among those of others.
    own = root / (__package__ or "").partition(".")[0]
    files = (own if own.is_dir() else root).rglob("*.py")
    known = {file.relative_to(root).with_suffix("").parts: file for file in files}
    # A package is what its __init__ says.
    return {".".join(p[:-1] if p[-1] == "__init__" else p): file for p, file in known.items()}


@cache
def _data(folder: Path) -> tuple[Path, ...]:
    """Return the files of a folder that are no code."""
    return tuple(p for p in folder.iterdir() if p.is_file() and p.suffix not in (".py", ".pyc"))


def imports(source: str) -> list[tuple[str, list[str]]]:
    """Return what Python code imports: modules, and the names that it takes of each.

    A tenth of the time that a syntax tree of all modules takes at each start of the workflow. What
    stands at the beginning of a line of text as an import would is taken for one.
    """
    found: list[tuple[str, list[str]]] = []
    for base, bracketed, listed, modules in _IMPORT.findall(source):
        if base:
            found.append((base, _listed(bracketed or listed)))
        else:
            found += [(module, []) for module in _listed(modules)]
    return found


_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+import[ \t]*(?:\(([^)]*)\)|([^\n(]+))"
    r"|import[ \t]+([^\n]+))",
    re.MULTILINE,
)


def _listed(text: str) -> list[str]:
    """Return the names in a list of imports, without comments and what they are called here."""
    names = re.sub(r"#.*", "", text).split(",")
    return [name.split()[0] for name in names if name.strip()]
