"""What rules of stage 2 ask: backgrounds, reference files and parameters of an exposure.

Standard library only, as `snakewebb.workflow.plan`, whose methods these are like. Headers are read,
and reference files chosen, when a rule asks for an exposure's: each job asks for its own only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from snakewebb.calibration.exposures import setup_of
from snakewebb.errors import InputError
from snakewebb.io.fits_structure import first_header, version
from snakewebb.io.names import exposure_name
from snakewebb.references import select
from snakewebb.references.select import Reference
from snakewebb.workflow import config as configuration
from snakewebb.workflow.associations import Product
from snakewebb.workflow.exposures import FOLDER, Stage2Exposure, find_exposures

if TYPE_CHECKING:
    from snakewebb.references.crds import CrdsCache

NAME = "exposures"
"""Of the folder of exposures, which no product can have."""
SELF = "self"
"""Given as ``background``: exposures of a product are the background of each other."""
QUICK_LOOKS = ("MIR_IMAGE", "NRC_IMAGE", "NIS_IMAGE", "FGS_IMAGE")
"""EXP_TYPE of exposures of which jwst makes an ``_i2d`` in stage 2."""
REFERENCES = {
    "assign_wcs": ("distortion", "filteroffset"),
    "flat_field": ("flat",),
    "photom": ("photom", "area"),
}
"""Types of reference files, by step."""
LEAST = 2
"""Other exposures that make a background."""


@dataclass(frozen=True)
class Stage2:
    """What stage 2 makes.

    Attributes
    ----------
    schema : mapping
        Of the configuration.
    exposures : mapping of str to Stage2Exposure
        By name and kind, ``<name>_cal``.
    settings : mapping of str to mapping
        The part of the configuration that holds for each, by the same names.
    listed : tuple of str
        Those that are asked for themselves, not only for a product of stage 3.
    unused : mapping
        What their associations say without an effect here, and how often.
    made : mapping of str to list of str
        The exposures by product that has them; those of none by the name of their folder.
    """

    schema: Mapping[str, Any] = field(default_factory=dict)
    exposures: Mapping[str, Stage2Exposure] = field(default_factory=dict)
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    listed: tuple[str, ...] = ()
    unused: Mapping[str, int] = field(default_factory=dict)
    made: Mapping[str, list[str]] = field(default_factory=dict)
    _chosen: dict[str, Mapping[str, Reference]] = field(default_factory=dict)

    def options(self, exposure: str, kind: str, rule: str) -> dict[str, Any]:
        """Return the parameters of all steps that a rule uses for an exposure."""
        own = self._settings(exposure, kind)["image2"]
        steps = self.schema["properties"]["image2"]["properties"]
        return {
            step: known
            for step, sub in steps.items()
            if "properties" in sub and (known := configuration.used(own[step], sub, rule))
        }

    def rate_file(self, exposure: str, kind: str) -> str:
        """Return the file that an exposure is made of."""
        return self._known(exposure, kind).rate

    def asn_metadata(self, exposure: str, kind: str) -> dict[str, str]:
        """Return what an exposure's metadata say of its association."""
        known = self._known(exposure, kind)
        return {"pool_name": known.pool, "table_name": known.table}

    def backgrounds(self, exposure: str, kind: str) -> list[str]:
        """Return the exposures of the background that is to be subtracted from an exposure."""
        known = self._known(exposure, kind)
        skips = self._settings(exposure, kind)["image2"]["bkg_subtract"]["skip"]
        if skips or not known.backgrounds or self.is_time_series(exposure, kind):
            return []
        found = known.others
        if not known.sorted_out:
            return found
        setup = setup_of(header_of(known.rate))
        found = [path for path in found if setup_of(header_of(path)) == setup]
        if known.rate in known.backgrounds and len(found) < LEAST:
            raise InputError(
                f"{known.rate}: is a background of its own product, with {len(found)} other "
                f"exposures of {' '.join(filter(None, setup))}, but {LEAST} are needed: add some, "
                "or leave 'background' out"
            )
        if not found:
            raise InputError(
                f"{known.rate}: no background exposure is of {' '.join(filter(None, setup))}: add "
                "one, or set image2.bkg_subtract.skip"
            )
        return found

    def background_file(self, exposure: str, kind: str) -> str | None:
        """Return the combined background of an exposure, unless none is subtracted."""
        found = self.backgrounds(exposure, kind)
        return f"{FOLDER}/{_set_name(found)}_combinedbackground.fits" if found else None

    def subtracted_background(self, exposure: str, kind: str) -> str:
        """Return the same of an exposure that is wanted without its background."""
        if (path := self.background_file(exposure, kind)) is None:
            raise InputError(f"{exposure}_{kind}: has no background: there is no such file of it")
        return path

    @cached_property
    def _sets(self) -> dict[str, tuple[list[str], Stage2Exposure]]:
        """The exposures of each set of backgrounds by its name, and an exposure that needs it."""
        sets: dict[str, tuple[list[str], Stage2Exposure]] = {}
        for known in self.exposures.values():
            if found := self.backgrounds(known.name, known.kind):
                sets.setdefault(_set_name(found), (found, known))
        return sets

    def background_set(self, background: str) -> list[str]:
        """Return the exposures that a background is combined from."""
        return self._sets[background][0]

    def background_options(self, background: str) -> dict[str, Any]:
        """Return how they are combined."""
        known = self._sets[background][1]
        return self.options(known.name, known.kind, "background")["bkg_subtract"]

    def references(self, exposure: str, kind: str) -> dict[str, str]:
        """Return the reference files that an exposure is calibrated with, by type."""
        return {t: chosen.path for t, chosen in self.chosen(exposure, kind).items()}

    def reference_names(self, exposure: str, kind: str) -> dict[str, str]:
        """Return what these are called in an exposure's metadata."""
        return {t: chosen.name for t, chosen in self.chosen(exposure, kind).items()}

    def chosen(self, exposure: str, kind: str) -> Mapping[str, Reference]:
        """Return the same, with what speaks against them."""
        known, own = self._known(exposure, kind), self._settings(exposure, kind)
        if known.key not in self._chosen:
            given, crds = own["reference_files"], own["reference_files"]["crds"]
            self._chosen[known.key] = select.references_of(
                known.rate,
                given,
                crds_cache(crds["path"], crds["context"]),
                [
                    reftype
                    for step, names in REFERENCES.items()
                    for reftype in names
                    if not own["image2"][step]["skip"]
                ],
            )
        return self._chosen[known.key]

    def is_time_series(self, exposure: str, kind: str) -> bool:
        """Return whether an exposure is one of a time series: as it is, without a background."""
        if kind == "cal":
            return False
        header = header_of(self._known(exposure, kind).rate)
        return header.get("TSOVISIT") == "T" or header.get("EXP_TYPE") == "NRC_TSIMAGE"

    def has_quick_look(self, exposure: str, kind: str) -> bool:
        """Return whether an exposure is to be rectified, and of a kind that is."""
        known = self._known(exposure, kind)
        if kind != "cal" or self._settings(exposure, kind)["image2"]["resample"]["skip"]:
            return False
        return header_of(known.rate).get("EXP_TYPE") in QUICK_LOOKS

    def mosaic_options(self, exposure: str) -> dict[str, Any]:
        """Return how an image is rectified."""
        parts = {"drizzle": "drizzle", "grid": "exposure_i2d", "i2d": "i2d"}
        used = {part: self.options(exposure, "cal", rule) for part, rule in parts.items()}
        return {part: known.get("resample", {}) for part, known in used.items()}

    def made_for(self, product: str) -> list[str]:
        """Return the exposures that are made for a product."""
        return [self.exposures[key].path for key in self.made[product]]

    def backgrounds_used(self, product: str) -> list[str]:
        """Return the backgrounds that are subtracted from a product's exposures, in order."""
        return [background for _, background in self._subtractions(product)]

    def rates_with_background(self, product: str) -> list[str]:
        """Return the exposures that they are subtracted from."""
        return [known.rate for known, _ in self._subtractions(product)]

    def _subtractions(self, product: str) -> list[tuple[Stage2Exposure, str]]:
        exposures = [self.exposures[key] for key in self.made[product]]
        found = [(known, self.background_file(known.name, known.kind)) for known in exposures]
        return [(known, background) for known, background in found if background]

    def targets(self) -> list[str]:
        """Return the files that are made when none is asked for."""
        files = [self.exposures[key].path for key in self.listed]
        for known in self.exposures.values():
            if self._settings(known.name, known.kind)["image2"]["save_bsub"]:
                suffix = known.kind.replace("cal", "bsub")
                if self.background_file(known.name, known.kind):
                    files.append(f"{FOLDER}/{known.name}_{suffix}.fits")
            if self.has_quick_look(known.name, known.kind):
                files.append(f"{FOLDER}/{known.name}_i2d.fits")
        for product in self.made:
            plots = f"<results>/{product}/plots/{product}"
            files.append(f"{plots}_stage2_status.html")
            files += [f"{plots}_backgrounds.png"] if self._subtractions(product) else []
        return files

    def _known(self, exposure: str, kind: str) -> Stage2Exposure:
        known = self.exposures.get(f"{exposure}_{kind.replace('bsub', 'cal')}")
        if known is None:
            raise InputError(f"{exposure}_{kind}: is no exposure that stage 2 makes")
        return known

    def _settings(self, exposure: str, kind: str) -> Mapping[str, Any]:
        return self.settings[self._known(exposure, kind).key]


