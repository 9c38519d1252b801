"""Associations: which exposures make a product.

Standard library only: every job of a workflow reads them again when it parses the Snakefile.
Format: JWST documentation, "Level 3 associations".
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from snakewebb.errors import InputError

SUFFIXES = (
    "rate", "rateints", "cal", "calints", "bsub", "bsubints", "crf", "crfints", "tweakreg",
    "psfstack", "psfalign", "psfsub",
    "skymatch", "assign_mtwcs", "assignwcs", "assign_wcs", "flatfieldstep", "photomstep",
    "outlier_detection", "i2d",
)  # fmt: skip
_SUFFIX = re.compile(rf"^(.+?)[_-]({'|'.join(SUFFIXES)})$")
EXPTYPES = (
    "science", "background", "psf", "target_acquisition", "sourcecat", "segmap", "direct_image",
    "autowave", "autoflat", "imprint", "selfcal", "template", "signal", "pre_imaging",
    "target_aquistion", "dark", "wavecal", "flat", "null", "test", "nrs_image", "science_image",
)  # fmt: skip
STAR = ("star_flux", "star_abmag", "star_vegamag")


@dataclass(frozen=True)
class Member:
    """An exposure of a product.

    Attributes
    ----------
    exposure : str
        File name without suffix, as ``jw01345003001_02201_00001_nrcalong``.
    path : str
        The file.
    exptype : str
        ``science`` or ``psf``.
    group_id : str or None
        Which detectors belong together; None leaves it to the file's metadata.
    tweakreg_catalog : str or None
        A custom source catalogue.
    """

    exposure: str
    path: str
    exptype: str
    group_id: str | None = None
    tweakreg_catalog: str | None = None


@dataclass(frozen=True)
class Product:
    """A product of an association.

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
    single : bool
        Whether it is one exposure given by itself, to be resampled as it is.
    star : dict
        What the association says of the star's brightness in coronagraphy: ``star_flux`` (Jy),
        ``star_abmag`` or ``star_vegamag``.
    """

    name: str
    asn_id: str
    table: str
    pool: str
    members: tuple[Member, ...]
    single: bool = False
    star: dict[str, float] = field(default_factory=dict)

    @property
    def coronagraphic(self) -> bool:
        """Whether it is one of coronagraphy, whatever its association's type says.

        It has references, or its exposures are cubes of integrations.
        """
        return any(
            member.exptype == "psf" or re.search(r"[_-](cal|crf)ints\.fits", member.path)
            for member in self.members
        )

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


def exposure_name(path: str | Path) -> str:
    """Return a file's name without folder, ``.fits`` and product suffix."""
    name = Path(path).name.removesuffix(".gz").removesuffix(".fits")
    match = _SUFFIX.match(name)
    return match.group(1) if match else name


def read(path: str | Path) -> list[Product]:
    """Return the products of an association file, or the one of a bare exposure.

    Parameters
    ----------
    path : path
        An association (JSON), whose members are found relative to its folder; or a ``.fits``
        exposure, which makes a product of its own.

    Raises
    ------
    InputError
        The file is missing, is no association, or names a member that can't be used.
    """
    path = Path(path)
    if path.name.endswith((".fits", ".fits.gz")):
        if not path.is_file():
            raise InputError(f"{path}: there is no such file: check 'associations'")
        name = exposure_name(path)
        member = Member(name, str(path), "science")
        return [Product(name, "a3001", "none", "none", (member,), single=True)]
    try:
        table = json.loads(path.read_text())
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such association: check 'associations'") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: cannot be read as JSON: {error}") from None
    products = table.get("products") if isinstance(table, dict) else None
    if not isinstance(products, list) or not products:
        raise InputError(f"{path}: holds no products: give an association with a list 'products'")
    return [_product(path, table, product) for product in products]


