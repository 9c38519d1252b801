"""Compiled kernels: arrays and scalars only."""

import sys

# numba looks for SciPy's BLAS, of which the kernels make no use and whose import would take
# longer than loading them all.
_BLAS = "scipy.linalg.cython_blas"
if _BLAS not in sys.modules:
    sys.modules[_BLAS] = None
    import numba.np.arraymath  # noqa: F401

    del sys.modules[_BLAS]
