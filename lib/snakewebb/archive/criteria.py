"""What a product asks MAST for. Standard library only: every job reads it with the plan."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from snakewebb.errors import InputError

TOKEN = "MAST_API_TOKEN"
"""The environment's variable with the token for proprietary files, as astroquery has it."""
_EXPOSURE = re.compile(r"jw(\d{5})(\d{3})\d{3}_\d{5}_\d{5}_([a-z0-9]+)_([a-z]+)\.fits")
"""Program, observation, detector and suffix in the name of an exposure as JWST gives them."""
_LEVELS = {"cal": ("cal", "calints"), "rate": ("rate", "rateints")}
"""Suffixes of images and of coronagraphic integrations."""


@dataclass(frozen=True)
class Criteria:
    """Which exposures of a program make a product.

    Attributes
    ----------
    program : int
    observation : tuple of int
        Empty for all.
    filter : str
        As ``F444W``; the name of a pupil, too.
    target : str or None
        As the program calls it; ``*`` stands for anything.
    detector : tuple of str
        As ``NRCALONG``; empty for all.
    suffix : str
        ``cal``, ``rate``, and for coronagraphy ``calints`` or ``rateints``.
    """

    program: int
    observation: tuple[int, ...]
    filter: str
    target: str | None
    detector: tuple[str, ...]
    suffix: str

    def fits(self, filename: str, filters: str) -> bool:
        """Return whether a file is asked for, by its name and MAST's list of its filters."""
        match = _EXPOSURE.fullmatch(filename)
        if not match:
            return False
        program, observation, detector, suffix = match.groups()
        return (
            int(program) == self.program
            and suffix == self.suffix
            and (not self.observation or int(observation) in self.observation)
            and (not self.detector or detector.upper() in self.detector)
            and self.filter in filters.upper().split(";")
        )

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON and YAML can hold of it."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items()
        }


def criteria_of(name: str, mast: Mapping[str, Any]) -> dict[str, Criteria]:
    """Return what a product asks for, by the type of its exposures.

    Parameters
    ----------
    name : str
        The product.
    mast : mapping
        Its section ``mast``, completed.

    Returns
    -------
    dict
        ``science``, and ``psf`` where there are references, which are like the science exposures
        but for what is said of them. Empty if nothing is asked for.

    Raises
    ------
    InputError
        The program or the filter is missing.
    """
    given = {key: value for key, value in mast.items() if key not in ("level", "psf") and value}
    psf = {key: value for key, value in mast["psf"].items() if value}
    if not given and not psf:
        return {}
    for key in ("program", "filter"):
        if key not in given:
            raise InputError(f"products.{name}.mast: has no {key}: add it")
    suffix = _LEVELS[mast["level"]][bool(psf)]
    science = Criteria(
        given["program"],
        _several(given.get("observation")),
        given["filter"].upper(),
        given.get("target"),
        tuple(detector.upper() for detector in _several(given.get("detector"))),
        suffix,
    )
    if not psf:
        return {"science": science}
    # Another star is another target in another observation, be it of the same program.
    references = replace(
        science,
        program=psf.get("program", science.program),
        observation=_several(psf.get("observation")),
        target=psf.get("target"),
    )
    return {"science": science, "psf": references}


def _several(value: Any) -> tuple:
    if value is None:
        return ()
    return tuple(value) if isinstance(value, list | tuple) else (value,)
