"""What jobs of stage 2 ask of a count rate before they work on it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from snakewebb.errors import InputError
from snakewebb.io.fits_structure import exposure_header, find
from snakewebb.io.headers import header_of
from snakewebb.io.planes import check_exposure

UNITS = {False: "DN/s", True: "MJy/sr"}
KINDS = {False: "a _rate or _rateints", True: "a _cal or _calints"}


def check_rate(path: str | Path, *, calibrated: bool = False) -> Mapping[str, str]:
    """Check that an exposure is a count rate, and return its header.

    Parameters
    ----------
    path : path
    calibrated : bool, optional
        Whether it should be in MJy/sr instead.

    Raises
    ------
    InputError
        It has no pixel, is in other units, went through stage 2 already, or cannot be read.
    """
    image = find(path, "SCI")
    wanted = KINDS[calibrated]
    if image is None:
        raise InputError(f"{path}: has no SCI extension: give {wanted}")
    if not image.shape:
        axes = header_of(path, image)
        lengths = [axes.get(f"NAXIS{n}") for n in range(axes.get("NAXIS", 0), 0, -1)]
        what = "0 integrations" if len(lengths) == 3 and lengths[0] == 0 else "no pixel"
        raise InputError(f"{path}: SCI has {what}: give {wanted}")
    check_exposure(path)
    header = exposure_header(path)
    unit = header.get("BUNIT", "")
    status = header.get("S_PHOTOM", "").upper() == "COMPLETE"
    same = unit.replace(" ", "").upper() == UNITS[calibrated].upper()
    if (unit and not same) or (not unit and status != calibrated):
        raise InputError(
            f"{path}: is in {unit or UNITS[status]}, not {UNITS[calibrated]}: give {wanted}"
        )
    if not calibrated and header.get("S_FLAT", "").upper() == "COMPLETE":
        raise InputError(f"{path}: is divided by a flat field already: give {wanted}")
    return header
