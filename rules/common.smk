# The plan of the configuration, and functions that rules are written with.
import inspect
import os
import sys
from functools import cache
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

# A checkout has its library beside it; if the workflow is fetched by URL it is an installed one.
# Not workflow.basedir, which is that of a workflow that imports this one.
HERE = Path(workflow.current_basedir.get_path_or_uri(secret_free=True))
LIBRARY = (HERE.parent / "lib").resolve()
if LIBRARY.is_dir():
    sys.path.insert(0, str(LIBRARY))
    others = os.environ.get("PYTHONPATH") or LIBRARY
    os.environ.update(PYTHONPATH=f"{LIBRARY}{os.pathsep}{others}")

from snakewebb.workflow.logs import Failures, tell_of_interrupt

tell_of_interrupt()

from snakewebb.errors import InputError, give_up, tell
from snakewebb.io import provenance, strict
from snakewebb.workflow import warm
from snakewebb.workflow.checks import check_made, check_plan, remarks
from snakewebb.workflow.default_targets import default_targets
from snakewebb.workflow.digest import code_digest
from snakewebb.workflow.fields import Fields
from snakewebb.workflow.lock import occupy
from snakewebb.workflow.plan import read_plan
from snakewebb.workflow.wildcards import names_of, numbered_names_of

LIBRARY = LIBRARY if LIBRARY.is_dir() else Path(strict.__file__).parents[2]
CONFIGFILE = "config/config.yaml"


def source(path):
    """Return the path of a file of this workflow, which may have to be fetched."""
    return (
        str(HERE.parent / path) if HERE.is_dir() else workflow.source_path(f"../{path}")
    )


SCHEMA = source("config/schema.yaml")
FAILURES = Failures()
try:
    if workflow.is_main_process:
        logger.addHandler(FAILURES)
        occupy(".snakemake")
        if not workflow.modifier.skip_configfile:
            own = [CONFIGFILE] if os.path.exists(CONFIGFILE) else []
            for path in [*own, *workflow.overwrite_configfiles]:
                strict.check_config(path, may_be_empty=path == CONFIGFILE)
except InputError as error:
    give_up(error)


# Snakemake itself refuses one that is missing or empty.
if strict.holds_keys(CONFIGFILE):

    configfile: CONFIGFILE


try:
    provenance.date()  # SOURCE_DATE_EPOCH, where that is set, is to be a time
    with open(SCHEMA) as file:
        schema = yaml.load(file, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    plan = read_plan(config, schema)
    config, stage2, fields = plan.config, plan.stage2, Fields.of(plan)
    if workflow.is_main_process:
        check_plan(plan)
        for remark in remarks(plan):
            tell(remark)
except InputError as error:
    give_up(error)

CORON3 = names_of(plan.of_kind(coronagraphic=True))
IMAGE3 = names_of(plan.of_kind(coronagraphic=False))
STAGE2 = names_of(stage2.made)
FIELDS = names_of(fields.products)


wildcard_constraints:
    product=names_of(plan.products),
    exposure=numbered_names_of(plan.exposures()),  # in full it would take minutes
    background=r"[^/]+-[0-9a-f]{8}",
    asn_id=names_of({product.asn_id for product in plan.products.values()}),
    modes=r"|_k\d+",


def of(method, **given):
    """Return a function of the wildcards: a method of the plan, called with those it takes."""
    names = [n for n in inspect.signature(method).parameters if n not in given]

    def value(wildcards):
        known = {name: wildcards[name] for name in names if name in wildcards.keys()}
        try:
            return method(**known, **given)
        except InputError as error:
            raise WorkflowError(str(error)) from None

    return value


def optional(method):
    """Return the same for an input file that need not be: Snakemake wants an empty list then."""
    return lambda wildcards, path=of(method): path(wildcards) or []


def options(step, rule):
    """Return a function of the wildcards: parameters of a step, see Plan.options."""
    return of(plan.options, step=step, rule=rule)


@cache
def code(script):
    """Return a digest of a script and of the library's modules that it imports."""
    return code_digest(source(f"scripts/{script}.py"), LIBRARY)


def megabytes(files):
    """Return the size of files; Snakemake's own takes a fifth of the time of planning."""
    return [os.path.getsize(file) / 2**20 for file in files]


def memory(base, factor, largest=None):
    """Return a function: megabytes for a job, rising with its input and with each attempt.

    Its input is read whole; or, at a time, as many of one named input as there are threads. On a
    cluster a job holds two Snakemakes besides the script: 300 MB are theirs.
    """

    def value(wildcards, input, threads, attempt):
        if largest is None:
            size = sum(megabytes(input))
        else:
            files = input[largest]
            files = [files] if isinstance(files, str) else files
            size = max(megabytes(files)) * threads
        return int((base + factor * size) * attempt)

    return value


def minutes(wildcards, input, attempt):
    """Return how long a job may take: ample, rising with its input and with each attempt."""
    return int((20 + sum(megabytes(input)) / 100) * attempt)
