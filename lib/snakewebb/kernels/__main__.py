"""Compile all kernels, once, rather than in the first jobs: ``python -m snakewebb.kernels``."""

import importlib
import pkgutil

from snakewebb import kernels


def compile_all() -> None:
    """Import every kernel module: kernels have signatures, so that compiles and caches them."""
    for module in pkgutil.iter_modules(kernels.__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f"snakewebb.kernels.{module.name}")


if __name__ == "__main__":
    compile_all()
