"""Catfiles: which exposure has which source catalogue of the user's.

Format: JWST documentation, ``tweakreg``, "Custom Source Catalogs". Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snakewebb.errors import InputError, reason
from snakewebb.io.names import exposure_name
from snakewebb.workflow.associations import Product


def read_catfile(path: str | Path) -> dict[str, str]:
    """Return the source catalogue of each exposure that a ``catfile`` gives one.

    Parameters
    ----------
    path : path
        Text of two columns: exposure file, and its catalogue relative to the catfile's folder; or
        none, where sources are to be searched as usual. What follows a ``#`` is a comment.

    Raises
    ------
    InputError
        The file cannot be read, lists nothing, has another number of columns, or an exposure twice.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        if "\0" in text:
            raise ValueError("is no text")
        lines = text.splitlines()
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: catfile cannot be read: {reason(error)}: mend it") from None
    folder = Path(path).parent
    catalogs: dict[str, str | None] = {}
    for number, line in enumerate(lines, 1):
        words = re.sub(r"(^|\s)#.*", "", line).split()
        if not words:
            continue
        name = exposure_name(words[0])
        if not line.expandtabs().isprintable():
            raise InputError(f"{path}: line {number} is no text: give exposure and catalogue")
        if len(words) > 2:
            raise InputError(
                f"{path}: line {number} has {len(words)} columns: give exposure and catalogue, "
                "names without blanks"
            )
        if name in catalogs:
            raise InputError(f"{path}: line {number} has {name} again: keep one")
        catalogs[name] = str(folder / words[1]) if len(words) > 1 else None
    if not catalogs:
        raise InputError(f"{path}: catfile lists no exposure: give exposures and catalogues")
    return {name: catalog for name, catalog in catalogs.items() if catalog}


def catalogs_of(product: Product, step: Mapping[str, Any]) -> dict[str, str]:
    """Return the user's source catalogues of a product by exposure.

    Parameters
    ----------
    product : Product
    step : mapping
        Parameters of ``tweakreg``.

    Raises
    ------
    InputError
        See `read_catfile`.
    """
    if not step["use_custom_catalogs"] or step["skip"] or product.coronagraphic:
        return {}
    exposures = product.of_type("science")
    if step["catfile"]:
        listed = read_catfile(step["catfile"])
        return {exposure: listed[exposure] for exposure in exposures if exposure in listed}
    return {e: m.tweakreg_catalog for e, m in exposures.items() if m.tweakreg_catalog}
