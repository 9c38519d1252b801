"""All steps of a product in this process, without Snakemake."""

from snakewebb.astrometry.alignment import AlignmentResult
from snakewebb.io.names import exposure_name
from snakewebb.jobs.align import align_product
from snakewebb.jobs.crf import finish_exposure
from snakewebb.jobs.find_sources import describe_exposure
from snakewebb.jobs.i2d import write_mosaic
from snakewebb.jobs.median import write_median
from snakewebb.jobs.skymatch import match_exposures
from snakewebb.jobs.source_catalog import make_catalog
from snakewebb.mosaicking.sky_levels import SkyResult


def image3(
    folder, paths, *, refcat=None, tweakreg=None, skip_mtwcs=False, drizzle=None, catalog=False
):
    """Do all steps of a product in this process; return the outcome of each exposure."""
    folder.mkdir(exist_ok=True)
    names = [exposure_name(path) for path in paths]
    single = [folder / f"{name}_facts.json" for name in names]
    crfs = [folder / f"{name}_o001_crf.fits" for name in names]
    facts, alignment = folder / "facts.zip", folder / "alignment.json"
    sky, median, mosaic = folder / "sky.json", folder / "median.fits", folder / "x_i2d.fits"
    for path, known in zip(paths, single, strict=True):
        describe_exposure(path, known)
    options = {"minobj": 4, **(tweakreg or {})}
    step = {"tweakreg": options, "assign_mtwcs": {"skip": skip_mtwcs}}
    align_product(single, alignment, facts, refcat=refcat, step=step)
    match_exposures(paths, facts, alignment, sky)
    write_median(paths, facts, alignment, median, sky=sky)
    for path, known, crf in zip(paths, single, crfs, strict=True):
        finish_exposure(
            path,
            crf,
            facts=known,
            alignment=alignment,
            siblings=[other for other in paths if other != path][:2],
            sky=sky,
            median=median,
            step={"sip": None},
        )
    step = {"drizzle": drizzle or {}}
    write_mosaic(crfs, facts, alignment, mosaic, step=step)
    aligned, matched = AlignmentResult.read(alignment), SkyResult.read(sky)
    outcome = {
        name: {"tweakreg": vars(aligned.exposures[name]), "skymatch": vars(matched.exposures[name])}
        for name in names
    }
    if catalog:
        outcome["catalog"] = make_catalog(mosaic, (folder / "x_cat.ecsv", folder / "x_segm.fits"))
    return outcome
