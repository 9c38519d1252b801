"""What a CRDS cache has for products of stage 3: reference files, and parameters of steps.

Standard library only, as `snakewebb.workflow.plan`. A user's own go before these, and without them
a product can do: what is wanting is told, and no error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from snakewebb.errors import InputError
from snakewebb.io.fits_structure import first_header
from snakewebb.workflow import config as configuration
from snakewebb.workflow.associations import Product
from snakewebb.workflow.stage2 import crds_cache

KINDS = {
    "image3": {"apcorr": "source_catalog", "abvegaoffset": "source_catalog"},
    "coron3": {"psfmask": "align_refs", "abvegaoffset": "contrast"},
}
"""Types of reference files, with the steps that use them, by pipeline."""
OWN_FINDER = ("snr_threshold", "kernel_fwhm", "bkg_boxsize")
"""Parameters of source_catalog that CRDS tunes for jwst's star finders."""


@dataclass(frozen=True)
class Chosen:
    """What CRDS has for a product.

    Attributes
    ----------
    files, names : dict of str to str
        Reference files by type, and what products call them (``crds://<file>``).
    parameters : mapping of str to mapping
        By step, before the user's.
    tuned : dict of str to str
        The files that these are from, by step.
    remarks : tuple of str
        What is wanting.
    """

    files: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    tuned: dict[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


def read_chosen(
    config: Mapping[str, Any],
    given: Mapping[str, Any],
    schema: Mapping[str, Any],
    products: Mapping[str, Product],
) -> tuple[dict[str, Any], dict[str, Chosen]]:
    """Return the configuration with the parameters of CRDS in it, and what CRDS has for products.

    Parameters
    ----------
    config : mapping
        Completed.
    given : mapping
        As the user wrote it; in both, products have the names of `products`.
    schema : mapping
    products : mapping of str to Product

    Raises
    ------
    InputError
        There is no such cache or context, a file of it is broken, or has a value that is not
        allowed.
    """
    entry = schema["properties"]["products"]["additionalProperties"]["properties"]
    defaults = {key: sub["default"] for key, sub in entry.items()}
    own, chosen = dict(config["products"]), {}
    for name, product in products.items():
        settings = own.get(name, config)
        chosen[name] = found = _choose(product, settings)
        if found.parameters:
            sections = {key: settings[key] for key in ("image2", "reference_files")}
            steps = _with_parameters(given, schema, name, found)
            own[name] = {**defaults, **sections, **own.get(name, {}), "steps": steps}
    return {**config, "products": own}, chosen


def _choose(product: Product, settings: Mapping[str, Any]) -> Chosen:
    """Return what CRDS has for a product, by its first exposure of the target, as in jwst."""
    files = settings["reference_files"]
    crds = crds_cache(files["crds"]["path"], files["crds"]["context"])
    if crds is None:
        return Chosen()
    from snakewebb.references.crds import AbsentError
    from snakewebb.references.parameters import tuned

    pipeline = "coron3" if product.coronagraphic else "image3"
    try:
        header = first_header(next(m.source for m in product.of_type("science").values()))
    except (InputError, StopIteration):
        return Chosen()  # which is told with its exposures
    found, remarks = {}, []
    for reftype, step in KINDS[pipeline].items():
        if files[reftype] or settings["steps"][step]["skip"]:
            continue
        try:
            if path := crds.best(header, reftype):
                found[reftype] = path
        except AbsentError as error:
            remarks.append(f"{reftype}: {error}")
    pars = tuned(header, pipeline, crds)
    return Chosen(
        {reftype: str(path) for reftype, path in found.items()},
        {reftype: f"crds://{path.name}" for reftype, path in found.items()},
        pars.parameters,
        pars.files,
        tuple(f"{product.name}: {remark}" for remark in (*remarks, *pars.remarks)),
    )


def _with_parameters(
    config: Mapping[str, Any],
    schema: Mapping[str, Any],
    product: str,
    chosen: Chosen,
) -> dict[str, Any]:
    """Return the parameters of all steps of a product: the user's, else CRDS's, else defaults."""
    given = (config, (config.get("products") or {}).get(product) or {})
    own = configuration.merged(*(part.get("steps") or {} for part in given))
    known = schema["properties"]["steps"]["properties"]
    below: dict[str, Any] = {
        step: {key: value for key, value in values.items() if key in known[step]["properties"]}
        for step, values in chosen.parameters.items()
        if step in known
    }
    # Files that stpipe has written name all parameters, its only star finder at that time, too.
    below.get("source_catalog", {}).pop("starfinder", None)
    steps = configuration.merged(below, own)
    finder = (steps.get("source_catalog") or {}).get("starfinder")
    default = known["source_catalog"]["properties"]["starfinder"]["default"]
    if (finder or default) == "matched_filter" and "source_catalog" in below:
        for key in OWN_FINDER:
            below["source_catalog"].pop(key, None)
        steps = configuration.merged(below, own)
    try:
        return configuration.complete_steps(steps, schema, f"products.{product}.steps")
    except InputError as error:
        named = ", ".join(dict.fromkeys(chosen.tuned.values()))
        raise InputError(f"{error} (parameters of {named} are among them)") from None
