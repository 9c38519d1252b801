"""The files of contrast: curve, detections, SNR map."""

from __future__ import annotations

import logging
from pathlib import Path

from astropy.io import fits

from snakewebb.coronagraphy.contrast import Contrast
from snakewebb.io.atomic import replacing, write_ecsv
from snakewebb.io.checksums import make_room, seal
from snakewebb.io.planes import open_fits
from snakewebb.io.provenance import ORIGIN, date, history

log = logging.getLogger(__name__)


def write_contrast(
    contrast: Contrast,
    i2d: str | Path,
    curve: str | Path,
    sources: str | Path,
    snr: str | Path,
) -> None:
    """Write the contrast curve and the sources (ECSV) and the SNR map (FITS).

    Parameters
    ----------
    contrast : Contrast
    i2d : path
        The combined image, whose WCS the map gets.
    curve, sources, snr : path
        The files to write.
    """
    for table, path in ((contrast.curve, curve), (contrast.sources, sources)):
        write_ecsv(path, table)
    with open_fits(i2d) as hdus:
        primary, header = hdus[0].header.copy(), hdus["SCI"].header.copy()
    header["BUNIT"] = ("", "signal-to-noise ratio")
    primary["FILENAME"] = Path(snr).name
    outcome = contrast.curve.meta.get("contrast", {"status": "COMPLETE"})
    for line in history({"contrast": outcome}, {"contrast": outcome["status"]}):
        primary["HISTORY"] = line
    primary["DATE"], primary["ORIGIN"] = date(), ORIGIN
    hdus = [fits.PrimaryHDU(header=primary), fits.ImageHDU(contrast.snr, header, name="SNR")]
    make_room(hdu.header for hdu in hdus)
    with replacing(snr) as file:
        fits.HDUList(hdus).writeto(file)
        seal(file)
    log.info("wrote %s, %s and %s", curve, sources, snr)
