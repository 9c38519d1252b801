# From MAST: lists of files, when they are asked for, and the files.
from snakewebb.archive.lock import FILES


# It has no output, so that nothing ever asks for it but a user.
rule query:
    log:
        "<logs>/query.log",
    localrule: True
    conda:
        "../envs/snakewebb.yaml"
    params:
        products=plan.archived.asked,
    message:
        "Ask MAST for files"
    script:
        "../scripts/query.py"


# No digest of code: what changes there makes no other file. MAST is asked for four at a time.
rule fetch:
    output:
        f"{FILES}/{{filename}}",
    log:
        "<logs>/fetch/{filename}.log",
    wildcard_constraints:
        filename=r"jw\w+\.fits",
    localrule: True
    conda:
        "../envs/snakewebb.yaml"
    resources:
        mem_mb=400,
        downloads=1,
    params:
        uri=of(plan.archived.uri),
        size=of(plan.archived.size),
        version=of(plan.archived.version),
    message:
        "Fetch {wildcards.filename}"
    script:
        "../scripts/fetch.py"
