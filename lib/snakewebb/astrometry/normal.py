"""Normal equations with a sparse part and a narrow dense border, and entries of their inverse."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from scipy.sparse import csc_array, csr_array
from scipy.sparse.linalg import SuperLU, splu


@dataclass(frozen=True)
class Solved:
    """Factors of normal equations: of their sparse part, and of what the border has left.

    The matrix is [[A, B], [Bᵀ, C]], with A sparse and B narrow.

    Attributes
    ----------
    factors : SuperLU or None
        Of A; None if it is empty.
    border : (n, m) array
        A⁻¹ B.
    corner : (m, m) array
        The inverse of C - Bᵀ A⁻¹ B.
    """

    factors: SuperLU | None
    border: np.ndarray
    corner: np.ndarray

    @classmethod
    def of(cls, matrix: csr_array, n: int) -> Solved:
        """Factor a symmetric positive definite matrix whose first `n` rows are the sparse part."""
        corner = matrix[n:, n:].toarray()
        if n == 0:
            return cls(None, np.zeros((0, len(corner))), _inverse(corner))
        sides = matrix[:n, n:].toarray()
        # pivots on the diagonal, so that L and U are each other's mirror image
        factors = splu(
            csc_array(matrix[:n, :n]),
            permc_spec="MMD_AT_PLUS_A",
            diag_pivot_thresh=0.0,
            options={"SymmetricMode": True},
        )
        border = factors.solve(sides)
        return cls(factors, border, _inverse(corner - sides.T @ border))

    def solve(self, right: np.ndarray) -> np.ndarray:
        """Solve for a right-hand side (n + m,)."""
        n = len(self.border)
        below = self.corner @ (right[n:] - self.border.T @ right[:n])
        if self.factors is None:
            return below
        return np.concatenate((self.factors.solve(right[:n]) - self.border @ below, below))

    def block(self, index: np.ndarray) -> np.ndarray:
        """Return the rows and columns `index` of the inverse.

        Of the sparse part they are to have entries in the matrix with each other.
        """
        n = len(self.border)
        index = np.asarray(index)
        inside = index < n
        sparse, dense = index[inside], index[~inside] - n
        found = np.empty((len(index), len(index)))
        sides = self.border[sparse] @ self.corner
        found[np.ix_(inside, inside)] = self._sparse(sparse) + sides @ self.border[sparse].T
        found[np.ix_(inside, ~inside)] = -sides[:, dense]
        found[np.ix_(~inside, inside)] = -sides[:, dense].T
        found[np.ix_(~inside, ~inside)] = self.corner[np.ix_(dense, dense)]
        return found

    def _sparse(self, index):
        """Return rows and columns of A⁻¹."""
        found = np.empty((len(index), len(index)))
        if not len(index):
            return found
        place, start, row, inverse, diagonal = self._entries
        at = place[index]
        for a, p in enumerate(at):
            for b, q in enumerate(at):
                low, high = min(p, q), max(p, q)
                if low == high:
                    found[a, b] = diagonal[low]
                    continue
                column = row[start[low] : start[low + 1]]
                found[a, b] = inverse[start[low] + np.searchsorted(column, high)]
        return found

    @cached_property
    def _entries(self):
        """The inverse of A where its factor has entries: where rows went, columns, diagonal."""
        from snakewebb.kernels.normal import selected_inverse

        lower, pivot = csc_array(self.factors.L), self.factors.U.diagonal()
        start, row, factor = _closed(lower)
        inverse, diagonal = np.empty(len(row)), np.empty(len(pivot))
        selected_inverse(start, row, factor, pivot, inverse, diagonal)
        return self.factors.perm_r.astype(np.int64), start, row, inverse, diagonal


def _inverse(matrix):
    """Return the inverse of a small symmetric matrix, symmetric."""
    inverse = np.linalg.inv(matrix)
    return (inverse + inverse.T) / 2


def _closed(lower):
    """Return the columns of L below the diagonal, with the zeros that elimination leaves in them.

    Each column hands its rows to the one that its first row names.
    """
    n = lower.shape[0]
    lower.sort_indices()
    columns = [lower.indices[a + 1 : b].astype(np.int64) for a, b in pairwise(lower.indptr)]
    for j in range(n):
        if len(columns[j]) > 1:
            parent, rest = columns[j][0], columns[j][1:]
            if len(columns[parent]) < len(rest) or not np.isin(rest, columns[parent]).all():
                columns[parent] = np.union1d(columns[parent], rest)
    start = np.concatenate(([0], np.cumsum([len(column) for column in columns]))).astype(np.int64)
    row = np.concatenate(columns) if n else np.zeros(0, np.int64)
    factor = np.zeros(len(row))
    column = np.repeat(np.arange(n), np.diff(lower.indptr))
    below = lower.indices != column
    known = lower.indices[below] + column[below] * n  # ascending, as the closed pattern is
    factor[np.searchsorted(row + np.repeat(np.arange(n), np.diff(start)) * n, known)] = lower.data[
        below
    ]
    return start, row, factor
