"""Compile all kernels, once, rather than in the first jobs: ``python -m snakewebb.kernels``.

Importing does it, since kernels have signatures. They are named one by one for the workflow, which
finds out from imports what to do again after an edit.
"""

from snakewebb.kernels import (  # noqa: F401
    background,
    centroids,
    deblending,
    detection,
    drizzle,
    groups,
    matched_filter,
    median,
    noise,
    outlier_detection,
    photometry,
    pixel_map,
    shapes,
    skymatch,
    star_finders,
    wings,
)
