"""Job psfstack: the integrations of all references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from snakewebb.coronagraphy.files import write_psfstack
from snakewebb.coronagraphy.stack_refs import stack


def stack_references(
    exposures: Sequence[str | Path],
    target: str | Path,
    *,
    asn: Mapping[str, Any] | None = None,
) -> None:
    """Put the integrations of all references into one file.

    Parameters
    ----------
    exposures : sequence of paths
        ``_crfints`` of the references.
    target : path
        The ``_psfstack`` to write.
    asn : mapping, optional
        For ``meta.asn``.

    Raises
    ------
    InputError
        See `snakewebb.coronagraphy.stack_refs.stack`.
    """
    references, names, left_out = stack(exposures)
    write_psfstack(exposures[0], target, references, exposures=names, left_out=left_out, asn=asn)
