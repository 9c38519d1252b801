"""Names of products: each once, in the configuration and in associations.

Standard library only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from snakewebb.errors import InputError
from snakewebb.io.names import product_name
from snakewebb.workflow.associations import Product
from snakewebb.workflow.stage2 import NAME, Stage2


def by_product_name(products: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration of products by the names that these have."""
    named: dict[str, Any] = {}
    for name, entry in products.items():
        if named.setdefault(product_name(name), entry) is not entry:
            raise InputError(f"products.{name}: is given under two names: keep one")
    return named


def check_names(configured: Mapping[str, Any], found: list[Product], stage2: Stage2) -> None:
    """Raise where a product stands twice in the configuration, or in no association.

    Parameters
    ----------
    configured : mapping
        Configuration of products, by name.
    found : list of Product
        Of associations.
    stage2 : Stage2

    Raises
    ------
    InputError
    """
    exposures = {known.name for known in stage2.exposures.values()}
    names = Counter(product.name for product in found)
    for name, count in names.items():
        if count > 1:
            tables = ", ".join(p.table for p in found if p.name == name)
            raise InputError(
                f"product {name} stands in the config {count} times ({tables}): keep one"
            )
    for name in configured:
        if name not in names and name not in exposures:
            raise InputError(
                f"products.{name}: no association has this product: known are "
                f"{', '.join(names) or 'none'}; or give 'science'"
            )
    if NAME in names:
        raise InputError(
            f"product {NAME}: is what the folder of exposures is called: give it another name"
        )
