"""Compare full-frame KLIP with that of pyKLIP and VIP on one aligned cube: residuals and time.

    python benchmarks/klip_peers.py CRFINTS PSFALIGN --pyklip PYTHON --vip PYTHON

CRFINTS and PSFALIGN are products of the same exposure, the PYTHONs interpreters of environments
that hold the packages. Each program gets one thread and the best of five runs counts, without
imports: all integrations of the exposure, all modes asked for in one call if the package can.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

RUNS = 5
THREADS = ("OPENBLAS", "OMP", "MKL", "NUMBA")


def timed(work):
    """Return the result and the least time, seconds, of some runs."""
    least = np.inf
    for _ in range(RUNS):
        start = time.perf_counter()
        result = work()
        least = min(least, time.perf_counter() - start)
    return np.asarray(result), least


def ours(target, references, modes):
    """Return residuals (modes, integrations, y, x)."""
    from snakewebb.coronagraphy.klip import KlipOptions, Library

    library = Library(references, options=KlipOptions(truncate=modes))
    return [part.data for part in library.subtract(target)]


def pyklip(target, references, modes):
    """Return residuals (modes, integrations, y, x)."""
    from pyklip.klip import klip_math

    flat = references.reshape(len(references), -1)
    parts = [klip_math(image.ravel(), flat, np.array(modes)) for image in target]
    return np.moveaxis(np.array(parts), 2, 0).reshape(len(modes), *target.shape)


def vip(target, references, modes):
    """Return residuals (modes, integrations, y, x)."""
    from vip_hci.psfsub import pca

    setting = {"cube_ref": references, "scaling": "spat-mean", "verbose": False}
    setting |= {"svd_mode": "lapack", "full_output": True}
    angles = np.zeros(len(target))
    return [pca(target, angles, ncomp=number, **setting)[3] for number in modes]


PACKAGES = {"snakewebb": ours, "pyklip": pyklip, "vip": vip}


def compute(package: str, folder: Path) -> None:
    """Run one package on ``data.npz`` of a folder and leave ``{package}.npz`` there."""
    data = np.load(folder / "data.npz")
    arrays = data["target"], data["references"], data["modes"].tolist()
    result, seconds = timed(lambda: PACKAGES[package](*arrays))
    np.savez(folder / f"{package}.npz", result=result, seconds=seconds)


def run(package: str, interpreter: str, folder: Path) -> dict[str, np.ndarray]:
    """Run one package in its own environment, on one thread."""
    environment = {**os.environ, **{f"{name}_NUM_THREADS": "1" for name in THREADS}}
    command = [interpreter, __file__, "--compute", package, str(folder)]
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    return dict(np.load(folder / f"{package}.npz"))


def main() -> None:
    """Run all packages as the command line says and print figures as JSON."""
    from snakewebb.coronagraphy.repair import repair_pixels
    from snakewebb.coronagraphy.stack_refs import read_cube
    from snakewebb.io.planes import read_planes

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("crfints", type=Path)
    parser.add_argument("psfalign", type=Path)
    parser.add_argument("--pyklip", required=True, metavar="PYTHON")
    parser.add_argument("--vip", required=True, metavar="PYTHON")
    parser.add_argument("--modes", type=int, nargs="+", default=[5, 20])
    options = parser.parse_args()
    cube = read_cube(options.crfints)
    target, *_ = repair_pixels(cube.data, cube.dq)
    references = read_planes(options.psfalign, ("SCI",))["SCI"].astype(np.float64)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.savez(folder / "data.npz", target=target, references=references, modes=options.modes)
        found = {
            package: run(package, interpreter, folder)
            for package, interpreter in (
                ("snakewebb", sys.executable),
                ("pyklip", options.pyklip),
                ("vip", options.vip),
            )
        }
    mine = found["snakewebb"]["result"]
    rms = np.sqrt((mine**2).mean(axis=(1, 2, 3)))
    figures = {
        package: {
            "seconds": float(each["seconds"]),
            "rms of difference / rms of residual": [
                float(np.sqrt(((part - own) ** 2).mean()) / scale)
                for part, own, scale in zip(each["result"], mine, rms, strict=True)
            ],
        }
        for package, each in found.items()
    }
    shape = {"target": list(target.shape), "references": len(references), "modes": options.modes}
    print(json.dumps({**shape, **figures}, indent=2))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--compute"]:
        compute(sys.argv[2], Path(sys.argv[3]))
    else:
        main()
