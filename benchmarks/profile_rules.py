"""Tell what the seconds of each rule are spent on.

    PYTHONPATH=lib python benchmarks/profile_rules.py CONFIG FOLDER

Runs the workflow with a configuration in a folder, one job and one thread at a time, each started
by itself and under Python's profiler, and prints for each rule the CPU seconds of its jobs by what
the functions do. Profiling makes Python's own work look slower than it is, and compiled kernels
not.
"""

from __future__ import annotations

import argparse
import json
import os
import pstats
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROFILER = """
import atexit, cProfile, importlib._bootstrap as loader, json, os, pathlib, sys, time

profile, find, began, spent = cProfile.Profile(), loader._find_and_load, [], [0.0]

def timed(name, load):
    if began:
        return find(name, load)
    profile.disable()
    began.append(time.process_time())
    try:
        return find(name, load)
    finally:
        spent[0] += time.process_time() - began.pop()
        profile.enable()

def stop():
    profile.disable()
    name = pathlib.Path(sys.argv[0]).stem.split(".")[-1]
    path = f"{os.environ['PROFILES']}/{name}.{os.getpid()}"
    profile.dump_stats(path + ".stats")
    pathlib.Path(path + ".json").write_text(json.dumps([spent[0], time.process_time()]))

atexit.register(stop)
loader._find_and_load = timed
profile.enable()
"""
KINDS = {
    "kernels": ("snakewebb/kernels/",),
    "WCS": (
        "gwcs/",
        "astropy/modeling/",
        "snakewebb/wcs/gwcs_library",
        "snakewebb/wcs/grid",
        "snakewebb/wcs/geometry",
    ),
    "metadata": ("yaml/", "asdf", "stdatamodels/", "io/fits/", "astropy/config", "json/", "re."),
    "files": ("io.Buffered", "fromfile", "tofile", "posix.", "zlib", "sha256", "_io.open"),
    "arrays": ("numpy", "snakewebb/"),
}
"""What a function does, by the first kind with a part of its file's path or of its name."""


def kind_of(file: str, name: str) -> str:
    """Return what a function does."""
    where = f"{file}:{name}"
    return next((kind for kind, parts in KINDS.items() if any(p in where for p in parts)), "other")


def rule_of(stats: pstats.Stats) -> str | None:
    """Return the rule whose script a process ran; None for another process."""
    scripts = {path.stem for path in (ROOT / "scripts").glob("*.py")}
    for file, _, name in stats.stats:
        path = Path(file)
        stem = path.stem.split(".")[-1]
        if (
            name == "<module>"
            and stem in scripts
            and path.suffix == ".py"
            and ROOT not in path.parents
        ):
            return stem
    return None


def main() -> None:
    """Run, add up, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    profiles, site = options.folder / "profiles", options.folder / "site"
    for folder in (profiles, site):
        folder.mkdir(parents=True)
    (site / "sitecustomize.py").write_text(PROFILER)
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--directory", str(options.folder), "--cores", "1"]
    command += ["--configfile", str(options.config.resolve()), "--config", "warm_start=False"]
    paths = f"{site.resolve()}{os.pathsep}{ROOT / 'lib'}"
    env = {**os.environ, "PYTHONPATH": paths, "PROFILES": str(profiles.resolve())}
    with (options.folder / "run.log").open("w") as log:
        subprocess.run(command, check=True, env=env, stdout=log, stderr=subprocess.STDOUT)
    totals = defaultdict(lambda: defaultdict(float))
    for path in profiles.glob("*.stats"):
        stats = pstats.Stats(str(path))
        rule = rule_of(stats)
        imports, cpu = json.loads(path.with_suffix(".json").read_text())
        totals[rule]["jobs"] += 1
        totals[rule]["CPU"] += cpu
        totals[rule]["imports"] += imports
        for (file, _, name), (_, _, own, _, _) in stats.stats.items():
            totals[rule][kind_of(file, name)] += own
    kinds = ["CPU", "imports", *KINDS, "other"]
    print("| rule | jobs |", " | ".join(kinds), "|\n|" + "---|" * (2 + len(kinds)))
    for rule, spent in sorted(totals.items(), key=lambda item: -item[1]["CPU"]):
        # Snakemake waits, which is no work.
        numbers = [f"{spent[kind]:.2f}" for kind in (kinds if rule else kinds[:2])]
        print(f"| {rule or 'Snakemake'} | {spent['jobs']:.0f} |", " | ".join(numbers), "|")


if __name__ == "__main__":
    main()
