"""Fields: products whose exposures are aligned with each other."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from snakewebb.errors import InputError
from snakewebb.workflow.plan import Plan

FOLDER = "fields"
"""Below the results; no product has its name."""


@dataclass(frozen=True)
class Fields:
    """The fields of a configuration; methods are what rules ask, with their wildcards.

    Attributes
    ----------
    plan : Plan
    products : mapping of str to tuple of str
        By field, in order.
    """

    plan: Plan
    products: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, plan: Plan) -> Fields:
        """Return the fields of a plan.

        Raises
        ------
        InputError
            A field cannot be: of unknown products, of one that another has, or whose products
            are not aligned alike.
        """
        given = plan.config["fields"]
        if given and FOLDER in plan.products:
            raise InputError(
                f"product {FOLDER}: is what the folder of fields is called: give it another name"
            )
        owner: dict[str, str] = {}
        for name, entry in given.items():
            if not re.fullmatch(r"[\w.-]*\w[\w.-]*", name):
                raise InputError(f"fields.{name}: is to be of letters and digits")
            for product in entry["products"]:
                _check_product(plan, name, product)
                if owner.setdefault(product, name) != name:
                    raise InputError(
                        f"fields.{name}: product {product} is in {owner[product]}, too: keep one"
                    )
            _check_alike(plan, name, entry["products"])
        return cls(plan, {name: tuple(entry["products"]) for name, entry in given.items()})

    def facts_files(self, field: str) -> list[str]:
        """Return what find_sources writes of all exposures."""
        return [path for name in self.products[field] for path in self.plan.facts_files(name)]

    def reference_catalog(self, field: str) -> str | None:
        """Return the file of the absolute reference catalogue; see `Plan.reference_catalog`."""
        return self.plan.reference_catalog(self.products[field][0])

    def options(self, field: str) -> dict[str, Any]:
        """Return the parameters of tweakreg."""
        return self.plan.options(self.products[field][0], "tweakreg", "align")

    def solution(self, product: str) -> str | None:
        """Return the file of the alignment of a product's field, if it is in one."""
        own = (name for name, products in self.products.items() if product in products)
        return next((f"<results>/{FOLDER}/{name}.json" for name in own), None)

    def align_options(self, product: str) -> dict[str, Any]:
        """Return how a product's exposures are aligned, and were searched for stars."""
        options = self.plan.options
        return {
            "tweakreg": options(product, "tweakreg", "align"),
            "find_sources": options(product, "tweakreg", "find_sources"),
            "assign_mtwcs": options(product, "assign_mtwcs", "align"),
        }

    def own_catalog(self, product: str) -> str | None:
        """Return the reference catalogue that a product is aligned to by itself."""
        return None if self.solution(product) else self.plan.reference_catalog(product)


def _check_product(plan: Plan, field: str, product: str) -> None:
    """Raise where a product can be in no field."""
    if product not in plan.products:
        raise InputError(
            f"fields.{field}: there is no product {product}: known are {', '.join(plan.products)}"
        )
    if plan.products[product].coronagraphic:
        raise InputError(f"fields.{field}: {product} is of coronagraphy: take it out")


def _check_alike(plan: Plan, field: str, products: list[str]) -> None:
    """Raise where products are not aligned alike."""
    for name in products:
        if not plan.runs(name, "tweakreg"):
            raise InputError(f"fields.{field}: {name} skips tweakreg: take it out")
    first, *others = products
    own = plan.options(first, "tweakreg", "align")
    for other in others:
        theirs = plan.options(other, "tweakreg", "align")
        for key in own:
            if theirs[key] != own[key]:
                raise InputError(
                    f"fields.{field}: tweakreg.{key} is {own[key]!r} for {first}, but "
                    f"{theirs[key]!r} for {other}: give them the same"
                )
