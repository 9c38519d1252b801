"""Evaluation of bicubic splines on lattices."""

import numpy as np

from snakewebb.kernels.cache import njit


@njit(
    "void(float64[:, ::1], float64[:, ::1], float64[:, ::1], float64[:, ::1], float64, float64, "
    "float64, float64, float64[::1], float64[::1], float64[:, ::1])",
    cache=True,
    nogil=True,
)
def bicubic_lattice(f, fx, fy, fxy, x0, dx, y0, dy, x, y, out):
    """Evaluate a bicubic Hermite spline at the lattice of ``x`` (columns) and ``y`` (rows).

    Parameters
    ----------
    f, fx, fy, fxy : (m, n) float64
        Values, slopes and cross slopes per node spacing at the nodes; rows are y.
    x0, dx, y0, dy : float
        First node and node spacing of each axis.
    x, y : (nx,), (ny,) float64
        Where to evaluate; beyond the nodes the outermost cell's cubic goes on.
    out : (ny, nx) float64
        The result.
    """
    m, n = f.shape
    value = np.empty(n)
    slope = np.empty(n)
    for j in range(y.size):
        s = (y[j] - y0) / dy
        row = min(max(int(np.floor(s)), 0), m - 2)
        t = s - row
        t2 = t * t
        t3 = t2 * t
        a = 2.0 * t3 - 3.0 * t2 + 1.0
        b = t3 - 2.0 * t2 + t
        c = 3.0 * t2 - 2.0 * t3
        d = t3 - t2
        for i in range(n):
            value[i] = a * f[row, i] + b * fy[row, i] + c * f[row + 1, i] + d * fy[row + 1, i]
            slope[i] = a * fx[row, i] + b * fxy[row, i] + c * fx[row + 1, i] + d * fxy[row + 1, i]
        for k in range(x.size):
            s = (x[k] - x0) / dx
            col = min(max(int(np.floor(s)), 0), n - 2)
            t = s - col
            v0 = value[col]
            s0 = slope[col]
            rise = value[col + 1] - v0
            bend = slope[col + 1] - s0
            out[j, k] = v0 + t * (
                s0 + t * (3.0 * rise - 3.0 * s0 - bend + t * (2.0 * s0 + bend - 2.0 * rise))
            )
