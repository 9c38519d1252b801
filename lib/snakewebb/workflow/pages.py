"""What the page of a product shows. Standard library only, as `snakewebb.workflow.plan`."""

from __future__ import annotations

from snakewebb.workflow.default_targets import product_files
from snakewebb.workflow.plan import Plan

MAPPED = ("_mosaic.png", "_sources.png")
"""What is in the picture that can be zoomed."""

Files = dict[str, str | list[str]]


def shown(product: str, plan: Plan) -> Files:
    """Return the files that the page of a product of imaging needs, by name.

    See `snakewebb.report.product_page.plot_page`.
    """
    own, work = f"<results>/{product}/{product}", f"<results>/{product}/work/{product}"
    files: Files = {
        "exposures": plan.files(product, "crf"),
        "figures": _figures(product, plan),
    }
    if plan.runs(product, "resample"):
        files["mosaic"] = f"{own}_i2d.fits"
        if plan.runs(product, "source_catalog"):
            files["catalog"] = [f"{own}_cat.ecsv", f"{own}_cat.fits"]
    if plan.has_quality(product):
        tables = [f"{own}_quality.ecsv", f"{own}_quality_exposures.ecsv"]
        files["quality"] = [*tables, f"{own}_depth.fits", f"{work}_repeats.npz"]
    return files


def shown_of_star(product: str, plan: Plan) -> Files:
    """Return the files that the page of a product of coronagraphy needs, by name.

    See `snakewebb.report.coron_page.plot_coron_page`.
    """
    files: Files = {
        "stars": f"<results>/{product}/work/{product}_stars.json",
        "exposures": [
            *plan.subtracted(product),
            *plan.used_exposures(product),
            *plan.aligned_references(product),
        ],
        "figures": _figures(product, plan),
    }
    if plan.runs(product, "resample"):
        files["mosaic"] = f"<results>/{product}/{product}_i2d.fits"
    return {**files, **plan.detections(product)}


def _figures(product: str, plan: Plan) -> list[str]:
    """Return what is drawn of a product already."""
    plots = f"<results>/{product}/plots/"
    files = [*product_files(plan, product), *plan.stage2.targets()]
    return [f for f in files if f.startswith(plots) and not f.endswith(MAPPED)]
