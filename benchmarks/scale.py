"""How the workflow copes with many exposures and with a large mosaic.

``plan`` times the dry run of an association of empty files, with its peak memory; ``mosaic``
simulates small exposures spread over a wide field, runs the workflow on them, and lists the peak
memory, CPU and wall time of its largest jobs by rule. Both print JSON at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import yaml
from astropy.io import fits
from speed import rules

from snakewebb.simulate.model import Observation
from snakewebb.simulate.observation import write
from snakewebb.simulate.presets import mosaic

REPO = Path(__file__).resolve().parent.parent
PIXEL = 0.0629
"""Arcsec; of NIRCam's long-wavelength detectors."""


def snakemake(folder: Path, associations: Sequence[Path], *arguments: str, **config) -> dict:
    """Run snakemake in a folder and return its wall time and the peak memory of its processes."""
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump({"associations": [str(p) for p in associations], **config}))
    command = [
        *(sys.executable, "-m", "snakemake", "--snakefile", str(REPO / "Snakefile")),
        *("--directory", str(folder), "--configfile", str(path), *arguments),
    ]
    start = time.perf_counter()
    with (folder / "snakemake.log").open("w") as log:
        child = os.posix_spawnp(
            command[0],
            command,
            os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, log.fileno(), fd) for fd in (1, 2)],
        )
        _, status, usage = os.wait4(child, 0)
    if status:
        sys.exit(f"snakemake failed: see {log.name}")
    return {
        "wall_s": round(time.perf_counter() - start, 1),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_mb": round(usage.ru_maxrss / 1024),
    }


def plan(folder: Path, exposures: int) -> dict:
    """Time the dry run for an association of some empty exposures."""
    names = [f"jw01234001001_02101_{i + 1:05d}_nrcalong_cal.fits" for i in range(exposures)]
    for name in names:
        (folder / name).touch()
    members = [{"expname": name, "exptype": "science"} for name in names]
    content = {"asn_type": "image3", "asn_id": "o001", "asn_pool": "none", "program": "01234"}
    content["products"] = [{"name": "jw01234-o001_t001_nircam_clear-f356w", "members": members}]
    association = folder / "plan_asn.json"
    association.write_text(json.dumps(content))
    cost = snakemake(folder, [association], "--dry-run", "--quiet", "rules")
    lines = (folder / "snakemake.log").read_text().splitlines()
    jobs = next(int(line.split()[1]) for line in lines if line.startswith("total "))
    return {"exposures": exposures, "jobs": jobs, **cost}


def wide_field(folder: Path, size: int, columns: int, rows: int, npix: int, sources: int) -> Path:
    """Simulate pairs of exposures on a grid of tiles over a field, and return the association."""
    steps = [(size + 64 - npix) * PIXEL / (number - 1) for number in (columns, rows)]
    tiles = mosaic(columns, rows, 1.0)
    dithers = [
        (x * steps[0] + shift, y * steps[1] + 0.7 * shift) for x, y in tiles for shift in (0.0, 1.3)
    ]
    observation = Observation(
        detectors=("NRCALONG",),
        filter="F356W",
        dithers=tuple(dithers),
        npix=npix,
        stars=sources,
        galaxies=sources // 2,
    )
    return write(observation, folder)


def large_mosaic(options: argparse.Namespace) -> dict:
    """Simulate a wide field, run the workflow on it, and say what it took."""
    data = options.folder / "data"
    associations = sorted(data.glob("*_asn.json"))
    if not associations:
        data.mkdir()
        field = (options.size, options.columns, options.rows, options.npix, options.sources)
        associations = [wide_field(data, *field)]
    cost = snakemake(
        options.folder,
        associations,
        *("--cores", str(options.cores), "--quiet"),
        max_mosaic_megapixels=2e-6 * options.size**2,
        steps={"tweakreg": {"skip": True}},
    )
    (i2d,) = (options.folder / "results").glob("*/*t001*_i2d.fits")
    with fits.open(i2d) as hdus:
        shape = list(hdus["SCI"].shape)
    exposures = 2 * options.columns * options.rows
    return {"exposures": exposures, "shape": shape, **cost, "rules": rules(options.folder / "logs")}


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    planning = commands.add_parser("plan")
    planning.add_argument("folder", type=Path)
    planning.add_argument("--exposures", type=int, default=10_000)
    running = commands.add_parser("mosaic")
    running.add_argument("folder", type=Path)
    running.add_argument("--size", type=int, default=20_000, help="side of the mosaic, pixels")
    running.add_argument("--columns", type=int, default=10, help="tiles of two exposures")
    running.add_argument("--rows", type=int, default=8)
    running.add_argument("--npix", type=int, default=512, help="side of an exposure, pixels")
    running.add_argument("--sources", type=int, default=10, help="stars on an exposure")
    running.add_argument("--cores", type=int, default=2)
    options = parser.parse_args()
    options.folder = options.folder.resolve()
    options.folder.mkdir(parents=True, exist_ok=True)
    if options.command == "plan":
        result = plan(options.folder, options.exposures)
    else:
        result = large_mosaic(options)
        for rule, cost in result["rules"].items():
            print(rule, {name: round(value, 1) for name, value in cost.items()})
    print(json.dumps(result))


if __name__ == "__main__":
    main()
