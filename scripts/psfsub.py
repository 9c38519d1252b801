import json
from pathlib import Path

from snakewebb.job import job
from snakewebb.align_refs import repair
from snakewebb.coron import science_region
from snakewebb.coron_products import read_exposures, write_psfsub
from snakewebb.exposure import read_planes
from snakewebb.geometry import Correction
from snakewebb.klip import Library
from snakewebb.stack_refs import read_cube

with job(snakemake.log[0]):
    step, exposure = dict(snakemake.params.step), snakemake.input.exposure
    star = json.loads(Path(snakemake.input.stars).read_text())[snakemake.wildcards.exposure]
    cube = read_cube(exposure)
    data, err, bad = repair(cube["SCI"], cube["DQ"], cube["ERR"], **snakemake.params.repair)
    references = read_planes(snakemake.input.references, ("SCI", "ERR"))
    library = Library(
        references["SCI"],
        references["ERR"],
        groups=read_exposures(snakemake.input.references, "align_refs"),
        center=star["center"],
        annuli=step["annuli"],
        subsections=step["subsections"],
        mask=science_region(cube["DQ"]),
    )
    (made,) = library.subtract(
        data, err, truncate=[step["truncate"]], n_references=step["n_references"]
    )
    notes = {"parameters": step, "modes": made.modes, "star": star}
    write_psfsub(
        exposure,
        snakemake.output[0],
        made.data,
        made.err,
        bad,
        model_err=made.model_err,
        correction=Correction.from_dict(star["correction"]),
        sip={},
        asn=snakemake.params.asn,
        provenance={"klip": notes | {"eigenvalues": [v.tolist() for v in made.eigenvalues]}},
    )