def read_stage2(
    config: Mapping[str, Any], schema: Mapping[str, Any], found: Iterable[Product]
) -> tuple[list[Product], Stage2]:
    """Return the products of stage 3, with where stage 2 makes their exposures, and stage 2.

    Parameters
    ----------
    config : mapping
        The configuration, completed.
    schema : mapping
    found : iterable of Product
        Of all associations, and of the configuration.

    Raises
    ------
    InputError
        An exposure is to be made in two ways.
    """
    configured = config["products"]
    sharing = {name for name, entry in configured.items() if entry["background"] == SELF}
    work = find_exposures(found, sharing)
    using: dict[str, list[str]] = {known.path: [] for known in work.exposures.values()}
    for product in work.products:
        for member in product.members:
            if member.rate:
                using[member.path].append(product.name)
    made: dict[str, list[str]] = {}
    for key, known in work.exposures.items():
        for name in using[known.path] or [NAME]:
            made.setdefault(name, []).append(key)
    return work.products, Stage2(
        schema,
        work.exposures,
        {k: _settings(config, e.name, using[e.path]) for k, e in work.exposures.items()},
        work.listed,
        work.unused,
        made,
    )


def _settings(config: Mapping[str, Any], exposure: str, using: list[str]) -> Mapping[str, Any]:
    """Return what holds for an exposure: its own part of the configuration, or its products'.

    Raises
    ------
    InputError
        It is made for products that differ in it.
    """
    if exposure in config["products"]:
        return config["products"][exposure]
    first, *others = [config["products"].get(name, config) for name in using] or [config]
    for name, other in zip(using[1:], others, strict=True):
        if _stage2_part(other) != _stage2_part(first):
            raise InputError(
                f"{exposure}: is made for {using[0]} and {name}, whose image2 or reference_files "
                f"differ: say under products.{exposure} what holds"
            )
    return first


