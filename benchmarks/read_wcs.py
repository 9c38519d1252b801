"""CPU time of reading an exposure's gWCS, as assign_wcs makes it of real reference files.

PYTHONPATH=lib:tests python benchmarks/read_wcs.py REFERENCES
"""

import sys
import time
from pathlib import Path

from agreement import content
from snakewebb.wcs.gwcs_eval import read_tree
from snakewebb.wcs.sampling import geometry_of
from wcs.test_wcs_references import assigned

CASES = {
    "NIRCam": ("jwst_nircam_distortion_0090", "NRCALONG"),
    "MIRI": ("jwst_miri_imager_distortion_flt9", "MIRIMAGE"),
}
RUNS = 20


def seconds(path: Path, detector: str) -> float:
    """Return the least CPU time of reading a tree and laying its lattice of nodes."""
    wcs, info = assigned(path, detector)
    text, (columns, rows) = content(wcs), wcs.bounding_box
    shape = int(rows[1] + 0.5), int(columns[1] + 0.5)
    times = []
    for _ in range(RUNS):
        start = time.process_time()
        geometry_of(read_tree(text), shape, info, detector)
        times.append(time.process_time() - start)
    return min(times)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    found = {name: seconds(folder / f"{file}.asdf", of) for name, (file, of) in CASES.items()}
    for name, value in found.items():
        print(f"{name}: {1000 * value:.1f} ms")
    print(f"MIRI / NIRCam: {found['MIRI'] / found['NIRCam']:.2f}")
