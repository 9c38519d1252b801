"""Broken copies of files."""

from collections.abc import Iterator

import numpy as np


def mutations(content: bytes, number: int) -> Iterator[bytes]:
    """Return copies of a file with bytes changed, cut, doubled or swapped, the same each time."""
    rng = np.random.default_rng(5)
    for _ in range(number):
        mutant = bytearray(content)
        for _ in range(rng.integers(1, 4)):
            start, length = int(rng.integers(len(mutant))), int(2 ** rng.uniform(0, 8))
            part = slice(start, start + length)
            kind = rng.integers(5)
            if kind == 0:
                mutant[part] = rng.bytes(length)
            elif kind == 1:
                mutant[part] = b" " * length
            elif kind == 2:
                del mutant[part]
            elif kind == 3:
                mutant[part] = mutant[part] * 2
            else:
                mutant[start] = rng.integers(32, 127)
        yield bytes(mutant)
