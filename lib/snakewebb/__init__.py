"""snakewebb: JWST stage-3 imaging and coronagraphy as a workflow.

Import the modules you need: ``from snakewebb import resample``. Nothing is re-exported here,
because a job costs its imports.
"""

import hashlib
import os
from pathlib import Path

__version__ = "0.1.0"


def _kernel_cache() -> str:
    """Return a folder for compiled kernels that belongs to this very source code.

    numba does not notice an edit in a module that a cached kernel calls, so the folder is keyed
    by the content of all kernels.
    """
    digest = hashlib.sha256()
    for module in sorted((Path(__file__).parent / "kernels").glob("*.py")):
        digest.update(module.name.encode())
        digest.update(module.read_bytes())
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return str(Path(caches) / "snakewebb" / digest.hexdigest()[:16])


os.environ["NUMBA_CACHE_DIR"] = _kernel_cache()
