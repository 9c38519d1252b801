"""All readers whose files are mutated, by name."""

from mutated_exposures import CUBES, EXPOSURES, KEYS, TREES
from mutated_grids import MOSAIC, OUTPUT_I2D, OUTPUT_WCS
from mutated_references import DISTORTION, FILTEROFFSET
from mutated_tables import APCORR, CATALOGUES, PSF, PSFMASK, REFCATS, THROUGHPUT, VEGA
from mutated_text import ASSOCIATIONS, CATFILE, CONFIG, SKYLIST

READERS = {
    reader.name: reader
    for reader in (
        *(EXPOSURES, KEYS, TREES, CUBES, ASSOCIATIONS, CONFIG, CATFILE, SKYLIST),
        *(DISTORTION, FILTEROFFSET),
        *(OUTPUT_WCS, OUTPUT_I2D, MOSAIC, PSFMASK, THROUGHPUT, PSF, APCORR, VEGA),
        *REFCATS,
        *CATALOGUES,
    )
}
