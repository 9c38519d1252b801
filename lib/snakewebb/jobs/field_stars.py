"""Job field_stars: what products beside the frame of a field are aligned to."""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from pathlib import Path

from astropy.table import Table

from snakewebb.astrometry.alignment import Solution
from snakewebb.astrometry.star_list import list_stars
from snakewebb.io.atomic import replacing
from snakewebb.wcs.exposure import Exposure

log = logging.getLogger(__name__)


def write_stars(facts: Sequence[str | Path], stars: str | Path, *, solution: str | Path) -> None:
    """Write the stars of exposures that are aligned with each other as a reference catalogue.

    Parameters
    ----------
    facts : sequence of paths
        What `snakewebb.jobs.find_sources.describe_exposure` wrote of these exposures.
    stars : path
        The catalogue (ECSV) to write, see `snakewebb.astrometry.star_list.list_stars`.
    solution : path
        What `snakewebb.jobs.solve_field.solve_field` wrote. Exposures that it did not align do not
        count, unless it aligned none.
    """
    found = Solution.read(solution).exposures
    aligned = {name for name, each in found.items() if each.status == "COMPLETE"} or set(found)
    places = {}
    for path in facts:
        known = Exposure.read(path)
        if known.name not in aligned or known.name in places:
            continue
        sources, correction = known.sources, found[known.name].correction
        ra, dec = sources["RA"], sources["DEC"]
        if correction is not None:
            ra, dec = correction.apply(ra, dec)
        places[known.name] = ra, dec, sources.get("error")
    columns = list_stars(list(places.values()))
    table = Table(columns, units={"RA": "deg", "DEC": "deg"})
    text = io.StringIO()
    table.write(text, format="ascii.ecsv")
    with replacing(stars) as file:
        file.write(text.getvalue().encode())
    log.info("%d stars of %d exposures", len(table), len(places))
