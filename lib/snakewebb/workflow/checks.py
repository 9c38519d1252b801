"""What is asked of a plan before any job runs: do its files exist, and belong together.

Standard library only, but for the user's output grid. Only headers of coronagraphic exposures are
read, which are few; images are compared by the first job that has read them all
(`snakewebb.jobs.align`). An exposure that cannot be read is left to the job that needs it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from snakewebb.astrometry.options import Fitting, check_service
from snakewebb.coronagraphy.strategy import library
from snakewebb.errors import InputError
from snakewebb.io.dq import bad_mask
from snakewebb.io.fits_structure import exposure_header, find, structure
from snakewebb.references.select import canonical
from snakewebb.workflow.associations import Member, Product
from snakewebb.workflow.plan import Plan
from snakewebb.workflow.stage2_checks import (
    LONGEST,
    check_entries,
    check_name,
    check_path,
    check_periods,
    check_stage2,
)

STAGE3_FILES = ("psfmask", "psf", "throughput", "apcorr", "abvegaoffset")
"""Reference files of which one is for a whole product."""
ALIKE = ("INSTRUME", "DETECTOR", "FILTER", "PUPIL", "CORONMSK", "SUBARRAY", "BUNIT")


def check_plan(plan: Plan) -> None:
    """Raise where something stands in the way of a product, as far as it can be known by now.

    Raises
    ------
    InputError
    """
    check_stage2(plan.stage2)
    check_entries(plan)
    for name, product in plan.products.items():
        check_bits(plan.steps(name))
        if not product.coronagraphic and plan.runs(name, "tweakreg"):
            _check_matching(plan, name)
            service = plan.steps(name)["tweakreg"]["abs_refcat"]
            if service and not plan.reference_catalog(name):
                check_service(service)
        check_files(product, plan.archived.files)
        if plan.config["exposure_i2d"]:
            for exposure in product.of_type("science"):
                if name == f"{exposure}_{product.asn_id}":
                    raise InputError(
                        f"{name}: is the name of its exposure's _i2d, too: give the product another"
                    )
        for lister, path in _named_files(plan, name).items():
            if path:
                check_path(path, lister)
        files = plan.reference_files(name)
        check_tables(files["apcorr"], files["abvegaoffset"])
        if product.coronagraphic:
            _check_coronagraphy(plan, name)


def check_made(plan: Plan, is_made: Callable[[str], bool]) -> None:
    """Raise where a file is missing, or no grid, that a product of this workflow may be, too.

    Parameters
    ----------
    plan : Plan
    is_made : function of a path
        Whether a rule makes it.

    Raises
    ------
    InputError
    """
    for product in plan.products:
        if (catalog := plan.reference_catalog(product)) and not is_made(catalog):
            check_path(catalog, "tweakreg.abs_refcat")
        if (path := plan.output_wcs(product)) and not is_made(path):
            check_path(path, "resample.output_wcs")
            from snakewebb.wcs.output_wcs import read_grid  # NumPy, which others do without

            read_grid(path, 1.0, plan.steps(product)["resample"]["output_shape"])


def remarks(plan: Plan) -> list[str]:
    """Return what associations and catalogues hold, or lack, without an error."""
    if not plan.products and not plan.stage2.exposures and not plan.archived.asked:
        return ["nothing to do: list your associations under 'associations' in config/config.yaml"]
    found, unused = [*plan.archived.remarks], Counter(plan.stage2.unused)
    for name, product in plan.products.items():
        unused.update(product.unused)
        number, given = len(product.of_type("science")), len(plan.catalogs[name])
        step = plan.steps(name)["tweakreg"]
        if step["use_custom_catalogs"] and not step["skip"] and given < number:
            found.append(
                f"{name}: {number - given} of {number} exposures have no custom catalogue: their "
                "stars are searched"
            )
        stars = _targets(product) if product.coronagraphic else []
        if len(stars) > 1:
            found.append(f"{name}: its exposures are of several targets: {', '.join(stars)}")
    itself = [
        known.name
        for known in plan.stage2.exposures.values()
        if len(known.others) < len(known.backgrounds) and not known.sorted_out
    ]
    doubts = (
        chosen.doubt
        for known in plan.stage2.exposures.values()
        for chosen in plan.stage2.chosen(known.name, known.kind).values()
    )
    found += dict.fromkeys(filter(None, doubts))
    found += [remark for own in plan.chosen.values() for remark in own.remarks]
    if itself:
        found.append(
            f"{', '.join(itself[:3])}{' …' if itself[3:] else ''}: left out of its own backgrounds "
            f"({len(itself)} exposures)"
        )
    if unused:
        listed = ", ".join(f"{what} ({number})" for what, number in unused.items())
        found.append(f"associations hold what is not used: {listed}")
    return found


def _targets(product: Product) -> list[str]:
    """Return what the exposures of a target call it, as far as they do."""
    headers = [_header(member) or {} for member in product.of_type("science").values()]
    return sorted({name for header in headers if (name := header.get("TARGNAME", "").strip())})


def check_bits(steps: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise InputError where a parameter of a step names a DQ bit that there is none."""
    for step, parameters in steps.items():
        for key in {"dqbits", "good_bits", "bad_bits"} & parameters.keys():
            try:
                bad_mask(parameters[key])
            except InputError as error:
                raise InputError(f"steps.{step}.{key}: {error}") from None


