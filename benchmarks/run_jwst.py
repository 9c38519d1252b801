"""Run STScI's Image3Pipeline on an association, offline, and print what it cost as JSON.

Run it with the Python of an environment that has jwst:

    $JWST_PYTHON benchmarks/run_jwst.py ASN FOLDER --references FOLDER [--settings fast]
"""

import argparse
import json
import os
import resource
import tempfile
import time
from pathlib import Path

START = time.perf_counter()
os.environ["CRDS_SERVER_URL"] = "https://crds-serverless-mode.stsci.edu"
os.environ["CRDS_PATH"] = tempfile.mkdtemp()
os.environ["CRDS_CONTEXT"] = "jwst_1100.pmap"

import stpipe.crds_client  # noqa: E402
from jwst import __version__  # noqa: E402
from jwst.datamodels import ModelLibrary  # noqa: E402
from jwst.pipeline import Image3Pipeline  # noqa: E402
from stdatamodels.jwst import datamodels  # noqa: E402

stpipe.crds_client.get_context_used = lambda *_: os.environ["CRDS_CONTEXT"]

STEPS = ("tweakreg", "skymatch", "outlier_detection", "resample", "source_catalog")
SETTINGS = {"default": {}, "fast": {"pixmap_stepsize": 10, "pixmap_order": 3}}


def make_pipeline(
    folder: Path, references: Path, settings: str, steps: list[str]
) -> Image3Pipeline:
    """Return the pipeline, with all steps but the given ones switched off."""
    pipeline = Image3Pipeline()
    pipeline.output_dir = str(folder)
    pipeline.save_results = True
    for name in STEPS:
        getattr(pipeline, name).skip = name not in steps
    for name, value in SETTINGS[settings].items():
        setattr(pipeline.outlier_detection, name, value)
        setattr(pipeline.resample, name, value)
    pipeline.tweakreg.save_results = steps == ["tweakreg"]
    pipeline.source_catalog.override_apcorr = str(references / "apcorr.fits")
    pipeline.source_catalog.override_abvegaoffset = str(references / "abvegaoffset.asdf")
    return pipeline


def clock(pipeline: Image3Pipeline) -> dict[str, float]:
    """Make the steps note their wall time in the dictionary returned."""
    seconds = {}

    def timed(name, run):
        def wrapper(*args, **kwargs):
            start = time.perf_counter()
            result = run(*args, **kwargs)
            seconds[name] = round(time.perf_counter() - start, 2)
            return result

        return wrapper

    for name in STEPS:
        step = getattr(pipeline, name)
        step.run = timed(name, step.run)
    return seconds


def with_alignment(asn: Path, products: Path) -> ModelLibrary:
    """Return the association's exposures with WCS and sky level of ``_crf`` files in a folder."""
    library = ModelLibrary(str(asn), asn_exptypes=["science"])
    with library:
        for index, model in enumerate(library):
            name = model.meta.filename.removesuffix("_cal.fits")
            (path,) = products.glob(f"{name}_*_crf.fits")
            with datamodels.open(path) as crf:
                model.meta.wcs = crf.meta.wcs
                model.meta.wcsinfo.s_region = crf.meta.wcsinfo.s_region
                model.meta.background = crf.meta.background.instance
            library.shelve(model, index)
    return library


def main() -> None:
    """Run the pipeline as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("association", type=Path)
    parser.add_argument("folder", type=Path, help="for the products")
    parser.add_argument(
        "--references", type=Path, required=True, help="folder that references.py has filled"
    )
    parser.add_argument("--settings", choices=SETTINGS, default="default")
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=STEPS, help="all by default")
    parser.add_argument(
        "--alignment-from",
        type=Path,
        metavar="FOLDER",
        help="take WCS and sky level from the _crf files here, and skip tweakreg and skymatch",
    )
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    steps, exposures = options.steps, str(options.association)
    if options.alignment_from:
        steps = [name for name in steps if name not in ("tweakreg", "skymatch")]
        exposures = with_alignment(options.association, options.alignment_from)
    pipeline = make_pipeline(options.folder, options.references, options.settings, steps)
    seconds = clock(pipeline)
    begin = time.perf_counter()
    pipeline.run(exposures)
    end = time.perf_counter()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cost = {
        "jwst": __version__,
        "settings": options.settings,
        "wall_s": round(end - START, 1),
        "imports_s": round(begin - START, 1),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_rss_mb": round(usage.ru_maxrss / 1024),
        "steps_s": seconds,
    }
    text = json.dumps(cost, indent=2)
    (options.folder / "cost.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
