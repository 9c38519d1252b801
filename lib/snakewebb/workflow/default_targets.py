"""The files that are made when none is asked for.

Standard library only, as in `snakewebb.workflow.plan`.
"""

from __future__ import annotations

from snakewebb.workflow.plan import Plan


def default_targets(plan: Plan) -> list[str]:
    """Return the files that are made when none is asked for."""
    files = [*plan.archived.targets(), *plan.stage2.targets()]
    for name in plan.products:
        files += [f"<results>/{name}/{name}_asn.json"] if name in plan.of_files() else []
        files += product_files(plan, name)
        files += [f"<results>/{name}/plots/{name}_{kind}.html" for kind in ("page", "picture")]
    return files


def product_files(plan: Plan, product: str) -> list[str]:
    """Return what is made of a product, but for its page, which shows it."""
    coronagraphic = plan.products[product].coronagraphic
    return _coron3(plan, product) if coronagraphic else _image3(plan, product)


def _image3(plan: Plan, product: str) -> list[str]:
    own, plots = f"<results>/{product}/{product}", f"<results>/{product}/plots/{product}"
    work = f"<results>/{product}/work/{product}"
    kinds = ["crf", "i2d"] if plan.config["exposure_i2d"] else ["crf"]
    files = [file for kind in kinds for file in plan.files(product, kind)]
    # Where a job failed, Snakemake keeps a record as if it had been done. Without its file,
    # but with what an earlier run made from it, the file is made again only if it is asked for.
    files += [*plan.facts_files(product), f"{work}_alignment.json", f"{work}_facts.zip"]
    files += [f for f in (plan.sky_file(product), plan.median_file(product)) if f]
    figures = "alignment", "placements", "sky", "outliers", "worst"
    files += [f"{plots}_{name}.png" for name in figures]
    files.append(f"{plots}_status.html")
    if plan.runs(product, "resample"):
        files += [f"{own}_i2d.fits", f"{plots}_mosaic.png"]
        if plan.runs(product, "source_catalog"):
            files += [f"{own}_cat.{kind}" for kind in ("ecsv", "fits", "reg")]
            files += [f"{own}_segm.fits", f"{plots}_sources.png"]
            if plan.steps(product)["source_catalog"]["completeness"]:
                files += [f"{own}_completeness.ecsv", f"{plots}_completeness.png"]
    if plan.has_quality(product):
        files += [f"{own}_quality.ecsv", f"{own}_quality_exposures.ecsv", f"{own}_depth.fits"]
        files += [f"{work}_repeats.npz", f"{plots}_quality.html"]
        files += [f"{plots}_{name}.png" for name in ("residuals", "depth")]
    return files


def _coron3(plan: Plan, product: str) -> list[str]:
    own, plots = f"<results>/{product}/{product}", f"<results>/{product}/plots/{product}"
    all_modes = plan.truncations(product)
    files = [*plan.used_exposures(product), *plan.aligned_references(product)]
    files += [file for modes in all_modes for file in plan.subtracted(product, modes)]
    if plan.subtracts(product, "RDI"):
        files.append(f"{own}_psfstack.fits")
    files.append(f"<results>/{product}/work/{product}_stars.json")
    files += [f"{plots}_{name}.png" for name in ("subtraction", "shifts", "eigenvalues")]
    files.append(f"{plots}_coron_status.html")
    if plan.runs(product, "resample"):
        files += [f"{own}{modes}_i2d.fits" for modes in all_modes]
        files.append(f"{plots}_mosaic.png")
    if plan.has_contrast(product):
        files += [f"{own}_contrast.ecsv", *plan.detections(product).values()]
        files.append(f"{plots}_contrast.png")
    return files
