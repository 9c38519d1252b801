from snakemake.utils import min_version

min_version("9.25")


report: "report/workflow.rst"


include: "rules/common.smk"


# Used with --sdm apptainer only; envs/apptainer.def says how to build it.
container: str(HERE.parent / "envs" / "apptainer.sif")


include: "rules/mast.smk"
include: "rules/image2.smk"
include: "rules/image3.smk"
include: "rules/fields.smk"
include: "rules/quality.smk"
include: "rules/coron3.smk"
include: "rules/report.smk"
include: "rules/run.smk"


if workflow.is_main_process:
    try:
        check_made(plan, lambda path: any(r.is_producer(path) for r in workflow.rules))
    except InputError as error:
        give_up(error)


# Jobs on this machine start from a process that has imported what they need.
onstart:
    if workflow.is_main_process and workflow.local_exec and config["warm_start"]:
        if bash := warm.start(warm.scripts_of(workflow)):
            shell.executable(bash)


rule all:
    default_target: True
    input:
        # Without input Snakemake would take it for work to do.
        collect("{file}", file=[*default_targets(plan), *fields.targets()] or [SCHEMA]),
    localrule: True
    message:
        "All products are made"
