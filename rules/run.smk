# What a run says, and names that may be asked of it.
from snakewebb.workflow.changes import plan_in_words
from snakewebb.workflow.console import Console
from snakewebb.workflow.ending import finish
from snakewebb.workflow.outcomes import outcomes
from snakewebb.workflow.targets import explain, named_targets

NAMED = named_targets(plan, fields.targets())
CONSOLE = None
if workflow.is_main_process and workflow.modifier.is_main_snakefile():
    CONSOLE = Console.take_over(
        logger,
        workflow,
        lambda planned: plan_in_words(planned, plan),
        lambda text: explain(text, NAMED, (rule.name for rule in workflow.rules)),
    )


for name_asked, files_asked in NAMED.items():
    if not workflow.is_rule(name_asked):

        rule:
            name:
                name_asked
            input:
                files_asked,
            localrule: True

    # A name for every rule is copied for every job: the square of the number of exposures.
    globals().pop(f"__{name_asked}", None)


onsuccess:
    if CONSOLE:
        seconds = CONSOLE.finish()
        ends = outcomes(plan, fields.products)
        CONSOLE.say(
            *finish(workflow, config["report"], ends, FAILURES.logs, seconds)
        )


onerror:
    if CONSOLE:
        CONSOLE.finish()
    for message in FAILURES.messages():
        tell(message)
