"""Running the workflow from tests."""

import logging
import os
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


def planned(folder, *, repo=REPO, **config):
    """Return the jobs that would run: {(rule, wildcard values…)}."""
    jobs = _Jobs()
    path = Path(folder, "planned.yaml")
    path.write_text(yaml.safe_dump(config))
    triggers = frozenset(RerunTrigger[name.replace("-", "_").upper()] for name in TRIGGERS)
    here = Path.cwd()
    try:
        with SnakemakeApi(OutputSettings(dryrun=True, quiet={Quietness.ALL})) as api:
            workflow = api.workflow(
                resource_settings=ResourceSettings(cores=1),
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