def _check_matching(plan: Plan, product: str) -> None:
    """Raise where parameters of tweakreg that are used contradict each other."""
    step = plan.steps(product)["tweakreg"]
    for prefix in ("", "abs_") if step["abs_refcat"] else ("",):
        names = ("separation", "tolerance")
        try:
            Fitting(**{name: step[prefix + name] for name in names}).check(prefix)
        except InputError as error:
            raise InputError(f"steps.tweakreg.{error}") from None


def _named_files(plan: Plan, product: str) -> dict[str, str | None]:
    """Return the files that a configuration names for a product, by what names them."""
    files = plan.reference_files(product)
    named = {name: path for name, path in files.items() if name in STAGE3_FILES}
    sky = plan.steps(product)["skymatch"]
    if sky["skymethod"] == "user" and not sky["skip"]:
        named["skylist"] = sky["skylist"] or "skymatch.skylist"
    return named | {f"catalogue of {e}": path for e, path in plan.catalogs[product].items()}


def check_tables(apcorr: str | None, abvegaoffset: str | None) -> None:
    """Raise InputError where a reference file of photometry begins like another kind of file."""
    if apcorr and find(apcorr, "APCORR") is None:
        raise InputError(f"{apcorr}: has no APCORR table: give an APCORR reference file")
    if abvegaoffset:
        with open(abvegaoffset, "rb") as file:
            if file.read(5) != b"#ASDF":
                raise InputError(
                    f"{abvegaoffset}: is no ASDF file: give an ABVEGAOFFSET reference file"
                )


def _check_coronagraphy(plan: Plan, product: str) -> None:
    """Raise where exposures or reference files of coronagraphy do not belong together."""
    images = []
    if plan.subtracts(product, "RDI") and plan.runs(product, "align_refs"):
        images.append("psfmask")
    if plan.has_contrast(product):
        images += ["psf", "throughput"]
        given = [key for key, value in plan.star_brightness(product).items() if value is not None]
        if len(given) > 1:
            raise InputError(f"{product}: {' and '.join(given)} of its star are given: keep one")
    files = plan.reference_files(product)
    check_together(
        plan.products[product],
        strategy=plan.steps(product)["klip"]["strategy"] if plan.runs(product, "klip") else None,
        images={name: files[name] for name in images},
    )


def check_files(product: Product, fetched: Collection[str] = ()) -> None:
    """Raise where an exposure is missing, or has a name that no product of it could have.

    Parameters
    ----------
    product : Product
    fetched : collection of str
        Files that need not be there yet.

    Raises
    ------
    InputError
    """
    if len(product.name) > LONGEST:
        raise InputError(f"{product.table}: product name {product.name} is too long: shorten it")
    check_periods(product.name, f"{product.table}: product name {product.name}")
    for member in product.members:
        if member.source not in fetched:
            check_path(member.source, f"{product.name} of {product.table}")
        check_name(member.exposure, member.source)


