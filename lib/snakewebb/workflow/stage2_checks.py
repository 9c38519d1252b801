"""What is asked of exposures that stage 2 makes, and of paths, before any job runs.

Standard library only. Headers are read, not pixels.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from snakewebb.calibration.exposures import IMAGING, WITHOUT, check_setup, setup_of
from snakewebb.errors import InputError
from snakewebb.io.fits_structure import find, structure
from snakewebb.io.names import FITS, exposure_suffix
from snakewebb.workflow.plan import Plan
from snakewebb.workflow.stage2 import SELF, Stage2, header_of

LONGEST = 200
"""Characters of an exposure's or product's name; 255 bytes with all that products add to it."""
PERIODS = 20
"""So many equal parts at the end of a name are Snakemake's mark of an endless loop."""
RAW = ("uncal", "ramp")
"""Ends of the names of exposures before there are count rates."""


def check_stage2(stage2: Stage2) -> None:
    """Raise where an exposure cannot be calibrated, as far as headers tell.

    Raises
    ------
    InputError
    """
    checked = set()
    for key, known in stage2.exposures.items():
        for path in (known.rate, *known.backgrounds):
            check_path(path, f"{known.table}: exposure of stage 2")
        check_name(known.name, known.rate)
        options = stage2.options(known.name, known.kind, "cal")
        inverse = options["photom"]["inverse"]
        header = _check_exposure(known.rate, known.kind, calibrated=inverse)
        lacks = options["assign_wcs"]["skip"] and not inverse
        if lacks and stage2.has_quick_look(known.name, known.kind):
            raise InputError(
                f"image2.assign_wcs.skip: {known.name} needs a WCS to be rectified: leave it "
                "out, or image2.resample"
            )
        backgrounds = stage2.backgrounds(known.name, known.kind)
        if backgrounds and header.get("S_BKDSUB") == "COMPLETE":
            raise InputError(f"{known.rate}: has no background any more: give it none")
        for path in backgrounds:
            if (path, setup_of(header)) not in checked:  # exposures share them
                _check_background(path, known.rate, header)
            checked.add((path, setup_of(header)))
        for reftype, path in stage2.references(known.name, known.kind).items():
            check_path(path, f"reference_files.{reftype} for {key}")
            if FITS.search(path):
                structure(path)


def check_entries(plan: Plan) -> None:
    """Raise where the configuration of a product says what cannot count, or stand together.

    Raises
    ------
    InputError
    """
    for name in plan.products:
        for key in plan.stage2.made.get(name, ()):
            known = plan.stage2.exposures[key]
            options = plan.stage2.options(known.name, known.kind, "cal")
            if options["assign_wcs"]["skip"] and not options["photom"]["inverse"]:
                raise InputError(
                    f"image2.assign_wcs.skip: {name} needs the WCS of {known.name}: leave it out, "
                    "or list the exposure by itself"
                )
    for name, entry in plan.config["products"].items():
        where, product = f"products.{name}", plan.products.get(name)
        if product is None:
            if entry["background"] or entry["steps"] != plan.config["steps"]:
                raise InputError(
                    f"{where}: is an exposure, of which only image2 and reference_files count: say "
                    "the rest under its product"
                )
        elif entry["background"]:
            if entry["background"] != SELF and not (entry["science"] or entry["psf"]):
                raise InputError(
                    f"{where}.background: counts for a product of 'science' alone: name background "
                    "members in an association of stage 2"
                )
            for member in product.of_type("science").values():
                if not member.rate:
                    raise InputError(
                        f"{member.path}: is not made by stage 2, so {where}.background cannot be "
                        "subtracted: give the _rate, or leave the background out"
                    )


def check_path(path: str, lister: str) -> None:
    """Raise where a file is missing, or Snakemake would not take its path for one.

    Parameters
    ----------
    path : str
    lister : str
        What names it; for the message.

    Raises
    ------
    InputError
    """
    if not os.path.isfile(path):
        raise InputError(f"{path}: there is no such file ({lister}): fetch it or mend its name")
    if set(path) & set("{}<>"):
        raise InputError(
            f"{path}: has braces or angle brackets, which Snakemake takes for wildcards: rename it"
        )


def check_name(exposure: str, path: str) -> None:
    """Raise where products cannot be called after an exposure.

    Parameters
    ----------
    exposure, path : str
        Its name, and its file; for the message.

    Raises
    ------
    InputError
    """
    if not exposure or not exposure.isascii() or not exposure.isprintable():
        raise InputError(f"{path}: its name cannot be in those of products: rename it, in ASCII")
    if exposure_suffix(path) in RAW:
        raise InputError(f"{path}: is not through stage 1: run calwebb_detector1, give its _rate")
    if len(exposure) > LONGEST:
        raise InputError(f"{path}: its name is too long for products: shorten it")
    check_periods(exposure, f"{path}: its name")


def check_periods(name: str, what: str) -> None:
    """Raise InputError where a name ends as Snakemake takes for the mark of an endless loop."""
    longest = len(name) // PERIODS
    if any(name.endswith(name[-length:] * PERIODS) for length in range(1, longest + 1)):
        raise InputError(
            f"{what} ends in {PERIODS} equal parts, which Snakemake refuses: rename it"
        )


def _check_exposure(path: str, kind: str, *, calibrated: bool) -> Mapping[str, str]:
    """Return the first header of an exposure that stage 2 is given; raise if it is another.

    It should become ``cal`` or ``calints``, and be calibrated already only if that is undone.
    """
    header = header_of(path)
    done = header.get("S_PHOTOM") == "COMPLETE"
    if done and not calibrated:
        raise InputError(f"{path}: is calibrated: give the _rate, or call it _cal")
    if header.get("S_FLAT") == "COMPLETE" and not calibrated:
        raise InputError(f"{path}: is divided by a flat field already: give the _rate")
    if calibrated and not done:
        raise InputError(
            f"{path}: is not calibrated, as image2.photom.inverse needs: give the _cal, or set it "
            "to false"
        )
    if (exp_type := header.get("EXP_TYPE")) not in IMAGING | WITHOUT:
        raise InputError(
            f"{path}: EXP_TYPE is {exp_type or 'missing'}: give exposures of imaging or "
            "coronagraphy"
        )
    image = find(path, "SCI")
    if image is None:
        raise InputError(f"{path}: has no SCI extension: give a _rate or _rateints")
    axes, name = (3, "_rateints") if kind == "calints" else (2, "_rate")
    if len(image.shape) != axes:
        given = f"{len(image.shape)} axes" if image.shape else "no pixel, or 0 integrations"
        raise InputError(f"{path}: SCI has {given}: give a {name}, or call it what it is")
    return header


def _check_background(path: str, exposure: str, header: Mapping[str, str]) -> None:
    """Raise where a file is no background of an exposure, whose header is given."""
    structure(path)
    own = header_of(path)
    if own.get("S_PHOTOM") == "COMPLETE":
        raise InputError(
            f"{path}: background of {exposure}: is calibrated: give the _rate or _rateints"
        )
    check_setup(path, own, exposure, header)
