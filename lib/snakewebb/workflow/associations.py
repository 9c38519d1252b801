"""Associations: which exposures make a product.

Standard library only (and YAML, for associations in it): every job of a workflow reads them again
when it parses the Snakefile. They are only parsed: whether the exposures exist, and belong
together, is asked in `snakewebb.workflow.checks`.
Format: JWST documentation, "Level 3 associations".
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from glob import glob, has_magic
from pathlib import Path
from typing import Any

from snakewebb.errors import InputError
from snakewebb.io import strict
from snakewebb.io.atomic import write_text
from snakewebb.io.fits_structure import find
from snakewebb.io.names import FITS, exposure_name, exposure_suffix, product_name

KINDS = {
    **{name: name for name in ("image2", "image3", "coron3")},
    "tso-image2": "image2",
    **dict.fromkeys(("image", "mosaic"), "image3"),
}
"""What snakewebb makes by ``asn_type``; the last two are names that image3 had before 2017."""
EXPTYPES = {"image2": ("science", "background")}
"""Members that are used, by kind; of the others they are `STAGE3`."""
STAGE3 = ("science", "psf")
STAR = ("star_flux", "star_abmag", "star_vegamag")
_OF_PRODUCT = {"name", "members", *STAR}
_OF_MEMBER = {"expname", "exptype", "group_id", "tweakreg_catalog", "exposerr"}
_OF_MEMBER |= {"asn_candidate", "asn_candidate_id"}  # the archive's own
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")


@dataclass(frozen=True)
class Member:
    """An exposure of a product.

    Attributes
    ----------
    exposure : str
        File name without suffix, as ``jw01345003001_02201_00001_nrcalong``.
    path : str
        The file, or where stage 2 makes it.
    exptype : str
        ``science``, ``psf`` or ``background``.
    group_id : str or None
        Which detectors belong together; None leaves it to the file's metadata.
    tweakreg_catalog : str or None
        A custom source catalogue.
    rate : str or None
        The ``_rate`` that stage 2 makes the file of; None if it is the user's.
    """

    exposure: str
    path: str
    exptype: str
    group_id: str | None = None
    tweakreg_catalog: str | None = None
    rate: str | None = None

    @property
    def source(self) -> str:
        """The user's file, whose header tells of the exposure."""
        return self.rate or self.path


@dataclass(frozen=True)
class Product:
    """A product of an association; one of ``image2`` is an exposure, calibrated.

    Attributes
    ----------
    name : str
        Its JWST name, as ``jw01345-o003_t001_nircam_clear-f356w``.
    asn_id : str
        Such as ``o003`` or ``a3001``.
    table : str
        File name of the association; for the products' metadata.
    pool : str
        Name of the pool it was made from; for the products' metadata.
    members : tuple of Member
        In the association's order.
    kind : {'image2', 'image3', 'coron3'} or None
        What the association says it is; None if it leaves that open.
    star : dict
        What the association says of the star's brightness in coronagraphy: ``star_flux`` (Jy),
        ``star_abmag`` or ``star_vegamag``.
    unused : dict
        What the association says besides, without an effect here, and how often: members of other
        types, unknown keys, and what the archive found wrong with exposures.
    """

    name: str
    asn_id: str
    table: str
    pool: str
    members: tuple[Member, ...]
    kind: str | None = None
    star: dict[str, float] = field(default_factory=dict)
    unused: dict[str, int] = field(default_factory=dict)

    @cached_property
    def coronagraphic(self) -> bool:
        """Whether it is one of coronagraphy.

        It is if it has references, if its association says so, or if its first exposure is a cube
        of integrations: the file's header tells, or, where it cannot be read, its name.
        """
        if self.kind == "coron3" or any(member.exptype == "psf" for member in self.members):
            return True
        path = self.members[0].source
        try:
            return len(find(path, "SCI").shape) == 3
        except (AttributeError, InputError):
            return re.search(r"[_-](cal|crf|rate)ints\.fits", path) is not None

    def of_type(self, exptype: str) -> dict[str, Member]:
        """Return the members of a type by exposure name, in order."""
        return self._by_type.get(exptype, {})

    @cached_property
    def _by_type(self) -> dict[str, dict[str, Member]]:
        # Asked for by each job of each exposure.
        found: dict[str, dict[str, Member]] = {}
        for member in self.members:
            found.setdefault(member.exptype, {})[member.exposure] = member
        return found


