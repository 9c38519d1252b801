"""The scripts of rules, run in the test's own process, without Snakemake."""

import logging
import runpy
from types import SimpleNamespace

import yaml

from snakewebb.workflow import config
from workflow import REPO

SCHEMA = yaml.safe_load((REPO / "config" / "schema.yaml").read_text())


class Files(list):
    """Files by number and by name, as Snakemake hands them to scripts."""

    def __init__(self, named):
        values = named.values() if isinstance(named, dict) else [named]
        super().__init__(
            v for value in values for v in (value if isinstance(value, list) else [value])
        )
        self.__dict__.update(named if isinstance(named, dict) else {})

    def items(self):
        return self.__dict__.items()


def run(name, inputs, outputs, *, log, **params):
    """Run a script with these files and parameters."""
    snakemake = SimpleNamespace(
        input=Files(inputs),
        output=Files(outputs),
        params=Files({"code": "as it was tested", **params}),
        log=[str(log)],
        threads=1,
    )
    try:
        runpy.run_path(str(REPO / "scripts" / f"{name}.py"), {"snakemake": snakemake})
    finally:
        for handler in logging.root.handlers:
            handler.close()  # and with it the lock on the log


def options(step, rule, **changed):
    """Return the parameters that a rule takes of a step, the schema's defaults if not changed."""
    steps = config.complete({"steps": {step: changed}}, SCHEMA)["steps"]
    return config.options(steps, SCHEMA, step, rule)
