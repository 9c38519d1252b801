"""Run STScI's Coron3Pipeline on an association, offline, and print what it cost as JSON.

Run it with the Python of an environment that has jwst:

    $JWST_PYTHON benchmarks/run_jwst_coron.py ASN FOLDER [--psfmask FILE]
"""

import argparse
import json
import resource
import time
from pathlib import Path

from jwst.pipeline import Coron3Pipeline
from run_jwst import START, __version__


def main() -> None:
    """Run the pipeline as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("association", type=Path)
    parser.add_argument("folder", type=Path, help="for the products")
    parser.add_argument("--psfmask", type=Path, required=True)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    pipeline = Coron3Pipeline()
    pipeline.output_dir = str(options.folder)
    pipeline.save_results = True
    pipeline.align_refs.override_psfmask = str(options.psfmask)
    pipeline.run(str(options.association))
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cost = {
        "jwst": __version__,
        "wall_s": round(time.perf_counter() - START, 1),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_rss_mb": round(usage.ru_maxrss / 1024),
    }
    text = json.dumps(cost, indent=2)
    (options.folder / "cost.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
