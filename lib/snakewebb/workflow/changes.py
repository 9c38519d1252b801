"""What a dry run says: which jobs would run, because of what, and how long that takes.

Standard library only.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from snakewebb.workflow.console import tasks_of
from snakewebb.workflow.plan import Plan
from snakewebb.workflow.progress import WIDTH, clock, expectations, many

OF_ASSOCIATION = ("asn_id", "pool_name", "table_name")
"""What products note of their association."""
MOST = 6
"""Changes of one kind that are named each."""


def plan_in_words(workflow: Any, plan: Plan) -> list[str]:
    """Return the lines that a dry run says.

    Parameters
    ----------
    workflow : snakemake.workflow.Workflow
        Planned.
    plan : Plan
        It knows which step a parameter is of.
    """
    order = {rule.name: number for number, rule in enumerate(workflow.rules)}
    jobs = [job for job in workflow.dag.needrun_jobs() if job.output]
    jobs.sort(key=lambda job: (order[job.rule.name], str(job.output[0])))
    causes: dict[str, list[str]] = {}
    for job in jobs:
        words = causes.setdefault(owner(job), [])
        words += causes_of(job, workflow, plan.schema)
    # Products that are made again for the same reason share lines.
    groups: dict[tuple[str, ...], list[str]] = {}
    for product, words in causes.items():
        # New files, of which there may be many, last.
        ordered = sorted(dict.fromkeys(words), key=lambda word: word.startswith("new "))
        groups.setdefault(tuple(ordered), []).append(product)
    shared = groups.pop((), [])
    lines: list[str] = []
    for reasons, products in groups.items():
        those = {*products, *shared}
        rules = [job.rule.name for job in jobs if owner(job) in those]
        names = ", ".join(filter(None, products)) or "for all products"
        more = [f"{len(reasons) - MOST} more"] if reasons[MOST:] else []
        lines += wrapped(f"{names}: {'; '.join([*reasons[:MOST], *more])}: {many(rules)}")
    return [*lines, *wrapped(total_in_words(workflow))]


def owner(job: Any) -> str:
    """Return the product or field that a job is for; empty if it is for all."""
    field = getattr(job.wildcards, "field", "")
    return getattr(job.wildcards, "product", "") or (field and f"field {field}")


def causes_of(job: Any, workflow: Any, schema: Mapping[str, Any]) -> list[str]:
    """Return why a job is to run, but for jobs that run before it; in words each.

    Parameters
    ----------
    job : snakemake.jobs.Job
    workflow : snakemake.workflow.Workflow
    schema : mapping
        It knows which step a parameter is of.
    """
    rule, reason, words = job.rule.name, workflow.dag.reason(job), []
    if reason.forced:
        words.append("forced")
    if not reason.missing_output:
        # Snakemake does not ask, where there is another reason.
        change = workflow.persistence.params_changed(job)
        if change:
            name = partial(full_name, rule=rule, schema=schema)
            words += changes_of(change.only_old, change.only_new, name)
    if reason.code_changed or reason.software_stack_changed:
        words.append("the code has changed")
    own = sorted(set(map(str, reason.updated_input)) - set(map(str, reason.updated_input_run)))
    words += [f"new {path}" for path in own]
    if not (own or reason.missing_output) and any(workflow.persistence.input_changed(job)):
        words.append("other exposures or files")
    if reason.incomplete_output:
        words.append("an earlier run was stopped")
    elif reason.missing_output:
        words.append("not made yet")
    return words


def changes_of(old: Iterable[str], new: Iterable[str], name: Callable[[str], str]) -> list[str]:
    """Return which parameters have changed, from what to what.

    Parameters
    ----------
    old, new : iterable of str
        Those parameters of a rule that were, and that are, as Python writes them.
    name : function of a parameter
        What the user calls it.

    Returns
    -------
    list of str
        As *outlier_detection.snr 5.0 4.0 → 4.0 3.0*.
    """
    before, after = ([ast.literal_eval(text) for text in texts] for texts in (old, new))
    words = []
    for value in after:
        if isinstance(value, str) and " and what it imports: " in value:
            words.append("the code has changed")
        elif isinstance(value, Mapping):
            # The one of before that has the most keys in common.
            others = [other for other in before if isinstance(other, Mapping)]
            other = max(others, key=lambda other: len(other.keys() & value.keys()), default={})
            was, now = dict(flat(other)), dict(flat(value))
            keys = sorted(key for key in was | now if was.get(key) != now.get(key))
            if any(key.rpartition(".")[2] in OF_ASSOCIATION for key in keys):
                words.append("another association")
            keys = [key for key in keys if key.rpartition(".")[2] not in OF_ASSOCIATION]
            words += [f"{name(k)} {shown(was.get(k))} → {shown(now.get(k))}" for k in keys]
        else:
            words.append(f"{shown(value)} instead of what was")
    return words or ["other parameters"]


def flat(value: Mapping[str, Any], where: str = "") -> Iterable[tuple[str, Any]]:
    """Yield the values of mappings in mappings by their path, as ``drizzle.pixfrac``."""
    for key, each in value.items():
        if isinstance(each, Mapping):
            yield from flat(each, f"{where}{key}.")
        else:
            yield f"{where}{key}", each


def shown(value: object) -> str:
    """Return a value as a user would write it."""
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value) or "''"


def full_name(path: str, rule: str, schema: Mapping[str, Any]) -> str:
    """Return the name of a parameter with that of its step.

    Parameters
    ----------
    path : str
        Where it stands in a rule's parameters, as ``step.key``, ``group.key`` or ``key``.
    rule : str
    schema : mapping
    """
    *groups, key = path.split(".")
    for section in ("steps", "image2"):
        for step, known in schema["properties"][section]["properties"].items():
            rules = known.get("properties", {}).get(key, {}).get("rules", ())
            if (step in groups and rules) or {rule, *groups} & set(rules):
                return f"{step}.{key}"
    # The catalogue of a field takes parameters that the schema lists for those of products.
    of_catalog = schema["properties"]["steps"]["properties"]["source_catalog"]["properties"]
    return f"source_catalog.{key}" if rule.startswith("field") and key in of_catalog else path


def total_in_words(workflow: Any) -> str:
    """Return how many jobs there are, and how long they take, as far as that is known."""
    tasks = tasks_of(workflow)
    total = sum(1 for job in workflow.dag.jobs if job.output)
    jobs = f"{len(tasks)} job{'s' if len(tasks) > 1 else ''} of {total}"
    if not any(task.seconds for task in tasks.values()):
        return f"{jobs}; how long they take is not known before the first run"
    expected = expectations(tasks)
    dag, ends = workflow.dag, {}

    def end(job: Any) -> float:
        """Return when a job is done, were there cores for all."""
        if job not in ends:
            before = max((end(other) for other in dag.dependencies[job]), default=0.0)
            ends[job] = before + expected.get(dag.jobid(job), 0.0)
        return ends[job]

    cores = workflow.cores or 1
    work = sum(expected[n] * task.threads for n, task in tasks.items()) / cores
    longest = max(end(job) for job in dag.needrun_jobs())
    on = f"{cores} core{'s' if cores > 1 else ''}"
    return f"{jobs}, about {clock(max(work, longest))} on {on} by what they took before"


def wrapped(text: str) -> list[str]:
    """Return a text in lines."""
    return textwrap.wrap(text, WIDTH, subsequent_indent="  ", break_on_hyphens=False)
