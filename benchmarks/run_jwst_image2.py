"""Run STScI's Image2Pipeline on associations, offline, and print what it cost as JSON.

Run it with the Python of an environment that has jwst:

    $JWST_PYTHON benchmarks/run_jwst_image2.py FOLDER ASN... --crds FOLDER [--steps ...]

The CRDS cache is one that ``python -m snakewebb.simulate PRESET FOLDER --rate`` has made.
"""

import argparse
import json
import os
import resource
import time
from pathlib import Path

STEPS = ("bkg_subtract", "assign_wcs", "flat_field", "photom", "resample")
SETTINGS = {"default": {}, "fast": {"pixmap_stepsize": 10, "pixmap_order": 3}}


def main() -> None:
    """Run the pipeline as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="for the products")
    parser.add_argument("associations", type=Path, nargs="+", help="or _rate files")
    parser.add_argument("--crds", type=Path, required=True, help="a CRDS cache")
    parser.add_argument("--context", default="jwst_0001.pmap")
    parser.add_argument(
        "--steps", nargs="+", choices=STEPS, default=STEPS[:-1], help="by default all but resample"
    )
    parser.add_argument("--settings", choices=SETTINGS, default="default")
    options = parser.parse_args()
    start = time.perf_counter()
    os.environ["CRDS_SERVER_URL"] = "https://crds-serverless-mode.stsci.edu"
    os.environ["CRDS_PATH"] = str(options.crds.resolve())
    os.environ["CRDS_CONTEXT"] = options.context
    os.environ["CRDS_READONLY_CACHE"] = "1"

    from jwst import __version__
    from jwst.pipeline import Image2Pipeline

    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    begin = time.perf_counter()
    for path in [path.resolve() for path in options.associations]:
        os.chdir(path.parent)  # members of associations are looked for here
        pipeline = Image2Pipeline()
        pipeline.output_dir = str(folder)
        pipeline.save_results = True
        for name in STEPS:
            getattr(pipeline, name).skip = name not in options.steps
        for name, value in SETTINGS[options.settings].items():
            setattr(pipeline.resample, name, value)
        pipeline.run(str(path))
    end = time.perf_counter()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cost = {
        "jwst": __version__,
        "exposures": len(options.associations),
        "wall_s": round(end - start, 1),
        "imports_s": round(begin - start, 1),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_rss_mb": round(usage.ru_maxrss / 1024),
    }
    text = json.dumps(cost, indent=2)
    (folder / "cost.json").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
