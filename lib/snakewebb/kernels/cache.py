"""``njit`` with a cache of compiled kernels that mends itself.

numba's own cache does not see an edit in a module that a cached kernel calls, knows a kernel by the
path of its source, ends every process after a full disk or a power cut with the errors of
unpickling, and has one index for all types of CPU, where one of two that write at a time is lost.
Here a kernel is known by the content of all kernels, by its signature, and by the CPU, is a file of
its own, and is compiled where that file is not there or is not what was written.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import pickle
import sys
import uuid
import zlib
from collections.abc import Callable
from functools import cache as once
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.registry import cpu_target
from numba.core.serialize import dumps

_log = logging.getLogger(__name__)
_DIGEST = hashlib.sha256().digest_size
_NAMES: set[str] = set()
"""Of the kernels that this process has."""


def njit(
    signatures: str | list[str] | None = None, *, cache: bool = False, **options: Any
) -> Callable:
    """Return `numba.njit` with these arguments, and with the cache of this module."""

    def compiled(function):
        kernel = numba.njit(**options)(function)
        if numba.config.DISABLE_JIT:
            return kernel
        if cache:
            kernel._cache = _Cache(function)
        if signatures is not None:
            for signature in [signatures] if isinstance(signatures, str) else signatures:
                kernel.compile(signature)
            kernel.disable_compile()
        return kernel

    return compiled


@once
def folder() -> Path | None:
    """Return the folder of compiled kernels that belongs to this very source code.

    It is in ``NUMBA_CACHE_DIR``, ``XDG_CACHE_HOME`` or ``~/.cache``; None if there is no home.
    """
    digest = hashlib.sha256()
    for module in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(module.name.encode())
        digest.update(module.read_bytes())
    given = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME")
    try:
        caches = Path(given) if given else Path.home() / ".cache"
    except RuntimeError:
        return None
    return caches / "snakewebb" / digest.hexdigest()[:16]


def note_complete() -> None:
    """Note that the kernels of this process are all that there are, for `are_complete`."""
    if (mark := _mark()) and _NAMES:
        _write(mark, "\n".join(sorted(_NAMES)).encode())


def are_complete() -> bool:
    """Return whether all kernels are there, compiled for this CPU: without importing any."""
    try:
        return bool(mark := _mark()) and {*mark.read_text().split()} <= {*os.listdir(mark.parent)}
    except OSError:
        return False


def _mark() -> Path | None:
    where = folder()
    return where and where / f"complete-{_key(cpu_target.target_context.codegen())}"


def _key(codegen: Any, *kernel: Any) -> str:
    """Return a name of what compiles, or of what it makes of a kernel with a signature."""
    key = (numba.__version__, sys.implementation.cache_tag), codegen.magic_tuple(), *kernel
    return hashlib.sha256(repr(key).encode()).hexdigest()[:32]


class _Cache(NullCache):
    """What numba asks for a kernel: files that hold a digest and then the pickled machine code."""

    def __init__(self, function):
        self._function = function

    def load_overload(self, sig, target_context):
        target_context.refresh()
        path = self._path(sig, target_context.codegen())
        if path is None:
            return None
        found = _read(path, target_context)
        if found is None:
            # The turn lasts until the kernel is saved. Others may have compiled it meanwhile.
            _take_turn(path, fcntl.LOCK_EX)
            if found := _read(path, target_context):
                _take_turn(path, fcntl.LOCK_UN)
        return found

    def save_overload(self, sig, cres):
        path = self._path(sig, cres.codegen)
        if path is None:
            return
        if not (cres.lifted or cres.library.has_dynamic_globals):
            code = dumps(cres._reduce())
            _write(path, hashlib.sha256(code).digest() + code)
        _take_turn(path, fcntl.LOCK_UN)

    def _path(self, sig, codegen):
        if folder() is None:
            return None
        name = f"{self._function.__qualname__}-{_key(codegen, self._function.__module__, sig)}"
        _NAMES.add(name)
        return folder() / name


def _write(path, content):
    partial = path.with_name(f".{uuid.uuid4().hex}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        _complain(path.parent, error.strerror)
        with contextlib.suppress(OSError):
            partial.unlink()


def _read(path, target_context):
    """Return a compiled kernel; None for whatever cannot be read, which is compiled again."""
    with contextlib.suppress(Exception):
        content = path.read_bytes()
        digest, code = content[:_DIGEST], content[_DIGEST:]
        if hashlib.sha256(code).digest() == digest:
            return CompileResult._rebuild(target_context, *pickle.loads(code))
    return None


def _take_turn(path, kind):
    """Lock or unlock a kernel, so that of many processes that lack it one compiles it.

    A lock is one byte of a file that is common to all, and ends with its process.
    """
    with contextlib.suppress(OSError):  # some file systems have no locks
        path.parent.mkdir(parents=True, exist_ok=True)
        fcntl.lockf(_turns(path.parent), kind, 1, zlib.crc32(path.name.encode()))


@once
def _turns(where):
    return (where / ".turns").open("ab")


@once
def _complain(where, reason):
    _log.warning(
        "%s: compiled kernels cannot be kept (%s), each job takes up to a minute to compile them: "
        "make room there, or set XDG_CACHE_HOME to a folder that can be written",
        where,
        reason,
    )
