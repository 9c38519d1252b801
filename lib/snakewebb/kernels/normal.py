"""Entries of the inverse of a sparse matrix."""

import numpy as np

from snakewebb.kernels.cache import njit


@njit(
    "void(int64[::1], int64[::1], float64[::1], float64[::1], float64[::1], float64[::1])",
    cache=True,
    nogil=True,
)
def selected_inverse(start, row, factor, pivot, inverse, diagonal):
    """Compute the entries of the inverse of L D Lᵀ that lie in the pattern of L.

    Column after column from the last, each of those that the one before has (Takahashi, Fagan &
    Chin 1973; Erisman & Tinney 1975, Commun. ACM 18, 177).

    Parameters
    ----------
    start, row : (n + 1,) and (m,) int64
        Below its diagonal of ones L has in column j the rows ``row[start[j]:start[j + 1]]``,
        ascending. All rows of a column but the first are in the column that the first one names.
    factor : (m,) float64
        The entries of L there.
    pivot : (n,) float64
        D.
    inverse : (m,) float64
        Set to the entries of the inverse there.
    diagonal : (n,) float64
        Set to those on its diagonal.
    """
    n = pivot.size
    where = np.full(n, -1)
    total = np.empty(n)
    for j in range(n - 1, -1, -1):
        first, last = start[j], start[j + 1]
        for a in range(first, last):
            where[row[a]] = a
            total[a - first] = 0.0
        for a in range(first, last):
            k = row[a]
            total[a - first] += diagonal[k] * factor[a]
            for b in range(start[k], start[k + 1]):
                at = where[row[b]]
                if at >= 0:
                    total[a - first] += inverse[b] * factor[at]
                    total[at - first] += inverse[b] * factor[a]
        own = 1.0 / pivot[j]
        for a in range(first, last):
            inverse[a] = -total[a - first]
            own -= factor[a] * inverse[a]
            where[row[a]] = -1
        diagonal[j] = own
