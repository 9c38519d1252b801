"""Metadata that have FITS keywords: JWST's, from the text of its schema, and our own."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from snakewebb.io import schema_table
from snakewebb.io.provenance import KEYWORDS


class Attribute(NamedTuple):
    """A piece of metadata that has a FITS keyword.

    Attributes
    ----------
    name : str
        Dotted path in the data model.
    hdu, keyword : str
    kind : str
        Of values: string, number, integer or boolean; or empty for any.
    rule : str or None
        How values are blended, see `snakewebb.products.blend`; None for not at all.
    tabled : bool
        Whether HDRTAB has a column for it.
    comment : str
    """

    name: str
    hdu: str
    keyword: str
    kind: str
    rule: str | None
    tabled: bool
    comment: str


@cache
def attributes() -> tuple[Attribute, ...]:
    """Return all metadata of an image that have a FITS keyword, in the schema's order."""
    found = []
    for row in schema_table.TABLE.strip().splitlines():
        name, hdu, keyword, kind, rule, tabled, comment = row.split(" ", 6)
        known = Attribute(f"meta.{name}", hdu, keyword, kind, rule, tabled == "tabled", comment)
        found.append(known)
    for name, (keyword, comment) in KEYWORDS.items():
        own = Attribute(f"meta.snakewebb.{name}", "PRIMARY", keyword, "", None, True, comment)
        found.append(own)
    return tuple(found)
