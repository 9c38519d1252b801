"""Rows of a catalogue, as what is drawn of it needs them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from snakewebb.io.planes import open_fits


def read_catalog(path: str | Path) -> np.ndarray:
    """Return the catalogue's FITS table, in native numbers."""
    with open_fits(path) as hdus:
        table = hdus["CATALOG"]
        data = table.data
        kinds = [(n, data[n].dtype.newbyteorder("=")) for n in table.columns.names]
        rows = np.empty(len(data), kinds)
        for name, _ in kinds:
            rows[name] = data[name]
    return rows


def by_brightness(sources: np.ndarray) -> np.ndarray:
    """Return the indices of a catalogue's sources, the brightest first, those without flux last."""
    names = [
        n for n in ("kron_flux", "isophotal_flux", "aper_total_flux") if n in sources.dtype.names
    ]
    flux = np.full(len(sources), np.nan)
    for name in names:
        flux = np.where(np.isfinite(flux), flux, sources[name])
    return np.argsort(-np.where(np.isfinite(flux), flux, -np.inf), kind="stable")
