"""Exposures that stage 2 makes: those of its associations, and what stage 3 lacks.

An exposure is made once for all products that have it. Standard library only.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache

from snakewebb.errors import InputError
from snakewebb.io.names import exposure_name
from snakewebb.workflow.associations import Product, is_rate, stage2_kind

FOLDER = "<results>/exposures"
_RATE = {"cal": "rate", "calints": "rateints"}


@dataclass(frozen=True)
class Stage2Exposure:
    """An exposure to be calibrated.

    Attributes
    ----------
    name : str
        What its products are called after.
    kind : {'cal', 'calints'}
    rate : str
        The file it is made of.
    backgrounds : tuple of str
        Exposures of the background, ``_rate`` or ``_rateints``.
    table, pool : str
        Of its association; for its metadata.
    sorted_out : bool
        Whether `backgrounds` are those of all detectors and filters, of which some are its.
    """

    name: str
    kind: str
    rate: str
    backgrounds: tuple[str, ...] = ()
    table: str = "none"
    pool: str = "none"
    sorted_out: bool = False

    @property
    def key(self) -> str:
        """What its file is called, without ``.fits``."""
        return f"{self.name}_{self.kind}"

    @property
    def others(self) -> list[str]:
        """Its backgrounds without itself, which would take its own sources off."""
        own = exposure_name(self.rate)
        return [path for path in self.backgrounds if exposure_name(path) != own]

    @property
    def path(self) -> str:
        """Where it is made."""
        return f"{FOLDER}/{self.key}.fits"


@dataclass(frozen=True)
class Found:
    """What is found in associations.

    Attributes
    ----------
    products : list of Product
        Those of stage 3.
    exposures : dict of str to Stage2Exposure
        Those that stage 2 makes, by name and kind, ``<name>_cal``.
    listed : tuple of str
        Those of them that are asked for themselves, not only for a product.
    unused : mapping
        What associations of stage 2 say without an effect here, and how often.
    """

    products: list[Product]
    exposures: dict[str, Stage2Exposure]
    listed: tuple[str, ...]
    unused: Mapping[str, int]


def find_exposures(found: Iterable[Product], sharing: Collection[str] = ()) -> Found:
    """Return which exposures stage 2 makes, and the products of stage 3 that have them.

    Parameters
    ----------
    found : iterable of Product
        Of all associations, and of the configuration.
    sharing : collection of str
        Products whose exposures are the background of each other.

    Raises
    ------
    InputError
        An exposure is to be made in two ways.
    """
    exposures: dict[str, Stage2Exposure] = {}
    products, unused = [], Counter[str]()
    for product in found:
        if product.kind == "image2":
            _add(exposures, _of_association(product))
            unused.update(product.unused)
            unused["science members after the first"] += len(product.of_type("science")) - 1
        else:
            products.append(product)
    listed, listing = tuple(exposures), cache(_listing)
    products = [_resolved(product, exposures, listing) for product in products]
    for product in products:
        if product.name in sharing:
            _share_background(product, exposures)
    return Found(products, exposures, listed, +unused)


def _of_association(product: Product) -> Stage2Exposure:
    """Return the exposure that a product of an association of stage 2 is."""
    science = next(iter(product.of_type("science").values()))
    return Stage2Exposure(
        product.name,
        stage2_kind(science.path),
        science.path,
        tuple(member.path for member in product.of_type("background").values()),
        product.table,
        product.pool,
    )


def _resolved(
    product: Product,
    exposures: dict[str, Stage2Exposure],
    listing: Callable[[str], Collection[str]],
) -> Product:
    """Return a product of stage 3 whose members are the user's files, or made by stage 2.

    What has to be made for it, and no association lists, is added to `exposures`.
    """
    backgrounds = tuple(member.path for member in product.of_type("background").values())
    members = []
    for member in product.members:
        if member.exptype == "background":
            continue
        given, kind = member.path, stage2_kind(member.path)
        made = exposures.get(f"{member.exposure}_{kind}")
        if is_rate(given) and (made is None or backgrounds or not _same(given, made.rate)):
            own = backgrounds if member.exptype == "science" else ()
            made = Stage2Exposure(member.exposure, kind, given, own, sorted_out=True)
        elif made is None and (rate := _beside(given, kind, listing)):
            made = Stage2Exposure(member.exposure, kind, rate)
        if made is not None:
            _add(exposures, made)
            member = replace(member, path=made.path, rate=made.rate)
        members.append(member)
    return replace(product, members=tuple(members))


def _share_background(product: Product, exposures: dict[str, Stage2Exposure]) -> None:
    """Make the exposures of a product the background of each other."""
    science = [member for member in product.of_type("science").values() if member.rate]
    rates = tuple(str(member.rate) for member in science)
    for member in science:
        key = f"{member.exposure}_{stage2_kind(member.path)}"
        if exposures[key].backgrounds not in ((), rates):
            raise InputError(
                f"products.{product.name}.background: self: {member.exposure} has backgrounds of "
                f"its own ({exposures[key].table}): leave one out"
            )
        exposures[key] = replace(exposures[key], backgrounds=rates, sorted_out=True)


def _add(exposures: dict[str, Stage2Exposure], made: Stage2Exposure) -> None:
    """Add an exposure to those that are made; raise if another of its name is."""
    other = exposures.setdefault(made.key, made)
    files, others = (made.rate, *made.backgrounds), (other.rate, *other.backgrounds)
    if len(files) != len(others) or not all(map(_same, files, others)):
        raise InputError(
            f"{made.key}: is to be made in two ways, of {other.rate} ({other.table}, "
            f"{len(other.backgrounds)} backgrounds) and of {made.rate} ({made.table}, "
            f"{len(made.backgrounds)}): keep one"
        )


def _same(path: str, other: str) -> bool:
    """Return whether two paths name the same file, whichever way they are written."""
    return path == other or os.path.abspath(path) == os.path.abspath(other)


def _beside(path: str, kind: str, listing: Callable[[str], Collection[str]]) -> str | None:
    """Return the exposure before stage 2 that lies where one after it is missing."""
    folder, _, name = path.rpartition("/")
    if name in (there := listing(folder)):
        return None
    start, suffix, _ = name.rpartition(f"{kind}.fits")
    wanted = (f"{start}{_RATE[kind]}.fits{packing}" for packing in ("", ".gz", ".fz"))
    rate = next((rate for rate in wanted if suffix and rate in there), None)
    return rate and os.path.join(folder, rate)


def _listing(folder: str) -> frozenset[str]:
    """Return the names in a folder: thousands of exposures are not asked for one by one."""
    try:
        return frozenset(os.listdir(folder or "."))
    except OSError:
        return frozenset()