def _stage2_part(settings: Mapping[str, Any]) -> list[Any]:
    files = settings["reference_files"]
    types = [reftype for names in REFERENCES.values() for reftype in names]
    shared = settings.get("background") == SELF
    return [settings["image2"], shared, [files[name] for name in (*types, "crds")]]


def _set_name(paths: list[str]) -> str:
    """Return the name of what is made of some exposures."""
    digest = hashlib.sha256("\n".join(paths).encode()).hexdigest()[:8]
    return f"{exposure_name(paths[0])}-{digest}"


def header_of(path: str) -> Mapping[str, str]:
    """Return a file's first header, read once as long as the file does not change.

    Raises
    ------
    InputError
        See `snakewebb.io.fits_structure.first_header`.
    """
    return _first_header(path, version(path))


@lru_cache(maxsize=100_000)
def _first_header(path: str, version: tuple[int, int]) -> Mapping[str, str]:
    return first_header(path)


@cache
def crds_cache(path: str | None, context: str | None) -> CrdsCache | None:
    """Return the cache that a configuration names; None if it names none.

    Raises
    ------
    InputError
        There is no such context.
    """
    if not path:
        return None
    if not context:
        raise InputError("reference_files.crds.context: is not given: write it as jwst_1234.pmap")
    from snakewebb.references.crds import CrdsCache  # the schema, which runs without it do without

    return CrdsCache(path, context)
