"""All steps of a product in this process, without Snakemake."""

from snakewebb.io.atomic import write_json
from snakewebb.jobs.align import align_product
from snakewebb.jobs.crf import finish_exposure
from snakewebb.jobs.find_sources import sources_of_exposure
from snakewebb.jobs.i2d import write_mosaic
from snakewebb.jobs.median import write_median
from snakewebb.jobs.skymatch import match_exposures
from snakewebb.jobs.source_catalog import make_catalog
from snakewebb.mosaicking import weights
from snakewebb.wcs.exposure import locate
from snakewebb.wcs.layout import Layout

DRIZZLE = {"pixfrac": 1.0, "kernel": "square", "fillval": "NAN", "weight_type": "ivm"}


def image3(folder, paths, *, tweakreg=None, skip_mtwcs=False, drizzle=None, catalog=False):
    """Do all steps of a product in this process; return the outcome of each exposure."""
    folder.mkdir(exist_ok=True)
    single, crfs = [], []
    for path in paths:
        known, sky = locate(path)
        known["typical_weights"] = weights.typical_weights(path, known)
        sources = sources_of_exposure(path, known, sky)
        known["sources"] = {name: column.tolist() for name, column in sources.items()}
        single.append(folder / f"{known['exposure']}_facts.json")
        write_json(single[-1], known)
    facts, alignment = folder / "facts.zip", folder / "alignment.json"
    sky, median, mosaic = folder / "sky.json", folder / "median.fits", folder / "x_i2d.fits"
    aligned = align_product(
        single,
        facts,
        tweakreg_options={"skip": False, "abs_refcat": "", "minobj": 4, **(tweakreg or {})},
        find_options={},
        assign_mtwcs_options={"skip": skip_mtwcs},
    )
    write_json(alignment, aligned)
    layout = Layout.from_dict(aligned["layout"])
    matched = match_exposures(paths, facts, layout) | {"parameters": {}}
    write_json(sky, matched)
    write_median(median, aligned, paths, facts, matched["exposures"])
    for path, known, name in zip(paths, single, layout.placements, strict=True):
        crfs.append(folder / f"{name}_o001_crf.fits")
        finish_exposure(
            path,
            crfs[-1],
            facts_file=known,
            alignment_file=alignment,
            sky_file=sky,
            median_file=median,
            outlier_detection={"resample_data": True},
            median={},
            sip=None,
            subtract=False,
            asn={},
        )
    write_mosaic(mosaic, crfs, facts, alignment, grid={}, drizzle=DRIZZLE | (drizzle or {}))
    outcome = {
        name: {"tweakreg": aligned["exposures"][name], "skymatch": matched["exposures"][name]}
        for name in layout.placements
    }
    if catalog:
        outcome["catalog"] = make_catalog(mosaic, folder / "x_cat.ecsv", folder / "x_segm.fits")
    return outcome
