"""Fields: products that are aligned with each other, lie on one grid and have one catalogue."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from snakewebb.errors import InputError
from snakewebb.workflow import config as configuration
from snakewebb.workflow.plan import Options, Plan

FOLDER = "fields"
"""Below the results; no product has its name."""


@dataclass(frozen=True)
class Fields:
    """The fields of a configuration; methods are what rules ask, with their wildcards.

    Attributes
    ----------
    plan : Plan
    products, frame, detection : mapping of str to tuple of str
        By field, in order: all of its products, those that are aligned together and span the
        grid, and those in whose mosaics sources are sought.
    """

    plan: Plan
    products: Mapping[str, tuple[str, ...]]
    frame: Mapping[str, tuple[str, ...]]
    detection: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, plan: Plan) -> Fields:
        """Return the fields of a plan.

        Raises
        ------
        InputError
            A field cannot be: of unknown products, of one that another has, or whose products
            are not aligned alike, or not to be on one grid.
        """
        given = plan.config["fields"]
        if given and FOLDER in plan.products:
            raise InputError(
                f"product {FOLDER}: is what the folder of fields is called: give it another name"
            )
        owner: dict[str, str] = {}
        found: dict[str, dict[str, tuple[str, ...]]] = {
            "products": {},
            "frame": {},
            "detection": {},
        }
        for name, entry in given.items():
            if not re.fullmatch(r"[\w.-]*\w[\w.-]*", name):
                raise InputError(f"fields.{name}: is to be of letters and digits")
            products = tuple(entry["products"])
            for product in products:
                _check_product(plan, name, product)
                if owner.setdefault(product, name) != name:
                    raise InputError(
                        f"fields.{name}: product {product} is in {owner[product]}, too: keep one"
                    )
            shown = tuple(p for p in products if plan.runs(p, "resample"))
            chosen = {"frame": products, "detection": shown}
            for key in chosen:
                for product in entry[key]:
                    _check_chosen(plan, name, key, product, products)
                chosen[key] = tuple(entry[key]) or chosen[key]
            _check_aligned_alike(plan, name, chosen["frame"])
            _check_gridded_alike(plan, name, shown, entry["pixel_scale"])
            for key, names in {"products": products, **chosen}.items():
                found[key][name] = names
        return cls(plan, **found)

    def of_product(self, product: str) -> str | None:
        """Return the field that a product is in, if there is one."""
        return next((name for name, own in self.products.items() if product in own), None)

    # --- alignment

    def facts_files(self, field: str) -> list[str]:
        """Return what find_sources writes of all exposures that are aligned together."""
        return [path for name in self.frame[field] for path in self.plan.facts_files(name)]

    def reference_catalog(self, field: str) -> str | None:
        """Return the file of the absolute reference catalogue; see `Plan.reference_catalog`."""
        return self.plan.reference_catalog(self.frame[field][0])

    def options(self, field: str) -> Options:
        """Return the parameters of tweakreg."""
        return self.plan.options(self.frame[field][0], "tweakreg", "align")

    def solution(self, product: str) -> str | None:
        """Return the file of the alignment of a product's field, if it is aligned with others."""
        own = (name for name, products in self.frame.items() if product in products)
        return next((f"<results>/{FOLDER}/{name}.json" for name in own), None)

    def align_options(self, product: str) -> Options:
        """Return how a product's exposures are aligned, and were searched for stars."""
        options = self.plan.options
        tweakreg = options(product, "tweakreg", "align")
        if stars := self.stars(product):
            tweakreg["abs_refcat"] = stars
        return {
            "tweakreg": tweakreg,
            "find_sources": options(product, "tweakreg", "find_sources"),
            "assign_mtwcs": options(product, "assign_mtwcs", "align"),
        }

    def stars(self, product: str) -> str | None:
        """Return the catalogue of a field's stars, if a product beside its frame has no other."""
        field = self.of_product(product)
        if field is None or product in self.frame[field]:
            return None
        step = self.plan.steps(product)["tweakreg"]
        own = step["skip"] or step["abs_refcat"]
        return None if own else f"<results>/{FOLDER}/{field}/work/{field}_stars.ecsv"

    def own_catalog(self, product: str) -> str | None:
        """Return the reference catalogue that a product is aligned to by itself."""
        if self.solution(product):
            return None
        return self.stars(product) or self.plan.reference_catalog(product)

    # --- grid

    def frame_products(self, field: str) -> list[str]:
        """Return the products that span the grid."""
        return list(self.frame[field])

    def alignments(self, field: str) -> list[str]:
        """Return the alignments of the products that span the grid."""
        return [f"<results>/{name}/work/{name}_alignment.json" for name in self.frame[field]]

    def archives(self, field: str) -> list[str]:
        """Return what is known of these products' exposures."""
        return [f"<results>/{name}/work/{name}_facts.zip" for name in self.frame[field]]

    def grid_options(self, field: str) -> Options:
        """Return the parameters of the grid of a field."""
        own = self.plan.options(self.shown(field)[0], "resample", "grid")
        scale = self.plan.config["fields"][field]["pixel_scale"]
        return {
            **own,
            "pixel_scale": own["pixel_scale"] if scale is None else scale,
            "max_megapixels": self.plan.config["max_mosaic_megapixels"],
        }

    def output_wcs(self, product: str) -> str | None:
        """Return the file with the grid of a product, if that is not of its own exposures."""
        field, given = self.of_product(product), self.plan.output_wcs(product)
        if given or field is None:
            return given
        return f"<results>/{FOLDER}/{field}/work/{field}_grid.asdf"

    def mosaic_options(self, product: str) -> Options:
        """Return how a product's exposures are resampled onto the grid of all."""
        options = self.plan.mosaic_options(product, "grid")
        if self.of_product(product) is None:
            return options
        # Those of the grid count where that is made.
        return {**options, "grid": {"output_shape": options["grid"]["output_shape"]}}

    # --- catalogue

    def shown(self, field: str) -> list[str]:
        """Return the products of a field of which there are mosaics."""
        return [name for name in self.products[field] if self.plan.runs(name, "resample")]

    def mosaics(self, field: str) -> list[str]:
        """Return the mosaics of a field."""
        return [f"<results>/{name}/{name}_i2d.fits" for name in self.shown(field)]

    def detection_mosaics(self, field: str) -> list[str]:
        """Return the mosaics in which sources are sought."""
        return [f"<results>/{name}/{name}_i2d.fits" for name in self.detection[field]]

    def apertures(self, field: str) -> dict[str, str]:
        """Return the APCORR files of products, as far as they are given."""
        given = {name: self.plan.references(name, ("apcorr",)) for name in self.shown(field)}
        return {name: files["apcorr"] for name, files in given.items() if files}

    def apcorr(self, field: str) -> list[str]:
        """Return these files."""
        return list(dict.fromkeys(self.apertures(field).values()))

    def detection_products(self, field: str) -> list[str]:
        """Return the products in whose mosaics sources are sought."""
        return list(self.detection[field])

    def catalog_options(self, field: str) -> Options:
        """Return the parameters of source_catalog that hold where no product says otherwise."""
        steps, name = self.plan.config["steps"], "source_catalog"
        return configuration.options(steps, self.plan.schema, name, name)

    def bkg_boxsize(self, field: str) -> int:
        """Return the size of meshes of the background."""
        return self.catalog_options(field)["bkg_boxsize"]

    def targets(self) -> list[str]:
        """Return the files of fields that are made when none is asked for."""
        files = []
        for field, products in self.products.items():
            own = f"<results>/{FOLDER}/{field}/{field}"
            work = f"<results>/{FOLDER}/{field}/work/{field}"
            shown = self.shown(field)
            # Files between jobs, too: see `snakewebb.workflow.default_targets`.
            files.append(f"<results>/{FOLDER}/{field}.json")
            if any(map(self.stars, products)):
                files.append(f"{work}_stars.ecsv")
            if shown and not self.plan.output_wcs(shown[0]):
                files.append(f"{work}_grid.asdf")
            if shown and not self.plan.config["steps"]["source_catalog"]["skip"]:
                files += [f"{own}_cat.{kind}" for kind in ("ecsv", "fits", "reg")]
                files += [f"{own}_{name}" for name in ("detection.fits", "segm.fits", "rgb.png")]
        return files


