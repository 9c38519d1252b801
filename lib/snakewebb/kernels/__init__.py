"""Compiled kernels: arrays and scalars only."""

from snakewebb.startup import without_module

# numba looks for SciPy's BLAS, of which the kernels make no use and whose import would take
# longer than loading them all.
with without_module("scipy.linalg.cython_blas"):
    import numba.np.arraymath  # noqa: F401
