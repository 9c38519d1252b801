from snakewebb.job import job
from snakewebb.coron_outliers import flag_outliers, neighbours, reason_to_skip
from snakewebb.flagged import write_crf
from snakewebb.stack_refs import read_cube

with job(snakemake.log[0]):
    exposure, step = snakemake.input.exposure, dict(snakemake.params.step)
    cube = read_cube(exposure)
    others = neighbours(exposure, snakemake.input.others)
    reason = reason_to_skip(len(cube["SCI"]), len(others))
    if step.pop("skip"):
        reason = "skip is set"
    outliers = None
    if not reason:
        others = [(other["SCI"], other["DQ"]) for other in map(read_cube, others)]
        outliers = flag_outliers(cube["SCI"], cube["ERR"], cube["DQ"], others, **step)
    write_crf(
        exposure,
        snakemake.output[0],
        statuses={"outlier_detection": "SKIPPED" if reason else "COMPLETE"},
        outliers=outliers,
        asn=snakemake.params.asn,
        provenance={"outlier_detection": {"reason": reason or "", "parameters": step}},
    )
