import json
from pathlib import Path

from snakewebb.workflow.job import job
from snakewebb.coronagraphy.align_refs import align, unaligned
from snakewebb.coronagraphy.files import write_psfalign
from snakewebb.coronagraphy.repair import repair
from snakewebb.coronagraphy.stack_refs import read_usable
from snakewebb.coronagraphy.star import disc
from snakewebb.coronagraphy.star_light import find_light
from snakewebb.io.provenance import read_notes
from snakewebb.references.images import read_psfmask

with job(snakemake.log[0]):
    exposures = read_notes(snakemake.input.stack)["stack_psfs"]["exposures"]
    repair_options = snakemake.params.repair
    target, usable = read_usable(snakemake.input.exposure, repair_options["bad_bits"])
    stack, kept = read_usable(snakemake.input.stack, repair_options["bad_bits"])
    exposures = [name for name, is_kept in zip(exposures, kept, strict=True) if is_kept]
    data, err, bad = repair(stack["SCI"], stack["DQ"], stack["ERR"], **repair_options)
    path, shape = snakemake.input.get("psfmask"), data.shape[1:]
    skip = "skip is set" if snakemake.params.step["skip"] else ""
    if not usable.any():
        skip = "no integration of the target has a good pixel"
    if skip:
        mask, aligned = "none", unaligned(data, err, stack["DQ"])
    else:
        stars = json.loads(Path(snakemake.input.stars).read_text())
        center = stars[snakemake.wildcards.exposure]["center"]
        if path:
            mask, weights = Path(path).name, read_psfmask(path, shape)
        else:
            mask, weights = "derived", disc(shape, center)
        image, _, missing = repair(target["SCI"], target["DQ"], **repair_options)
        light = find_light(image.mean(axis=0), data, center, exposures)
        weights = weights * (light.alone if light else 1.0)
        good = ~missing.any(axis=0)
        aligned = align(image.mean(axis=0), data, err, stack["DQ"], weights, good=good, bad=bad)
    notes = {"parameters": repair_options, "reason": skip}
    write_psfalign(
        snakemake.input.stack,
        snakemake.output[0],
        aligned,
        mask=mask,
        exposures=exposures,
        status="FAILED" if aligned.reason else "SKIPPED" if skip else "COMPLETE",
        asn=snakemake.params.asn,
        provenance=notes | ({"reason": aligned.reason} if aligned.reason else {}),
    )