def _check_product(plan: Plan, field: str, product: str) -> None:
    """Raise where a product can be in no field."""
    if product not in plan.products:
        raise InputError(
            f"fields.{field}: there is no product {product}: known are {', '.join(plan.products)}"
        )
    if plan.products[product].coronagraphic:
        raise InputError(f"fields.{field}: {product} is of coronagraphy: take it out")


def _check_chosen(plan: Plan, field: str, key: str, product: str, products: Iterable[str]) -> None:
    """Raise where a product can be no part of a field's frame or detection image."""
    if product not in products:
        raise InputError(
            f"fields.{field}.{key}: {product} is not in its products: known are "
            f"{', '.join(products)}"
        )
    if key == "detection" and not plan.runs(product, "resample"):
        raise InputError(f"fields.{field}.detection: {product} skips resample: take it out")


def _check_aligned_alike(plan: Plan, field: str, products: tuple[str, ...]) -> None:
    """Raise where products are not aligned alike."""
    for name in products:
        if not plan.runs(name, "tweakreg"):
            raise InputError(f"fields.{field}: {name} skips tweakreg: take it out")
    step = {name: plan.options(name, "tweakreg", "align") for name in products}
    _check_alike(field, "tweakreg", step)


def _check_gridded_alike(
    plan: Plan, field: str, products: tuple[str, ...], pixel_scale: float | None
) -> None:
    """Raise where products are not to be on one grid."""
    wanted = {
        name: {
            **plan.options(name, "resample", "grid"),
            "output_wcs": plan.output_wcs(name),
        }
        for name in products
    }
    for name, own in wanted.items() if pixel_scale is not None else ():
        if own["output_wcs"]:
            raise InputError(
                f"fields.{field}: its pixel_scale and resample.output_wcs of {name} are both "
                "given: keep one"
            )
        if (theirs := own.pop("pixel_scale")) not in (None, pixel_scale):
            raise InputError(
                f"fields.{field}: its pixel_scale is {pixel_scale!r}, but resample.pixel_scale of "
                f"{name} is {theirs!r}: keep one"
            )
        del own["pixel_scale_ratio"]
    _check_alike(field, "resample", wanted)


def _check_alike(field: str, step: str, parameters: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise where a parameter of a step is not the same for all products."""
    first, *others = parameters or ("",)
    for other in others:
        for key, own in parameters[first].items():
            if parameters[other][key] != own:
                raise InputError(
                    f"fields.{field}: {step}.{key} is {own!r} for {first}, but "
                    f"{parameters[other][key]!r} for {other}: give them the same"
                )
