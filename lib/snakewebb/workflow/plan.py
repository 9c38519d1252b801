"""What a configuration asks for: products, their steps, the files of each, the targets.

Standard library only: every job of a workflow makes the plan anew when it parses the Snakefile.
Paths are those that rules know, below ``<results>`` (a path variable of Snakemake); what a rule
reads or makes for a product is a method, named after it, whose parameters are the rule's wildcards.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from snakewebb.errors import InputError
from snakewebb.references import select
from snakewebb.workflow import associations
from snakewebb.workflow import config as configuration
from snakewebb.workflow.archived import Archived, read_archived, without_waiting
from snakewebb.workflow.associations import Product
from snakewebb.workflow.catfile import catalogs_of
from snakewebb.workflow.product_names import by_product_name, check_names
from snakewebb.workflow.stage2 import SELF, Stage2, read_stage2
from snakewebb.workflow.stage3 import Chosen, read_chosen

Options = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """What is to be made, and of what.

    Attributes
    ----------
    config : mapping
        The configuration, completed (`snakewebb.workflow.config.complete`).
    schema : mapping
        The schema that it was completed with.
    products : mapping
        By name, in the order in which they stand in the configuration.
    catalogs : mapping
        The user's source catalogues: by product, by exposure.
    stage2 : Stage2
        The exposures that are made of ``_rate``.
    archived : Archived
        The files that are fetched from MAST.
    chosen : mapping of str to Chosen
        What CRDS has for products.
    """

    config: Mapping[str, Any]
    schema: Mapping[str, Any]
    products: Mapping[str, Product]
    catalogs: Mapping[str, Mapping[str, str]]
    stage2: Stage2 = field(default_factory=Stage2)
    archived: Archived = field(default_factory=Archived)
    chosen: Mapping[str, Chosen] = field(default_factory=dict)

    def steps(self, product: str) -> Mapping[str, Any]:
        """Return the parameters of all steps that hold for a product."""
        return self.config["products"].get(product, {}).get("steps", self.config["steps"])

    def options(self, product: str, step: str, rule: str) -> Options:
        """Return the parameters of a step that a rule uses for a product."""
        return configuration.options(self.steps(product), self.schema, step, rule)

    def runs(self, product: str, step: str) -> bool:
        """Return whether a step of a product is not skipped."""
        return not self.steps(product)[step]["skip"]

    def subtracts(self, product: str, references: str) -> bool:
        """Return whether a star is subtracted with ``RDI`` references, or with ``ADI``."""
        return self.runs(product, "klip") and references in self.steps(product)["klip"]["strategy"]

    def has_contrast(self, product: str) -> bool:
        """Return whether a product's contrast is to be measured."""
        return all(self.runs(product, step) for step in ("klip", "resample", "contrast"))

    def exposures(self) -> list[str]:
        """Return the names of all exposures, some twice."""
        names = [known.name for known in self.stage2.exposures.values()]
        return names + [member.exposure for p in self.products.values() for member in p.members]

    def of_files(self) -> list[str]:
        """Return the products that have no association, but files of their own."""
        listed = self.archived.products
        products = self.config["products"].items()
        return [n for n, p in products if p["science"] or p["psf"] or n in listed]

    def listed_files(self, product: str) -> dict[str, list[str]]:
        """Return the files of a product without an association, by exptype."""
        if product in self.archived.products:
            return self.archived.of_product(product)
        entry = self.config["products"][product]
        types = ("science", "psf", "background")
        given = {t: entry[t] for t in types if entry[t] != SELF}
        return {t: associations.matching(patterns) for t, patterns in given.items()}

    def of_kind(self, coronagraphic: bool) -> list[str]:
        """Return the names of the products of coronagraphy, or of the others."""
        return [n for n, p in self.products.items() if p.coronagraphic == coronagraphic]

    def truncations(self, product: str) -> dict[str, int]:
        """Return numbers of modes by what they add to the names of files, the headline first."""
        numbers = self.steps(product)["klip"]["truncate"]
        first, *others = numbers if isinstance(numbers, list) else [numbers]
        return {"": first, **{f"_k{number}": number for number in others}}

    def reference_files(self, product: str) -> Mapping[str, Any]:
        """Return the paths of reference files that hold for a product: given, else of CRDS."""
        files = self.config["products"].get(product, self.config)["reference_files"]
        if isinstance(files["psfmask"], dict):
            first = self.products[product].members[0].source
            files = {**files, "psfmask": select.choose(files["psfmask"], first)}
        given = {name: None if path == "N/A" else path for name, path in files.items()}
        return given | self.chosen[product].files

    def reference_names(self, product: str, names: tuple[str, ...]) -> dict[str, str]:
        """Return what a product's metadata call those of some reference files that are CRDS's."""
        own = self.chosen[product]
        known = own.names | {f"pars-{step}": file for step, file in own.tuned.items()}
        return {name: known[name] for name in names if name in known}

    def tuned_by(self, product: str) -> dict[str, str]:
        """Return the files of CRDS that a product's parameters are from, by step."""
        return self.chosen[product].tuned

    def stage2_file(
        self,
        product: str,
        exposure: str,
        asn_id: str | None = None,
        exptypes: tuple[str, ...] = ("science",),
    ) -> str:
        """Return the calibrated file of an exposure of the target, or of other types.

        Raises
        ------
        InputError
            The product has no such exposure, or its files have another id.
        """
        known = self.products[product]
        found = (known.of_type(exptype).get(exposure) for exptype in exptypes)
        member = next(filter(None, found), None)
        if member is None:
            raise InputError(f"{exposure} is no exposure of {product}")
        if asn_id not in (None, known.asn_id):
            raise InputError(f"files of {product} have the id {known.asn_id}")
        return member.path

    def stage2_files(self, product: str) -> list[str]:
        """Return the calibrated files of a product's target."""
        return [member.path for member in self.products[product].of_type("science").values()]

    def same_type(self, product: str, exposure: str) -> list[str]:
        """Return the calibrated files of the other exposures of the target, or of references."""
        known = self.products[product]
        kind = "science" if exposure in known.of_type("science") else "psf"
        return [m.path for name, m in known.of_type(kind).items() if name != exposure]

    def files(self, product: str, kind: str, exptype: str = "science") -> list[str]:
        """Return a file of each exposure of a product, such as all ``crf``."""
        known = self.products[product]
        return [
            f"<results>/{product}/{exposure}_{known.asn_id}_{kind}.fits"
            for exposure in known.of_type(exptype)
        ]

    def made_of(self, product: str) -> list[str]:
        """Return where the exposures of a product lie, and all ``crf``."""
        work = f"<results>/{product}/work/{product}"
        return [f"{work}_facts.zip", f"{work}_alignment.json", *self.files(product, "crf")]

    def facts_files(self, product: str) -> list[str]:
        """Return what find_sources writes of each exposure."""
        exposures = self.products[product].of_type("science")
        return [f"<results>/{product}/work/{exposure}_facts.json" for exposure in exposures]

    def group_id(self, product: str, exposure: str) -> str:
        """Return the group that the association gives an exposure; empty if it does not."""
        return self.products[product].of_type("science")[exposure].group_id or ""

    def dva_pivot(self, product: str) -> str:
        """Return the point about which velocity aberration is to scale, in given exposures, too."""
        return self.config["products"].get(product, self.config)["image2"]["assign_wcs"][
            "dva_pivot"
        ]

    def custom_catalog(self, product: str, exposure: str) -> str | None:
        """Return the user's source catalogue of an exposure, if there is one."""
        return self.catalogs[product].get(exposure)

    def reference_catalog(self, product: str) -> str | None:
        """Return the file of the absolute reference catalogue, unless it is a service's name."""
        name = self.steps(product)["tweakreg"]["abs_refcat"]
        used = self.runs(product, "tweakreg") and name
        return name if used and not re.fullmatch(r"(?i)GAIA\w*", name) else None

    def sky_list(self, product: str) -> str | None:
        """Return the user's table of sky levels, if there is to be one."""
        step = self.steps(product)["skymatch"]
        return step["skylist"] if step["skymethod"] == "user" else None

    def sky_file(self, product: str) -> str | None:
        """Return the file of matched sky levels, unless the step is skipped."""
        skips = not self.runs(product, "skymatch")
        return None if skips else f"<results>/{product}/work/{product}_sky.json"

    def median_file(self, product: str) -> str | None:
        """Return the median of all exposures, unless outliers are not to be flagged."""
        skips = not self.runs(product, "outlier_detection")
        return None if skips else f"<results>/{product}/work/{product}_median.fits"

    def sip_options(self, product: str) -> Options | None:
        """Return how to make a product's SIP keywords; None if there are to be none."""
        own = self.options(product, "tweakreg", "crf")
        wanted = own.pop("sip_approx")
        return {key.removeprefix("sip_"): own[key] for key in own} if wanted else None

    def crf_options(self, product: str) -> Options:
        """Return what is done to a product's exposures before they are resampled."""
        return {
            "median": self.options(product, "outlier_detection", "median"),
            "outlier_detection": self.options(product, "outlier_detection", "crf"),
            "sip": self.sip_options(product),
            **self.options(product, "skymatch", "crf"),
            "asn": self.asn_metadata(product),
        }

    def mosaic_options(self, product: str, grid: str) -> Options:
        """Return how exposures are resampled, onto the ``grid`` of all or that of one."""
        return {
            "crds": self.tuned_by(product),
            "drizzle": self.options(product, "resample", "drizzle"),
            "grid": self.options(product, "resample", grid),
            "i2d": self.options(product, "resample", "i2d"),
            "max_megapixels": self.config["max_mosaic_megapixels"],
        }

    def output_wcs(self, product: str) -> str | None:
        """Return the file with the user's output grid, if there is one."""
        return self.steps(product)["resample"]["output_wcs"] or None

    def asn_metadata(self, product: str) -> dict[str, str]:
        """Return what a product's metadata say of its association."""
        own = self.products[product]
        return {"asn_id": own.asn_id, "pool_name": own.pool, "table_name": own.table}

    def references(self, product: str, names: tuple[str, ...]) -> dict[str, str]:
        """Return those of some reference files that are given, by name."""
        files = self.reference_files(product)
        return {name: files[name] for name in names if files[name]}

    def quality_options(self, product: str) -> Options:
        """Return what a product's quality is held to, and the apertures of its catalogue."""
        return {
            "thresholds": self.options(product, "quality", "quality"),
            "apertures": self.options(product, "source_catalog", "quality"),
        }

    def has_quality(self, product: str) -> bool:
        """Return whether a product's quality is to be measured, which its mosaic shows."""
        return self.runs(product, "resample") and self.runs(product, "quality")

    def catalog_threads(self, product: str) -> int:
        """Return how many threads make a catalogue, or tell quality: one leaves pictures room."""
        return 1 if len(self.products[product].of_type("science")) < 16 else 2

    def aligned_references(self, product: str) -> list[str]:
        """Return the references shifted onto each exposure's star, where they are used."""
        return self.files(product, "psfalign") if self.subtracts(product, "RDI") else []

    def aligned_reference(self, product: str, exposure: str, asn_id: str) -> list[str]:
        """Return the references shifted onto one exposure's star, where they are used."""
        own = f"<results>/{product}/{exposure}_{asn_id}_psfalign.fits"
        return [own] if self.subtracts(product, "RDI") else []

    def other_rolls(self, product: str, exposure: str, asn_id: str) -> list[str]:
        """Return the flagged other exposures of the target, where they are references."""
        own = f"<results>/{product}/{exposure}_{asn_id}_crfints.fits"
        files = self.files(product, "crfints") if self.subtracts(product, "ADI") else []
        return [path for path in files if path != own]

    def alignment_weights(self, product: str) -> dict[str, str]:
        """Return what the weights for aligning references are from, unless that is skipped."""
        if not self.runs(product, "align_refs"):
            return {}
        stars = f"<results>/{product}/work/{product}_stars.json"
        return {"stars": stars, **self.references(product, ("psfmask",))}

    def klip_options(self, product: str, modes: str) -> Options:
        """Return the parameters of klip with the one number of modes that a file is for."""
        number = self.truncations(product).get(modes) or int(modes.removeprefix("_k"))
        return {**self.options(product, "klip", "psfsub"), "truncate": number}

    def contrast_klip_options(self, product: str) -> Options:
        """Return the parameters of klip with all numbers of modes."""
        return {**self.options(product, "klip", "contrast"), "truncate": self.all_modes(product)}

    def all_modes(self, product: str) -> list[int]:
        """Return all numbers of modes of a product, the headline first."""
        return list(self.truncations(product).values())

    def star_brightness(self, product: str) -> Options:
        """Return what is known of a star's brightness: of the config, else the association."""
        own = self.options(product, "contrast", "contrast")
        given = any(value is not None for value in own.values())
        return own if given else {**own, **self.products[product].star}

    def subtracted(self, product: str, modes: str = "") -> list[str]:
        """Return the subtracted exposures of a product, with the number of modes of a mosaic."""
        return self.files(product, f"{modes}_psfsub"[1:])

    def detections(self, product: str) -> dict[str, str]:
        """Return the point sources and the SNR map of a product, unless there are to be none."""
        own = f"<results>/{product}/{product}"
        files = {"detections": f"{own}_detections.ecsv", "snr": f"{own}_snr.fits"}
        return files if self.has_contrast(product) else {}

    def used_exposures(self, product: str) -> list[str]:
        """Return the flagged exposures of a product, without references that are not used."""
        psf = self.files(product, "crfints", "psf") if self.subtracts(product, "RDI") else []
        return [*self.files(product, "crfints"), *psf]


def read_plan(config: Mapping[str, Any], schema: Mapping[str, Any]) -> Plan:
    """Return the plan of a configuration, with the associations and catalogues that it names.

    Parameters
    ----------
    config : mapping
        As the user wrote it.
    schema : mapping

    Raises
    ------
    InputError
        Something of it is wrong.
    """
    given, config = config, configuration.complete(config, schema)
    config["products"] = by_product_name(config["products"])
    archived = read_archived(config)
    config = without_waiting(config, archived)
    plan = Plan(config, schema, {}, {}, archived=archived)
    found = [p for path in config["associations"] for p in associations.read(path)]
    found += [associations.of_files(name, plan.listed_files(name)) for name in plan.of_files()]
    products, stage2 = read_stage2(config, schema, found)
    check_names(config["products"], products, stage2)
    by_name = {product.name: product for product in products}
    given = {**given, "products": by_product_name(given.get("products") or {})}
    config, chosen = read_chosen(config, given, schema, by_name)
    plan = Plan(config, schema, by_name, {}, stage2, archived, chosen)
    catalogs = {
        name: catalogs_of(product, plan.steps(name)["tweakreg"])
        for name, product in plan.products.items()
    }
    return replace(plan, catalogs=catalogs)
