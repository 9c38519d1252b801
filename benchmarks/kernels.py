"""Time each kernel on one core beside the best that others have, and compare results.

    PYTHONPATH=lib python benchmarks/kernels.py --jwst JWST_PYTHON [--size 2048] [--json FILE]

JWST_PYTHON is the interpreter of an environment that has jwst, and with it drizzle and stcal. Each
side works on the same arrays in memory, with one thread; the least time of some runs counts,
without imports and compilation. KLIP beside pyKLIP and VIP: klip_peers.py.
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
PIXFRAC = 1.0
MODES = 20


def inputs(size: int) -> dict[str, np.ndarray]:
    """Return all arrays: an exposure, the way to a mosaic and one back, and coronagraphic cubes."""
    rng = np.random.default_rng(1)
    edge = np.arange(size + 1) - 0.5

    def forward(x, y):
        """Turn by a degree and bend by some pixels."""
        u, v = x - 0.0175 * y + 2e-6 * x * y, y + 0.0175 * x - 1e-6 * x * x
        return u + 0.02 * size, v + 0.01 * size

    y, x = np.indices((size, size), float)
    u, v = forward(x, y)
    corner_u, corner_v = forward(*np.meshgrid(edge, edge))
    sci = rng.normal(0.2, 0.02, (size, size)).astype("f4")
    sci[rng.integers(0, size, 4000), rng.integers(0, size, 4000)] += 3.0
    variances = rng.uniform(1e-4, 4e-4, (3, size, size)).astype("f4")
    mosaic = rng.normal(0.2, 0.005, (int(1.06 * size),) * 2).astype("f4")
    yy, xx = np.indices((320, 320)) - 160.0

    def star(dx, dy):
        r = np.hypot(xx - dx, yy - dy)
        return 100 * np.sinc(r / 12) ** 2 + 5 / (1 + r)

    shifts = rng.uniform(-1, 1, (12, 2))
    references = np.array([star(*s) for s in shifts]) + rng.normal(0, 0.05, (12, 320, 320))
    target = star(0, 0) + rng.normal(0, 0.05, (6, 320, 320))
    library = star(0, 0) + rng.normal(0, 1, (27, 320, 320))
    mask = (np.hypot(xx, yy) < 50).astype(float)
    return {
        "u": u,
        "v": v,
        "corner_u": corner_u,
        "corner_v": corner_v,
        "sci": sci,
        "variances": variances,
        "mosaic": mosaic,
        "references": references,
        "target": target,
        "library": library,
        "mask": mask,
    }


def timed(work):
    """Return the result and the least time, seconds, of some runs."""
    least = np.inf
    for _ in range(RUNS):
        start = time.perf_counter()
        result = work()
        least = min(least, time.perf_counter() - start)
    return result, least


def ours(data: dict[str, np.ndarray]) -> dict:
    """Return by kernel what it is to do; that returns arrays."""
    from snakewebb.coronagraphy.fourier import fourier_shift
    from snakewebb.coronagraphy.klip import KlipOptions, Library
    from snakewebb.coronagraphy.registration import Template
    from snakewebb.kernels.drizzle import MARGIN, drizzle_square
    from snakewebb.kernels.outlier_detection import blot
    from snakewebb.kernels.resample import add_exposure, divide_totals
    from snakewebb.kernels.skymatch import MEDIAN, MODE, sky_statistic

    sci, variances, mosaic = data["sci"], tuple(data["variances"]), data["mosaic"]
    shape = mosaic.shape
    weight = np.ones_like(sci)

    def drizzle():
        sums = np.zeros((shape[0] + 2 * MARGIN, shape[1] + 2 * MARGIN, 8))
        u, v = data["corner_u"], data["corner_v"]
        drizzle_square(u, v, PIXFRAC, weight, (sci, *variances), 0.0, 1.0, 0, 0, sums)
        totals, context = np.zeros((9, *shape)), np.zeros(shape, np.uint32)
        add_exposure(sums, 0, 0, 1.0, totals, context, np.uint32(1))
        image, wht = np.empty((2, *shape), np.float32)
        means = np.empty((4, *shape), np.float32)
        divide_totals(totals, np.nan, 1.0, image, wht, means)
        return {"sci": image, "wht": wht, "con": context, "var": means[:3]}

    def sky(kind):
        limits = -np.inf, np.inf, 5, 4.0, 4.0, 0.1
        return lambda: {"level": sky_statistic(sci.ravel(), kind, *limits)[0]}

    mosaics = np.stack((mosaic, mosaic), axis=1)  # two medians

    def sample():
        models = np.empty((2, *sci.shape), np.float32)
        blot(mosaics, 0, 0, shape, data["u"], data["v"], 0, 0, models)
        return {"model": models[0]}

    def align():
        template = Template(data["target"][0], data["mask"])
        found = np.array([template.offset(image).shift for image in data["references"]])
        return {"shifts": found, "aligned": fourier_shift(data["references"], -found)}

    def klip():
        (result,) = Library(data["library"], options=KlipOptions(truncate=MODES)).subtract(
            data["target"]
        )
        return {"residual": result.data}

    return {
        "drizzle": drizzle,
        "sky mode": sky(MODE),
        "sky median": sky(MEDIAN),
        "blot": sample,
        "alignment": align,
        "KLIP": klip,
    }


def peers(data: dict[str, np.ndarray]) -> dict:
    """Return the same of drizzle, stcal and jwst."""
    from drizzle.resample import Drizzle, blot_image
    from jwst.coron import imageregistration
    from jwst.coron import klip as klip_module
    from stcal.skymatch.skystatistics import SkyStats
    from stdatamodels.jwst.datamodels import CubeModel

    sci, mosaic = data["sci"], data["mosaic"]
    pixmap = np.dstack((data["u"], data["v"]))
    weight = np.ones_like(sci)

    def coadd(image, **options):
        result = Drizzle(kernel="square", fillval="NAN", out_shape=mosaic.shape, **options)
        result.add_image(image, 1.0, pixmap, weight_map=weight, pixfrac=PIXFRAC)
        return result

    def drizzle():
        image = coadd(sci)
        means = [coadd(np.sqrt(v), disable_ctx=True).out_img ** 2 for v in data["variances"]]
        wht, con = image.out_wht, image.out_ctx[0].view(np.uint32)
        return {"sci": image.out_img, "wht": wht, "con": con, "var": np.array(means)}

    def sky(kind):
        return lambda: {"level": SkyStats(skystat=kind).calc_sky(sci.ravel())[0]}

    def sample():
        # pix_ratio and exptime are 1 by default
        return {"model": blot_image(mosaic, pixmap, fillval=np.nan, interp="linear")}

    def align():
        aligned, found = imageregistration.align_array(
            data["target"][0], data["references"], mask=data["mask"]
        )
        return {"shifts": found[:, :2], "aligned": aligned}

    def klip():
        target, library = (CubeModel(data[n].astype("f4")) for n in ("target", "library"))
        return {"residual": klip_module.klip(target, library, MODES)[0].data}

    return {
        "drizzle": drizzle,
        "sky mode": sky("mode"),
        "sky median": sky("median"),
        "blot": sample,
        "alignment": align,
        "KLIP": klip,
    }


def compute(side: str, folder: Path) -> None:
    """Run one side on ``data.npz`` of a folder; leave results and times there."""
    data = dict(np.load(folder / "data.npz"))
    kernels = {"ours": ours, "peers": peers}[side](data)
    seconds = {}
    for name, work in kernels.items():
        result, seconds[name] = timed(work)
        np.savez(folder / f"{side} {name}.npz", **result)
    (folder / f"{side}.json").write_text(json.dumps(seconds))


def run(side: str, interpreter: str, folder: Path) -> dict[str, float]:
    """Run one side in its own environment, on one thread; return its times."""
    environment = {**os.environ, **{f"{name}_NUM_THREADS": "1" for name in THREADS}}
    command = [interpreter, __file__, "--compute", side, str(folder)]
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    return json.loads((folder / f"{side}.json").read_text())


def agreement(name: str, folder: Path) -> dict[str, float]:
    """Return how much the two sides' results differ.

    Of flags and context the share of pixels; of other arrays the rms of the difference over that of
    the values, where both have one.
    """
    a, b = (np.load(folder / f"{side} {name}.npz") for side in ("ours", "peers"))
    differ = {}
    for key in a:
        mine, theirs = a[key], b[key]
        if mine.dtype.kind in "bu":
            differ[key] = float(np.mean(mine != theirs))
        else:
            both = np.isfinite(mine) & np.isfinite(theirs)
            step = np.subtract(mine, theirs, dtype=float)[both]
            scale = np.square(theirs, dtype=float)[both].mean()
            differ[key] = float(np.sqrt((step**2).mean() / scale))
    return differ


def main() -> None:
    """Run both sides as the command line says and print a table."""
    if sys.argv[1] == "--compute":
        compute(sys.argv[2], Path(sys.argv[3]))
        return
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jwst", required=True, metavar="PYTHON")
    parser.add_argument("--size", type=int, default=2048, help="of the exposure, pixels")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.savez(folder / "data.npz", **inputs(options.size))
        mine = run("ours", sys.executable, folder)
        theirs = run("peers", options.jwst, folder)
        result = {
            kernel: {
                "ours_s": mine[kernel],
                "peer_s": theirs[kernel],
                "ratio": theirs[kernel] / mine[kernel],
                "difference": agreement(kernel, folder),
            }
            for kernel in mine
        }
    print("| kernel | ours, s | peer, s | times faster | difference |\n|---|---|---|---|---|")
    for kernel, each in result.items():
        numbers = " | ".join(f"{each[key]:.3g}" for key in ("ours_s", "peer_s", "ratio"))
        differ = ", ".join(f"{key} {value:.1g}" for key, value in each["difference"].items())
        print(f"| {kernel} | {numbers} | {differ} |")
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
