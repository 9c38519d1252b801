"""Time snakewebb and STScI's jwst side by side on the same simulated files.

    PYTHONPATH=lib python benchmarks/speed.py FOLDER --jwst JWST_PYTHON [--cases A B …]

JWST_PYTHON is the interpreter of an environment that has jwst. Cases: A 4 NIRCam exposures with a
small dither, B two detectors × 12 pointings a minute of arc apart, C coronagraphy, D and E: B again
with another parameter of source_catalog, of outlier_detection, F two detectors × 48 pointings,
which jwst is spared, G the count rates of B to calibrated exposures, H the same and on to B's
products. Everything counts, from the start of the command to its end; that kernels and
modules are compiled is part of the installation. Prints tables and writes ``speed.json`` into
FOLDER.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from snakewebb.simulate import coronagraphy, observation, references, stage2
from snakewebb.simulate.presets import NIRCAM_FIELD, mosaic, preset
from snakewebb.workflow import logs

ROOT = Path(__file__).resolve().parents[1]
WIDE = replace(NIRCAM_FIELD, detectors=("NRCALONG", "NRCBLONG"), dithers=mosaic(4, 3, 60.0))
WIDER = replace(WIDE, dithers=mosaic(8, 6, 60.0))
CHANGES = {
    "D": {"source_catalog": {"snr_threshold": 5.0}},
    "E": {"outlier_detection": {"snr": "6.0 4.5"}},
}

STEPS = ("bkg_subtract", "assign_wcs", "flat_field", "photom", "resample")

Cost = dict[str, float]


def environment() -> dict[str, str]:
    """Return the environment of both: as an installation has it."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPATH": str(ROOT / "lib")}


def measure(command: list[str], log: Path, env: dict[str, str]) -> Cost:
    """Run a command; return its cost, with all processes that it started.

    The peak is that of the largest process.
    """
    with log.open("w") as file:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=env)
        _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    if status:
        sys.exit(f"{' '.join(command)} failed: see {log}")
    cpu = usage.ru_utime + usage.ru_stime
    return {"wall_s": wall, "cpu_s": cpu, "peak_mb": usage.ru_maxrss / 1024}


def simulate(case: str, folder: Path, pointings: int) -> Path:
    """Return the association of a case, simulated if it is not there."""
    found = sorted(folder.glob("*3_*_asn.json"))  # image3 or coron3
    if not found:
        rates = replace(WIDE, dithers=WIDE.dithers[:pointings])
        fields = {"A": NIRCAM_FIELD, "B": WIDE, "C": preset("nircam-coron"), "F": WIDER, "G": rates}
        simulator = {"C": coronagraphy, "G": stage2}.get(case, observation)
        found = [Path(simulator.write(fields[case], folder))]
        if case != "C":
            references.write_references(min(folder.rglob("*_cal.fits")), folder / "references")
    return found[0]


def configure(asn: Path, folder: Path, psfmask: Path | None, steps: dict[str, Any]) -> Path:
    """Write our configuration."""
    files: dict[str, Any] = {"psfmask": str(psfmask)} if psfmask else {}
    if (cache := asn.parent / "crds").exists():
        files["crds"] = {"path": str(cache), "context": "jwst_0001.pmap"}
    references_folder = asn.parent / "references"
    if psfmask:
        steps = {**steps, "contrast": {"skip": True}}  # jwst makes no curve
    else:
        files["apcorr"] = str(references_folder / "apcorr.fits")
        files["abvegaoffset"] = str(references_folder / "abvegaoffset.asdf")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.yaml"
    config = {"associations": [str(asn)], "reference_files": files, "steps": steps}
    path.write_text(yaml.safe_dump(config))
    return path


def run_ours(config: Path, folder: Path, cores: int, until: str | None = None) -> dict[str, Any]:
    """Run the workflow, maybe no further than a rule; return its cost, and that of each rule."""
    shutil.rmtree(folder / "logs", ignore_errors=True)
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--directory", str(folder), "--configfile", str(config), "--cores", str(cores)]
    command += ["--until", until] if until else []
    cost = measure(command, folder / "run.log", environment())
    return {**cost, "rules": rules(folder / "logs")}


def rules(folder: Path) -> dict[str, Cost]:
    """Return the cost of each rule, from the logs of its jobs.

    The logs of a rule are named after it, or are in a folder that is.
    """
    scripts = {path.stem for path in (ROOT / "scripts").glob("*.py")}
    found: dict[str, Cost] = defaultdict(lambda: defaultdict(float))
    for path in folder.rglob("*.log"):
        total = found[next(part for part in (path.stem, *path.parts[::-1]) if part in scripts)]
        cost = logs.cost(path)
        total["jobs"] += 1
        total["peak_mb"] = max(total["peak_mb"], cost.pop("peak_mb"))
        for name, value in cost.items():
            total[name] += value
    return dict(found)


def run_jwst(python: str, asn: Path, folder: Path, settings: str, psfmask: Path | None) -> Cost:
    """Run jwst; return its cost, and the wall time of each step."""
    folder.mkdir(parents=True, exist_ok=True)
    name = "run_jwst_coron.py" if psfmask else "run_jwst.py"
    command = [python, str(ROOT / "benchmarks" / name), str(asn), str(folder)]
    if psfmask:
        command += ["--psfmask", str(psfmask)]
    else:
        command += ["--references", str(asn.parent / "references"), "--settings", settings]
    cost = measure(command, folder / "run.log", {**environment(), "PYTHONPATH": ""})
    return {**cost, "steps_s": json.loads((folder / "cost.json").read_text()).get("steps_s", {})}