def check_together(
    product: Product, *, strategy: str | None, images: Mapping[str, str | Path | None]
) -> None:
    """Raise where exposures of coronagraphy cannot be reduced together.

    Parameters
    ----------
    product : Product
    strategy : {'RDI', 'ADI', 'ADI+RDI'} or None
        How the star is subtracted; None if it is not.
    images : mapping
        Reference files that are used: ``psfmask`` and ``throughput``, on the pixels of the
        exposures; ``psf``, a square of odd size.

    Raises
    ------
    InputError
    """
    science, psf = product.of_type("science"), product.of_type("psf")
    if strategy and "RDI" in strategy and not psf:
        raise InputError(
            f"{product.name}: has no reference exposures: name psf members, or set klip.strategy "
            "to ADI, or klip.skip"
        )
    used = [*science.values(), *(psf.values() if strategy and "RDI" in strategy else ())]
    known = {member: header for member in used if (header := _header(member)) is not None}
    _check_alike(known)
    for member in science.values():
        if member in known:
            _check_place(member, known[member])
    if strategy == "ADI":
        _check_rolls(product, [known.get(member, {}) for member in science.values()])
    shape = next((find(member.source, "SCI").shape[-2:] for member in known), None)
    for name, path in images.items():
        if path and shape:
            _check_image(name, path, shape)


def _header(member: Member) -> Mapping[str, str] | None:
    try:
        return exposure_header(member.source)
    except InputError:
        return None


def _check_alike(known: Mapping[Member, Mapping[str, str]]) -> None:
    """Raise where exposures differ in what they must have in common."""
    setups = {member: _setup(member, header) for member, header in known.items()}
    first = next(iter(setups), None)
    for member, setup in setups.items():
        for key, value in setup.items():
            if value != (other := setups[first].get(key, value)):
                raise InputError(
                    f"{member.source}: its {key} is {value}, but that of {first.exposure} is "
                    f"{other}: put them in products of their own"
                )


def _check_place(member: Member, header: Mapping[str, str]) -> None:
    """Raise where an exposure of the target does not say where its star is."""
    path = member.source
    if not {"CRPIX1", "CRPIX2"} <= header.keys():
        raise InputError(f"{path}: has no CRPIX1 and CRPIX2, where the star is: add them")
    if not member.rate and find(path, "ASDF") is None:  # what stage 2 makes gets one
        raise InputError(
            f"{path}: holds no gWCS (meta.wcs): run assign_wcs on it, or fetch the file again"
        )


def _setup(member: Member, header: Mapping[str, str]) -> dict[str, str]:
    """Return what is known of what exposures must have in common."""
    setup = {key: header[key] for key in ALIKE if key in header}
    if member.rate:
        setup.pop("BUNIT", None)  # it is another after stage 2
    if "CORONMSK" in setup:
        setup["CORONMSK"] = canonical(setup["CORONMSK"])
    return setup | {"size": " × ".join(map(str, find(member.source, "SCI").shape[:-3:-1]))}


def _check_rolls(product: Product, science: Sequence[Mapping[str, str]]) -> None:
    """Raise where an exposure has no other one turned against it; rolls may be unknown."""
    try:
        rolls = [float(header["ROLL_REF"]) for header in science]
    except (KeyError, ValueError):
        rolls = [0.0] if len(science) == 1 else []
    for e, roll in enumerate(rolls):
        others = [(o, other) for o, other in enumerate(rolls) if o != e]
        try:
            library("ADI", roll, (), others)
        except InputError:
            name = list(product.of_type("science"))[e]
            raise InputError(
                f"{product.name}: no other exposure is turned against {name}, as ADI needs: name "
                "psf members and set klip.strategy to RDI, or set klip.skip"
            ) from None


def _check_image(name: str, path: str | Path, shape: tuple[int, ...]) -> None:
    """Raise where the image of a reference file cannot have the right pixels."""
    wanted = (unit for unit in structure(path) if unit.name == "SCI" or name != "psfmask")
    image = next((unit.shape for unit in wanted if unit.shape), ())
    if name == "psf":
        if len(image) != 2 or image[0] != image[1] or image[0] % 2 == 0:
            raise InputError(f"{path}: psf: has shape {image}: give a square of odd size")
    elif image != shape:
        raise InputError(
            f"{path}: its image has shape {image}, the exposures {shape}: give the {name} for this "
            "subarray"
        )
