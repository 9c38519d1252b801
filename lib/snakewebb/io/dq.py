"""Data-quality bits of JWST products.

Source: JWST documentation, "Data quality flags" (jwst-pipeline, "DQ").
"""

from snakewebb.errors import InputError

BITS = {
    "DO_NOT_USE": 1,
    "SATURATED": 1 << 1,
    "JUMP_DET": 1 << 2,
    "DROPOUT": 1 << 3,
    "OUTLIER": 1 << 4,
    "PERSISTENCE": 1 << 5,
    "AD_FLOOR": 1 << 6,
    "CHARGELOSS": 1 << 7,
    "NON_SCIENCE": 1 << 9,
    "DEAD": 1 << 10,
    "HOT": 1 << 11,
    "WARM": 1 << 12,
    "LOW_QE": 1 << 13,
    "RC": 1 << 14,
    "TELEGRAPH": 1 << 15,
    "NONLINEAR": 1 << 16,
    "BAD_REF_PIXEL": 1 << 17,
    "NO_FLAT_FIELD": 1 << 18,
    "NO_GAIN_VALUE": 1 << 19,
    "NO_LIN_CORR": 1 << 20,
    "NO_SAT_CHECK": 1 << 21,
    "UNRELIABLE_BIAS": 1 << 22,
    "UNRELIABLE_DARK": 1 << 23,
    "UNRELIABLE_SLOPE": 1 << 24,
    "UNRELIABLE_FLAT": 1 << 25,
    "OPEN": 1 << 26,
    "ADJ_OPEN": 1 << 27,
    "FLUX_ESTIMATED": 1 << 28,
    "MSA_FAILED_OPEN": 1 << 29,
    "OTHER_BAD_PIXEL": 1 << 30,
    "REFERENCE_PIXEL": 1 << 31,
}
ALL = 0xFFFFFFFF

DO_NOT_USE = BITS["DO_NOT_USE"]
OUTLIER = BITS["OUTLIER"]
NON_SCIENCE = BITS["NON_SCIENCE"]


def bad_mask(good_bits: str | int | None) -> int:
    """Return the bits that make a pixel bad.

    Parameters
    ----------
    good_bits : str, int or None
        The bits to ignore: names or integers joined by ``+``, ``,`` or ``|``; a leading ``~``
        inverts (everything *but* these is ignored). None ignores every bit, 0 none.

    Returns
    -------
    int
        A pixel is bad where ``dq & mask`` is not 0.

    Raises
    ------
    InputError
        A name is not that of a DQ bit.
    """
    if good_bits is None:
        return 0
    text = str(good_bits).strip()
    if text.upper() in {"NONE", ""}:
        return 0
    inverted = text.startswith("~")
    ignored = 0
    for word in text.lstrip("~").strip("() ").replace("+", ",").replace("|", ",").split(","):
        name = word.strip().upper()
        if name.isdigit():
            ignored |= int(name)
        elif name in BITS:
            ignored |= BITS[name]
        else:
            raise InputError(
                f"{good_bits!r:.60}: {word.strip()!r:.60} is no DQ bit: one of {', '.join(BITS)}"
            )
    return ignored & ALL if inverted else ~ignored & ALL