def run_stage2(python: str, asn: Path, folder: Path, *arguments: str) -> Cost:
    """Run jwst's stage 2 on the count rates beside an association; return its cost."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [python, str(ROOT / "benchmarks" / "run_jwst_image2.py"), str(folder)]
    command += [str(path.resolve()) for path in sorted(asn.parent.glob("*_rate.fits"))]
    command += ["--crds", str(asn.parent / "crds"), *arguments]
    return measure(command, folder / "run.log", {**environment(), "PYTHONPATH": ""})


def run_rates(case: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run G or H with both and return the figures.

    jwst makes G's exposures in one process, and H's products in another.
    """
    base = options.folder.resolve() / "G"
    asn = simulate("G", base / "data", options.pointings)
    shutil.rmtree(base / "ours", ignore_errors=True)
    config = configure(asn, base / "ours", None, {})
    until = "cal" if case == "G" else None
    figures = {"ours": run_ours(config, base / "ours", options.cores, until)}
    made = base / "jwst_cal"
    if options.jwst and case == "G":
        figures["jwst"] = run_stage2(options.jwst, asn, made)
        rectified = ("--steps", *STEPS, "--settings", "fast")
        figures["jwst with _i2d"] = run_stage2(options.jwst, asn, base / "jwst_i2d", *rectified)
    elif options.jwst:
        figures["jwst, stage 2"] = run_stage2(options.jwst, asn, made)
        copy = Path(shutil.copy(asn, made))
        if not (made / "references").exists():
            (made / "references").symlink_to(asn.parent / "references")
        figures["jwst, stage 3"] = run_jwst(options.jwst, copy, base / "jwst_fast", "fast", None)
    return figures


def prepare() -> None:
    """Compile modules and kernels, as an installation does."""
    for command in (["compileall", "-q", str(ROOT / "lib")], ["snakewebb.kernels"]):
        subprocess.run([sys.executable, "-m", *command], env=environment(), check=True)


def run_case(case: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run a case with both and return the figures."""
    if case in "GH":
        return run_rates(case, options)
    base = "B" if case in CHANGES else case
    data = options.folder / base / "data"
    asn = simulate(base, data, options.pointings).resolve()
    psfmask = options.psfmask.resolve() if base == "C" else None
    ours = (options.folder / base / "ours").resolve()
    if case not in CHANGES:
        shutil.rmtree(ours, ignore_errors=True)
    elif not (ours / "results").exists():
        run_ours(configure(asn, ours, psfmask, {}), ours, options.cores)
    config = configure(asn, ours, psfmask, CHANGES.get(case, {}))
    figures = {"ours": run_ours(config, ours, options.cores)}
    if case in CHANGES:  # as it was, for the next change
        run_ours(configure(asn, ours, psfmask, {}), ours, options.cores)
    elif options.jwst and case != "F":
        for settings in ("default",) if psfmask else ("fast", "default"):
            folder = options.folder / base / f"jwst_{settings}"
            figures[f"jwst {settings}"] = run_jwst(options.jwst, asn, folder, settings, psfmask)
    return figures


def show(case: str, figures: dict[str, Any]) -> None:
    """Print the tables of a case."""
    print(f"\n| {case} | wall, s | CPU, s | largest process, MB |\n|---|---|---|---|")
    for name, cost in figures.items():
        print(f"| {name} | {cost['wall_s']:.1f} | {cost['cpu_s']:.1f} | {cost['peak_mb']:.0f} |")
    print("\n| rule | jobs | wall, s | CPU, s | of which start, s | largest job, MB |")
    print("|---|---|---|---|---|---|")
    for rule, cost in figures["ours"]["rules"].items():
        numbers = " | ".join(f"{cost[key]:.1f}" for key in ("wall_s", "cpu_s", "start_s"))
        print(f"| {rule} | {cost['jobs']:.0f} | {numbers} | {cost['peak_mb']:.0f} |")
    for name, cost in figures.items():
        if cost.get("steps_s"):
            print(f"\n{name}: " + ", ".join(f"{k} {v:.1f} s" for k, v in cost["steps_s"].items()))


def main() -> None:
    """Run the cases that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="for data and products, tens of gigabytes")
    parser.add_argument("--jwst", metavar="PYTHON", help="without it, ours alone")
    parser.add_argument("--cases", nargs="+", choices="ABCDEFGH", default=list("ABCDEFGH"))
    parser.add_argument("--pointings", type=int, default=12, help="of G and H")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--psfmask", type=Path, help="PSFMASK reference file, for case C")
    options = parser.parse_args()
    if "C" in options.cases and not options.psfmask:
        parser.error("case C needs --psfmask")
    prepare()
    result = {"machine": f"{platform.machine()}, {os.cpu_count()} cores", "cores": options.cores}
    for case in options.cases:
        result[case] = run_case(case, options)
        show(case, result[case])
        (options.folder / "speed.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
