"""Tables in FITS files. Astropy's class for tables would import asdf."""

from __future__ import annotations

import numpy as np
from astropy.io import fits

FORMATS = {"U": "A", "b": "L", "i": "K", "f": "D"}
"""Of columns in FITS tables, by NumPy's kinds: text, Boolean and numbers of 64 bits."""


def table_hdu(name: str, table: np.ndarray) -> tuple[fits.Header, bytes]:
    """Return the header and the content of an extension that holds a table.

    Parameters
    ----------
    name : str
        Of the extension.
    table : structured (n,) array
        Of text, Booleans and numbers of 64 bits.
    """
    columns = {column: _bytes(table[column]) for column in table.dtype.names}
    header = fits.Header(
        [
            ("XTENSION", "BINTABLE", "binary table extension"),
            ("BITPIX", 8, "array data type"),
            ("NAXIS", 2, "number of array dimensions"),
            ("NAXIS1", sum(c.shape[1] for c in columns.values()), "length of dimension 1"),
            ("NAXIS2", len(table), "length of dimension 2"),
            ("PCOUNT", 0, "number of group parameters"),
            ("GCOUNT", 1, "number of groups"),
            ("TFIELDS", len(columns), "number of table fields"),
        ]
    )
    for number, (column, stored) in enumerate(columns.items(), 1):
        kind = table.dtype[column].kind
        header[f"TTYPE{number}"] = column
        header[f"TFORM{number}"] = f"{stored.shape[1] if kind == 'U' else ''}{FORMATS[kind]}"
    header["EXTNAME"] = (name, "extension name")
    header["EXTVER"] = (1, "extension value")
    return header, np.hstack(list(columns.values())).tobytes()


def _bytes(values: np.ndarray) -> np.ndarray:
    """Return the bytes of a column of a FITS table, a row for each."""
    if values.dtype.kind == "b":
        stored = np.where(values, b"T", b"F")
    elif values.dtype.kind == "U":
        stored = values.astype("S")
    else:
        stored = values.astype(values.dtype.newbyteorder(">"))
    return np.ascontiguousarray(stored).view(np.uint8).reshape(len(values), -1)
