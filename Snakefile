from snakemake.utils import min_version

min_version("9.25")


report: "report/workflow.rst"


include: "rules/common.smk"
include: "rules/image3.smk"
include: "rules/coron3.smk"
include: "rules/report.smk"


check_made_files()


onerror:
    tell_failures()


rule all:
    default_target: True
    input:
        collect("{file}", file=targets()),
    localrule: True
    message:
        "All products are made"
