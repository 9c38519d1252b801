"""Job psfalign: references shifted onto an exposure's star."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from snakewebb.coronagraphy.align_refs import AlignRefsOptions, align, unaligned
from snakewebb.coronagraphy.files import write_psfalign
from snakewebb.coronagraphy.repair import RepairOptions, repair_pixels
from snakewebb.coronagraphy.stack_refs import read_usable
from snakewebb.coronagraphy.star import disc
from snakewebb.coronagraphy.star_light import find_light
from snakewebb.coronagraphy.star_position import read_stars
from snakewebb.errors import InputError
from snakewebb.io.names import product_exposure
from snakewebb.io.provenance import read_notes
from snakewebb.references.images import read_psfmask


def align_references(
    exposure: str | Path,
    target: str | Path,
    *,
    stack: str | Path,
    stars: str | Path | None = None,
    psfmask: str | Path | None = None,
    repair: Mapping[str, Any] = MappingProxyType({}),
    step: Mapping[str, Any] = MappingProxyType({}),
    asn: Mapping[str, Any] | None = None,
) -> None:
    """Shift the references onto the star of an exposure.

    Parameters
    ----------
    exposure, target : path
        The ``_crfints``, and the ``_psfalign`` to write.
    stack : path
        The references' ``_psfstack``.
    stars : path, optional
        What `snakewebb.jobs.find_stars.stars_of_product` wrote. Needed unless the step is skipped.
    psfmask : path, optional
        A PSFMASK reference file with the weights of pixels. By default the star's surroundings
        count.
    repair : mapping, optional
        Of `snakewebb.coronagraphy.repair.RepairOptions`.
    step : mapping, optional
        Of `snakewebb.coronagraphy.align_refs.AlignRefsOptions`.
    asn : mapping, optional
        For ``meta.asn``.

    Raises
    ------
    InputError
        A file cannot be read, or their sizes differ.
    """
    names = read_notes(stack)["stack_psfs"]["exposures"]
    options = RepairOptions(**repair)
    science, usable = read_usable(exposure, options.bad_bits)
    references, kept = read_usable(stack, options.bad_bits)
    names = [name for name, is_kept in zip(names, kept, strict=True) if is_kept]
    data, err, bad = repair_pixels(*references, options)
    reason = "skip is set" if AlignRefsOptions(**step).skip else ""
    if not usable.any():
        reason = "no integration of the target has a good pixel"
    status = "SKIPPED" if reason else "COMPLETE"
    if reason:
        mask, aligned = "none", unaligned(data, err, references.dq)
    elif stars is None:
        raise InputError("align_refs: needs to know where the star is: give stars")
    else:
        center = read_stars(stars)[product_exposure(exposure)].center
        shape = data.shape[1:]
        if psfmask:
            mask, weights = Path(psfmask).name, read_psfmask(psfmask, shape)
        else:
            mask, weights = "derived", disc(shape, center)
        cube, _, missing = repair_pixels(science.data, science.dq, options=options)
        image = cube.mean(axis=0)
        light = find_light(image, data, center, names)
        weights = weights * (light.alone if light else 1.0)
        good = ~np.any(missing, axis=0)
        aligned = align(image, data, err, references.dq, weights, good=good, bad=bad)
        if aligned.reason:
            status, reason = "FAILED", aligned.reason
    write_psfalign(
        stack,
        target,
        aligned,
        mask=mask,
        exposures=names,
        status=status,
        asn=asn,
        notes={"parameters": asdict(options), "reason": reason},
    )