def read(path: str | Path) -> list[Product]:
    """Return the products of an association file, or the one of a bare exposure.

    Parameters
    ----------
    path : path
        An association (JSON, or YAML if its name ends so), whose members are relative to its
        folder; or a ``.fits`` exposure, which is an association of one.

    Raises
    ------
    InputError
        The file is missing, is no association, or not one of imaging or coronagraphy.
    """
    path = Path(path)
    if has_magic(str(path)) and not path.exists():
        raise InputError(f"{path}: is a pattern: give it as 'science' of one of 'products'")
    if FITS.search(path.name):
        kind = "image2" if is_rate(path) else None
        return [_of_files(exposure_name(path), {"science": [path]}, path, "none", kind)]
    try:
        table = strict.read(path)
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such association: check 'associations'") from None
    products = table.get("products") if isinstance(table, dict) else None
    if not isinstance(products, list) or not products:
        raise InputError(f"{path}: holds no products: give an association with a list 'products'")
    table["asn_type"] = _kind(path, table)
    return [_product(path, path.parent, table, product) for product in products]


def is_rate(path: str | Path) -> bool:
    """Return whether a file's name is that of an exposure before stage 2."""
    return exposure_suffix(path) in ("rate", "rateints")


def stage2_kind(path: str) -> str:
    """Return what stage 2 makes of a file, or has made, by the file's name: cal or calints."""
    return "calints" if exposure_suffix(path).endswith("ints") else "cal"


def _kind(path: Path, table: Mapping[str, Any]) -> str | None:
    """Return what an association makes; None if it does not say."""
    named = str(table.get("asn_type") or "none").lower()
    if named == "none" and "level2" in str(table.get("asn_rule")).lower():
        named = "image2"
    if named != "none" and named not in KINDS:
        raise InputError(
            f"{path}: is an association of {named}, but snakewebb makes image2, image3 and coron3: "
            "give one of these, or exposures"
        )
    return KINDS.get(named)


def _product(where: object, folder: Path, table: Mapping[str, Any], product: Any) -> Product:
    """Return a product of an association's table, which is told as being found somewhere."""
    given = product.get("name") if isinstance(product, dict) else None
    name = product_name(given) if isinstance(given, str) else ""
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{where}: product name {given!r}: use letters, digits and _ . + -, a letter or digit "
            "first"
        )
    entries = product.get("members")
    if not isinstance(entries, list) or not entries:
        raise InputError(f"{where}: product {name} has no members: add them")
    exptypes = table.get("exptypes") or EXPTYPES.get(table["asn_type"], STAGE3)
    seen: dict[tuple[str, str], Member] = {}
    unused: Counter[str] = Counter()
    unused.update(f"key {key}" for key in sorted(product.keys() - _OF_PRODUCT))
    for entry in entries:
        member = _member(where, folder, name, entry, exptypes)
        if not entry.keys() <= _OF_MEMBER:
            unused.update(f"key {key}" for key in sorted(entry.keys() - _OF_MEMBER))
        if isinstance(member, str):
            unused[f"exptype {member}"] += 1
            continue
        wrong = entry.get("exposerr")
        if wrong and wrong not in ("null", "NULL"):
            unused[f"exposerr {wrong}"] += 1
        # What is subtracted from itself is told by the job.
        place = "background" if member.exptype == "background" else "", member.exposure
        other = seen.setdefault(place, member)
        if other is not member:
            raise InputError(
                f"{where}: product {name} lists {member.exposure} twice ({other.path} and "
                f"{member.path}): keep one"
            )
    if not any(member.exptype == "science" for member in seen.values()):
        raise InputError(f"{where}: product {name} has no member of exptype science: add one")
    asn_id = table.get("asn_id")
    asn_id = "a3001" if asn_id is None else str(asn_id)
    if not re.fullmatch(r"[A-Za-z0-9]{1,16}", asn_id):
        raise InputError(
            f"{where}: asn_id {asn_id!r:.60}: use up to 16 letters and digits, as o001 or a3001"
        )
    return Product(
        name,
        asn_id,
        _ascii(getattr(where, "name", where)),
        _ascii(table.get("asn_pool", "none")),
        tuple(seen.values()),
        table["asn_type"],
        _star(where, name, product),
        dict(unused),
    )


