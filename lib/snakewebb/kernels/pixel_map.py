"""Evaluation of bicubic splines on lattices."""

import numpy as np

from snakewebb.kernels.cache import njit


@njit(
    "void(float64[:, ::1], float64[:, ::1], float64[:, ::1], float64[:, ::1], float64, float64, "
    "float64, float64, float64[::1], float64[::1], float64[:, ::1])",
    cache=True,
    nogil=True,
    error_model="numpy",
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
    # Where in its cell each column lies, and where runs of columns of one cell begin.
    within = np.empty(x.size)
    cells = np.empty(x.size, np.int64)
    begins = np.empty(x.size + 1, np.int64)
    runs = 0
    for k in range(x.size):
        s = (x[k] - x0) / dx
        cells[k] = min(max(int(np.floor(s)), 0), n - 2)
        within[k] = s - cells[k]
        if k == 0 or cells[k] != cells[k - 1]:
            begins[runs] = k
            runs += 1
    begins[runs] = x.size
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
        for run in range(runs):
            col = cells[begins[run]]
            v0 = value[col]
            s0 = slope[col]
            rise = value[col + 1] - v0
            bend = slope[col + 1] - s0
            square = 3.0 * rise - 3.0 * s0 - bend
            cube = 2.0 * s0 + bend - 2.0 * rise
            for k in range(begins[run], begins[run + 1]):
                t = within[k]
                out[j, k] = v0 + t * (s0 + t * (square + t * cube))
