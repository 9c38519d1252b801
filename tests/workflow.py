"""Running the workflow from tests."""

import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import yaml
from snakemake.api import SnakemakeApi
from snakemake.logging import logger
from snakemake.settings.types import (
    ConfigSettings,
    DAGSettings,
    OutputSettings,
    Quietness,
    RerunTrigger,
    ResourceSettings,
)

REPO = Path(__file__).parent.parent
TRIGGERS = yaml.safe_load((REPO / "profiles" / "default" / "profile.yaml").read_text())[
    "rerun-triggers"
]


def snakemake(folder, *arguments, repo=REPO, check=True, **config):
    """Run snakemake in a folder, with a configuration; return the finished process."""
    path = Path(folder, "config.yaml")
    if config:
        path.write_text(yaml.safe_dump(config))
    command = [
        *(sys.executable, "-m", "snakemake", "--snakefile", str(repo / "Snakefile")),
        *("--directory", str(folder), "--configfile", str(path), "--cores", "2", *arguments),
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=os.environ)
    if check:
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return done


class _Jobs(logging.Handler):
    """Collects the jobs that a dry run announces."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def emit(self, record):
        if getattr(record, "rule_name", None):
            wildcards = getattr(record, "wildcards", None) or {}
            self.seen.add((record.rule_name, *wildcards.values()))


def planned(folder, *, repo=REPO, text=None, resources=None, **config):
    """Return the jobs that would run: {(rule, wildcard values…)}.

    The configuration may be the ``text`` of a YAML file; ``resources`` are Snakemake's settings.
    """
    jobs = _Jobs()
    path = Path(folder, "planned.yaml")
    path.write_text(text or yaml.safe_dump(config))
    triggers = frozenset(RerunTrigger[name.replace("-", "_").upper()] for name in TRIGGERS)
    here = Path.cwd()
    try:
        with SnakemakeApi(OutputSettings(dryrun=True, quiet={Quietness.ALL})) as api:
            workflow = api.workflow(
                resource_settings=resources or ResourceSettings(cores=1),
                config_settings=ConfigSettings(configfiles=[path]),
                snakefile=repo / "Snakefile",
                workdir=Path(folder),
            )
            dag = workflow.dag(DAGSettings(rerun_triggers=triggers))
            logger.addHandler(jobs)
            try:
                dag.execute_workflow(executor="dryrun")
            finally:
                logger.removeHandler(jobs)
    finally:
        os.chdir(here)
    return jobs.seen


def table(heading):
    """Return the rows of a table in docs/rebuild.md: (section of the config, keys, rules)."""
    page = (REPO / "docs" / "rebuild.md").read_text()
    lines = page.split(f"## {heading}\n")[1].split("\n## ")[0].splitlines()
    rows = []
    for line in [line for line in lines if line.startswith("| `")]:
        change, rules = line.strip("| ").split(" | ")
        section, colon, keys = change.rpartition(": ")
        names = re.findall(r"`(\w+)`", keys)
        rows.append((section.strip("`") if colon else None, names, re.findall(r"`(\w+)`", rules)))
    return rows


def another(key, schema):
    """Return a value of a parameter that is not its default."""
    default, kinds = schema["default"], schema.get("type", "enum")
    if kinds == "enum":
        return next(value for value in schema["enum"] if value not in (default, None))
    if "array" in kinds:
        return [60, 50]
    if kinds == "boolean":
        return not default
    if kinds == "string":
        return "9.0 8.0"
    if "string" in kinds:
        return 0
    if "integer" in kinds:
        return (default or 0) + 1
    # What must be below another parameter is so, with the other one changed as well.
    return default / 2 if default else 0.05 if "below" in schema else 1.5