def _member(
    where: object, folder: Path, product: str, entry: Any, exptypes: tuple[str, ...]
) -> Member | str:
    """Return a member, or its type where that is not used."""
    expname = entry.get("expname") if isinstance(entry, dict) else None
    if not isinstance(expname, str) or not expname:
        raise InputError(f"{where}: product {product}: a member has no 'expname': add it")
    exptype = entry.get("exptype")
    if not isinstance(exptype, str) or not exptype:
        raise InputError(f"{where}: member {expname} has no 'exptype': use {' or '.join(exptypes)}")
    exptype = exptype.lower()
    if exptype not in exptypes:
        meant = difflib.get_close_matches(exptype, exptypes, cutoff=0.8)
        if meant:
            raise InputError(
                f"{where}: member {expname}: unknown exptype {exptype!r}: did you mean {meant[0]}?"
            )
        return exptype
    catalog, group_id = entry.get("tweakreg_catalog"), entry.get("group_id")
    if catalog is not None and not isinstance(catalog, str):
        raise InputError(f"{where}: member {expname}: tweakreg_catalog is no path: give one")
    if group_id is not None:
        name = str(group_id) if isinstance(group_id, str | int) else ""
        if not name.strip() or not name.isprintable():
            raise InputError(f"{where}: member {expname}: group_id is no text: give a name")
    return Member(
        exposure_name(expname),
        str(folder / expname),
        exptype,
        None if group_id is None else str(group_id),
        str(folder / catalog) if catalog and catalog.strip() else None,
    )


def _star(where: object, name: str, product: Mapping[str, Any]) -> dict[str, float]:
    """Return what a product says of its star's brightness."""
    star = {key: product[key] for key in STAR if product.get(key) is not None}
    for key, value in star.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        low, high = (0.0, 1e7) if key == "star_flux" else (-30.0, 40.0)
        if not number or not low < value < high:
            raise InputError(
                f"{where}: product {name}: {key} is {value!r}: give a number between {low:g} and "
                f"{high:g}"
            )
    return star


def matching(patterns: str | Iterable[str]) -> list[str]:
    """Return the files of one pattern or several.

    Raises
    ------
    InputError
        A pattern matches no file.
    """
    files = []
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        # Names may have brackets in them.
        matches = [pattern] if os.path.isfile(pattern) else sorted(glob(pattern))
        if not matches:
            rates = pattern.replace("_cal", "_rate")
            hint = f"give {rates}" if rates != pattern and glob(rates) else "check 'products'"
            raise InputError(f"{pattern or repr('')}: no file matches: {hint}")
        files += matches
    return files


def of_files(name: str, files: Mapping[str, Iterable[str | Path]]) -> Product:
    """Return a product made of files alone.

    Parameters
    ----------
    name : str
        The product's name.
    files : mapping
        Paths of exposures by exptype, ``science``, ``psf`` and ``background``.

    Raises
    ------
    InputError
        The name can't be a file name, or two files hold the same exposure.
    """
    return _of_files(name, files, f"products.{name}", f"{name}_asn.json")


def _of_files(
    name: str,
    files: Mapping[str, Iterable[str | Path]],
    where: object,
    table: str,
    kind: str | None = None,
) -> Product:
    members = [
        {"expname": str(path), "exptype": exptype}
        for exptype, paths in files.items()
        for path in paths
    ]
    content = {"asn_id": "a3001", "asn_pool": "none", "asn_type": kind, "exptypes": tuple(files)}
    product = _product(where, Path(), content, {"name": name, "members": members})
    return replace(product, table=table)


def _ascii(text: object) -> str:
    """Return a text as a FITS header can hold it."""
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in str(text))


def write_association(target: str | Path, product: str, files: Mapping[str, Iterable[str]]) -> None:
    """Write the association of a product that the user gave by its files.

    Parameters
    ----------
    target : path
        The JSON to write.
    product : str
        Its name.
    files : mapping
        The files by exptype, see `of_files`.
    """
    table = as_table(of_files(product, files), Path(target).parent)
    write_text(target, json.dumps(table, indent=4) + "\n")


def as_table(product: Product, folder: str | Path) -> dict[str, Any]:
    """Return a product's association as JSON holds it, with paths relative to a folder.

    That is the product's, beside which lies the folder of the exposures that stage 2 makes.
    """
    members = [
        {
            "expname": f"../exposures/{member.exposure}_{stage2_kind(member.path)}.fits"
            if is_rate(member.path)
            else os.path.relpath(member.path, folder),
            "exptype": member.exptype,
        }
        for member in product.members
        if member.exptype != "background"
    ]
    return {
        "asn_type": "coron3" if product.coronagraphic else "image3",
        "asn_rule": "DMS_Level3_Base",
        "asn_id": product.asn_id,
        "asn_pool": product.pool,
        "version_id": None,
        "degraded_status": "No known degraded exposures in association.",
        "constraints": "No constraints",
        "program": "noprogram",
        "target": "none",
        "products": [{"name": product.name, "members": members}],
    }