def _product(path: Path, table: dict[str, Any], product: Any) -> Product:
    name = product.get("name") if isinstance(product, dict) else None
    if not isinstance(name, str) or not re.fullmatch(r"\w[\w.+-]*", name):
        raise InputError(
            f"{path}: product name {name!r}: use letters, digits and _ . + -, a letter or digit "
            "first"
        )
    entries = product.get("members")
    if not isinstance(entries, list) or not entries:
        raise InputError(f"{path}: product {name} has no members: add them")
    members = []
    for entry in entries:
        expname = entry.get("expname") if isinstance(entry, dict) else None
        exptype = str(entry.get("exptype", "")).lower() if isinstance(entry, dict) else ""
        if not isinstance(expname, str) or not expname:
            raise InputError(f"{path}: product {name}: a member has no 'expname': add it")
        if exptype not in EXPTYPES:
            raise InputError(
                f"{path}: member {expname}: unknown exptype {exptype!r}: use science or psf"
            )
        if exptype not in ("science", "psf"):
            continue
        file = path.parent / expname
        if not file.is_file():
            raise InputError(f"{file}: there is no such file, but {path} lists it: fetch it")
        catalog = entry.get("tweakreg_catalog")
        if catalog is not None and not isinstance(catalog, str):
            raise InputError(f"{path}: member {expname}: tweakreg_catalog is no path: give one")
        members.append(
            Member(
                exposure_name(expname),
                str(file),
                exptype,
                None if entry.get("group_id") is None else str(entry["group_id"]),
                str(path.parent / catalog) if catalog else None,
            )
        )
    seen: dict[str, Member] = {}
    for member in members:
        other = seen.setdefault(member.exposure, member)
        if other is not member:
            raise InputError(
                f"{path}: product {name} lists {member.exposure} twice ({other.path} and "
                f"{member.path}): keep one"
            )
    if not any(member.exptype == "science" for member in members):
        raise InputError(f"{path}: product {name} has no member of exptype science: add one")
    asn_id = str(table.get("asn_id", "a3001"))
    if not re.fullmatch(r"\w+", asn_id):
        raise InputError(f"{path}: asn_id {asn_id!r}: use letters and digits, as o001 or a3001")
    star = {key: product[key] for key in STAR if product.get(key) is not None}
    for key, value in star.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InputError(f"{path}: product {name}: {key} is {value!r}: give a number")
    pool = str(table.get("asn_pool", "none"))
    return Product(name, asn_id, path.name, pool, tuple(members), star=star)


def read_catfile(path: str | Path) -> dict[str, str]:
    """Return the source catalogue of each exposure that a ``catfile`` gives one.

    Parameters
    ----------
    path : path
        Text of two columns: exposure file, and its catalogue relative to the catfile's folder; or
        none, where sources are to be searched as usual.

    Raises
    ------
    InputError
        The file cannot be read.
    """
    try:
        lines = [line.split() for line in Path(path).read_text().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: catfile cannot be read: {error}") from None
    folder = Path(path).parent
    return {exposure_name(line[0]): str(folder / line[1]) for line in lines if len(line) > 1}


def of_files(name: str, files: Mapping[str, Iterable[str]]) -> Product:
    """Return a product made of files alone.

    Parameters
    ----------
    name : str
        The product's name.
    files : mapping
        Paths of exposures by exptype, ``science`` and ``psf``.

    Raises
    ------
    InputError
        The name can't be a file name, or two files hold the same exposure.
    """
    members = [
        {"expname": str(path), "exptype": exptype}
        for exptype, paths in files.items()
        for path in paths
    ]
    table = {"asn_id": "a3001", "asn_pool": "none"}
    return _product(Path(f"{name}_asn.json"), table, {"name": name, "members": members})


def as_table(product: Product, folder: str | Path) -> dict[str, Any]:
    """Return a product's association as JSON holds it, with paths relative to a folder."""
    members = [
        {"expname": os.path.relpath(member.path, folder), "exptype": member.exptype}
        for member in product.members
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
