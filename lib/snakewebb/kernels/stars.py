"""Stars of a mosaic: peaks, which of them stand alone, and Gaussians fitted to them."""

import numpy as np

from snakewebb.kernels.cache import njit

STEPS = 40
PARAMETERS = 6
CLOSE = 1e-7


@njit(
    "int64(float32[:, ::1], float32[:, ::1], boolean[:, ::1], float64[::1], int64, float64, int64, "
    "int64, int64[::1], int64[::1], float64[::1], float64[::1])",
    cache=True,
    nogil=True,
)
def find_peaks(data, err, bad, level, width, threshold, start, stop, row, column, light, snr):
    """Find pixels that are brighter than their eight neighbours, by the light of all nine.

    Parameters
    ----------
    data, err : (ny, nx) float32
    bad : (ny, nx) bool
        A peak has none such among the nine.
    level : (n,) float64
        The sky of tiles ``width`` columns wide.
    width : int
    threshold : float
        Least signal-to-noise ratio of the nine pixels; the errors of pixels are taken for
        independent.
    start, stop : int
        Rows to look in, end excluded.
    row, column : (m,) int64
    light, snr : (m,) float64
        Filled with place, light and signal-to-noise ratio of the first m peaks, in order of rows.

    Returns
    -------
    int
        How many were filled.
    """
    ny, nx = data.shape
    found = 0
    for i in range(max(start, 1), min(stop, ny - 1)):
        for j in range(1, nx - 1):
            value = data[i, j]
            sky = level[j // width]
            if bad[i, j] or not value - sky > err[i, j]:
                continue
            total = 0.0
            square = 0.0
            peak = True
            for di in range(-1, 2):
                for dj in range(-1, 2):
                    other = data[i + di, j + dj]
                    # Of two that are equal the first is the peak.
                    first = di < 0 or (di == 0 and dj < 0)
                    if bad[i + di, j + dj] or other > value or (first and other == value):
                        peak = False
                    total += other - sky
                    square += np.float64(err[i + di, j + dj]) ** 2
                if not peak:
                    break
            bright = square > 0.0 and total > threshold * np.sqrt(square)
            if peak and bright and found < row.size:
                row[found] = i
                column[found] = j
                light[found] = total
                snr[found] = total / np.sqrt(square)
                found += 1
    return found


@njit(
    "void(float64[::1], float64[::1], float64[::1], float64, float64, float64, float64, "
    "boolean[::1])",
    cache=True,
    nogil=True,
)
def stand_alone(x, y, light, near, share, far, glare, alone):
    """Find out which peaks have no other one that disturbs them.

    Parameters
    ----------
    x, y, light : (n,) float64
        In order of y.
    near, share : float
        Within this distance no other has this share of a peak's light.
    far, glare : float
        Within this distance no other has a peak's light over this.
    alone : (n,) bool
        Filled.
    """
    reach = max(near, far)
    for k in range(x.size):
        alone[k] = True
        for step in (-1, 1):
            other = k + step
            while 0 <= other < x.size and abs(y[other] - y[k]) <= reach:
                distance = np.hypot(x[other] - x[k], y[other] - y[k])
                close = distance <= near and light[other] > share * light[k]
                if close or (distance <= far and glare * light[other] > light[k]):
                    alone[k] = False
                    break
                other += step
            if not alone[k]:
                break


@njit("boolean(float64[:, ::1], float64[::1])", cache=True, nogil=True)
def solve(matrix, vector):
    """Solve a small system of linear equations in place; False if it is singular."""
    n = vector.size
    for k in range(n):
        pivot = k
        for i in range(k + 1, n):
            if abs(matrix[i, k]) > abs(matrix[pivot, k]):
                pivot = i
        if not abs(matrix[pivot, k]) > 0.0:
            return False
        for j in range(n):
            matrix[k, j], matrix[pivot, j] = matrix[pivot, j], matrix[k, j]
        vector[k], vector[pivot] = vector[pivot], vector[k]
        for i in range(k + 1, n):
            factor = matrix[i, k] / matrix[k, k]
            for j in range(k, n):
                matrix[i, j] -= factor * matrix[k, j]
            vector[i] -= factor * vector[k]
    for k in range(n - 1, -1, -1):
        for j in range(k + 1, n):
            vector[k] -= matrix[k, j] * vector[j]
        vector[k] /= matrix[k, k]
    return True


@njit(
    "float64(float32[:, ::1], float64, int64, int64, float64, float64[::1], float64[:, ::1], "
    "float64[::1])",
    cache=True,
    nogil=True,
)
def normal_equations(data, sky, row, column, radius, model, matrix, vector):
    """Sum up the squares of what a Gaussian leaves of a star, and their normal equations.

    Parameters
    ----------
    data : (ny, nx) float32
    sky : float
    row, column : int
        Middle of the pixels that count: those within ``radius``.
    radius : float
    model : (6,) float64
        Height, x, y, and the inverse of the covariance: xx, xy, yy.
    matrix, vector : (6, 6), (6,) float64
        Filled.
    """
    matrix[:] = 0.0
    vector[:] = 0.0
    slope = np.empty(PARAMETERS)
    height, x, y = model[0], model[1], model[2]
    xx, xy, yy = model[3], model[4], model[5]
    reach = int(np.floor(radius))
    total = 0.0
    for i in range(row - reach, row + reach + 1):
        for j in range(column - reach, column + reach + 1):
            if (i - row) ** 2 + (j - column) ** 2 > radius * radius:
                continue
            dx = j - x
            dy = i - y
            shape = np.exp(-0.5 * (xx * dx * dx + yy * dy * dy) - xy * dx * dy)
            rest = data[i, j] - sky - height * shape
            slope[0] = shape
            slope[1] = height * shape * (xx * dx + xy * dy)
            slope[2] = height * shape * (yy * dy + xy * dx)
            slope[3] = -0.5 * height * shape * dx * dx
            slope[4] = -height * shape * dx * dy
            slope[5] = -0.5 * height * shape * dy * dy
            total += rest * rest
            for p in range(PARAMETERS):
                vector[p] += slope[p] * rest
                for q in range(PARAMETERS):
                    matrix[p, q] += slope[p] * slope[q]
    return total


@njit(
    "void(float32[:, ::1], boolean[:, ::1], int64[::1], int64[::1], float64[::1], float64, float64,"
    " float64[:, ::1])",
    cache=True,
    nogil=True,
)
def fit_gaussians(data, bad, row, column, sky, radius, fwhm, fitted):
    """Fit elliptical Gaussians to stars: least squares, by Levenberg and Marquardt.

    Parameters
    ----------
    data : (ny, nx) float32
    bad : (ny, nx) bool
        A star with such a pixel within ``radius`` is not fitted.
    row, column : (n,) int64
        Peaks.
    sky : (n,) float64
    radius : float
        Pixels within it are fitted.
    fwhm : float
        To begin with.
    fitted : (n, 6) float64
        Filled: height, x, y, and the covariance xx, xy, yy of the Gaussian. NaN where there is no
        fit, or the middle leaves the peak by more than a pixel and a half.
    """
    ny, nx = data.shape
    reach = int(np.floor(radius))
    matrices = np.empty((3, PARAMETERS, PARAMETERS))
    matrix, damped, trial = matrices[0], matrices[1], matrices[2]
    vectors = np.empty((5, PARAMETERS))
    vector, step, model, other, spare = (
        vectors[0],
        vectors[1],
        vectors[2],
        vectors[3],
        vectors[4],
    )
    for k in range(row.size):
        fitted[k, :] = np.nan
        top, bottom = row[k] - reach, row[k] + reach + 1
        left, right = column[k] - reach, column[k] + reach + 1
        if top < 0 or left < 0 or bottom > ny or right > nx or not np.isfinite(sky[k]):
            continue
        whole = True
        for i in range(top, bottom):
            for j in range(left, right):
                near = (i - row[k]) ** 2 + (j - column[k]) ** 2 <= radius * radius
                if near and (bad[i, j] or not np.isfinite(data[i, j])):
                    whole = False
        if not whole:
            continue
        inverse = (2.3548 / fwhm) ** 2
        model[0] = data[row[k], column[k]] - sky[k]
        model[1], model[2] = column[k], row[k]
        model[3], model[4], model[5] = inverse, 0.0, inverse
        rest = normal_equations(data, sky[k], row[k], column[k], radius, model, matrix, vector)
        damping = 1e-3
        for _ in range(STEPS):
            damped[:] = matrix
            step[:] = vector
            for p in range(PARAMETERS):
                damped[p, p] *= 1.0 + damping
            if not solve(damped, step):
                break
            other[:] = model + step
            possible = other[0] > 0.0 and other[3] > 0.0
            possible = possible and other[3] * other[5] - other[4] ** 2 > 0.0
            new = np.inf
            if possible:
                new = normal_equations(data, sky[k], row[k], column[k], radius, other, trial, spare)
            if new <= rest:
                gain = rest - new
                rest = new
                model[:] = other
                matrix[:] = trial
                vector[:] = spare
                damping *= 0.1
                if gain <= CLOSE * rest:
                    break
            else:
                damping *= 10.0
                if damping > 1e8:
                    break
        determinant = model[3] * model[5] - model[4] ** 2
        off = np.hypot(model[1] - column[k], model[2] - row[k])
        if determinant > 0.0 and model[0] > 0.0 and off <= 1.5:
            fitted[k, :3] = model[:3]
            fitted[k, 3] = model[5] / determinant
            fitted[k, 4] = -model[4] / determinant
            fitted[k, 5] = model[3] / determinant
