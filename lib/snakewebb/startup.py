"""Ways to start faster; each with what it saves, as CPU time on Python 3.11.

They change what belongs to Python or to others for the time of a ``with``, and put it back.
Standard library only. A test asks of each whether it still gains something.
"""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import Any


@contextmanager
def without_module(name: str) -> Iterator[None]:
    """Let an import of a module fail, unless it is there already.

    For ``scipy.linalg.cython_blas``, which numba looks for and no kernel of ours makes use of: a
    third of the time that numba takes to import.
    """
    hide = name not in sys.modules
    if hide:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if hide:
            del sys.modules[name]


class Unknown:
    """What nothing is an instance of: a class of a module that is not imported."""


@contextmanager
def standing_in(name: str, *classes: str) -> Iterator[None]:
    """Let others import classes of a module without the module, unless it is there already.

    For ``astropy.units``, two of whose classes annotate functions that look for space on disks, and
    which nothing else of ``astropy.io.fits`` makes use of while it is imported: a fifth of the time
    until a job's work begins.
    """
    absent = name not in sys.modules
    if absent:
        module = ModuleType(name)
        vars(module).update(dict.fromkeys(classes, Unknown))
        sys.modules[name] = module
    try:
        yield
    finally:
        if absent:
            del sys.modules[name]


def import_fits() -> None:
    """Import astropy's reader of FITS files without its units.

    In another version of astropy more may be asked for: then it is imported as a whole, by others.
    """
    with suppress(ImportError), standing_in("astropy.units", "Quantity", "UnitBase"):
        from astropy.io import fits

        settle(fits.conf)


def settle(configuration: Any) -> None:
    """Let a configuration of astropy's say for good what it says now.

    ``astropy.io.fits`` asks it for each card that is read or written, up to 2700 times a job, and
    each time it looks for files, types and limits: up to a fifteenth of a job's time.
    """
    kind = type(configuration)
    for name in list(configuration):
        setattr(kind, name, getattr(configuration, name))


@contextmanager
def fast_yaml() -> Iterator[None]:
    """Let others that ask for YAML's parser written in Python get that in C, where there is one.

    asdf reads the manifests of all its types when it is first used: a fifth of the time until then.
    """
    import yaml

    slow = yaml.SafeLoader
    yaml.SafeLoader = getattr(yaml, "CSafeLoader", slow)
    try:
        yield
    finally:
        yaml.SafeLoader = slow


def put_off_garbage() -> None:
    """Collect no garbage until `collect_garbage`: among modules being imported there is none.

    A tenth of the time that NumPy, astropy.io.fits and numba take to import.
    """
    gc.disable()


def collect_garbage() -> None:
    """Collect garbage from now on, but not among what there is already."""
    gc.freeze()
    gc.enable()
