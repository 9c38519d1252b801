"""Ask MAST which files products are to be made of."""

import logging
import sys
from collections.abc import Mapping
from typing import Any

from snakewebb.archive.criteria import criteria_of
from snakewebb.archive.lock import as_query, lock_path, write_lock
from snakewebb.archive.mast import find_files

logger = logging.getLogger(__name__)


def query(products: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the lists of the files of products, where MAST has others than before.

    Parameters
    ----------
    products : mapping
        By name, what is asked for: ``mast`` of the configuration, completed.

    Raises
    ------
    InputError
    """
    for name, asked in products.items():
        criteria = criteria_of(name, asked)
        files = find_files(name, criteria)
        changed = write_lock(lock_path(name), as_query(criteria), files)
        size = sum(file.size for file in files) / 1e9
        words = f"{name}: {len(files)} files, {size:.1f} GB: {lock_path(name)}"
        words += "" if changed else ", as before"
        logger.info(words)
        print(f"snakewebb: {words}", file=sys.stderr)
