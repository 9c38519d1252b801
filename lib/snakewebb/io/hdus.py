"""Exposures as HDUs that agree with each other, ready to be copied.

What in a file holds only for the bytes as they are there does not go into a copy: check sums, the
form in which images are compressed or scaled, arrays that the ASDF tree names but that are not
there, and planes that do not fit to the image.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from astropy.io import fits

from snakewebb.errors import InputError
from snakewebb.io.asdf_tree import NDARRAY, AsdfTree, extension
from snakewebb.io.fits_structure import find, open_unpacked, read_tree, structure
from snakewebb.io.planes import PLANES, lost_extensions, misfits, read_planes

SUMS = ("CHECKSUM", "DATASUM")
FORM = ("BSCALE", "BZERO", "BLANK", "ZBLANK", "ZSCALE", "ZZERO")
"""How pixels were stored."""


@contextmanager
def open_copy(path: str | Path, *, integrations: bool = False) -> Iterator[fits.HDUList]:
    """Open an exposure to be changed and written under another name.

    Headers are as they are in the file; see `forget_sums`.

    Parameters
    ----------
    path : path
        The exposure.
    integrations : bool, optional
        Whether an image becomes a cube of one integration.

    Raises
    ------
    InputError
        The file cannot be read.
    """
    odd = [unit.name for unit in structure(path) if unit.shape and unit.dtype is None]
    odd = [name for name in PLANES if name in odd]
    with open_unpacked(path) as file:
        try:
            hdus = fits.open(file, memmap=False, disable_image_compression=True)
            for unit in structure(path)[1:]:
                no_plane = unit.name in PLANES and unit.kind != "IMAGE"
                if no_plane or unit.name in misfits(path):
                    hdus.pop(unit.name)
            if odd:
                _store_plainly(hdus, path, odd)
            if integrations and len(find(path, "SCI").shape) == 2:
                for name in PLANES:
                    if name != "AREA" and name in hdus and hdus[name].shape:
                        hdus[name].data = hdus[name].data[None]
        except InputError:
            raise
        except Exception as error:  # what astropy makes of broken headers is of many kinds
            raise InputError(f"{path}: cannot be copied ({error}): fetch it again") from error
        with hdus:
            yield hdus


def forget_sums(hdus: Iterable[Any]) -> None:
    """Remove the check sums of other bytes from headers."""
    for hdu in hdus:
        for key in SUMS:
            hdu.header.remove(key, ignore_missing=True)


def _store_plainly(hdus: fits.HDUList, path: str | Path, names: list[str]) -> None:
    """Put images in place of compressed or scaled ones, with their values."""
    planes = read_planes(path, names)
    with open_unpacked(path) as file, fits.open(file, memmap=False) as unpacked:
        for name in names:
            header = unpacked[name].header.copy()
            for key in FORM:
                header.remove(key, ignore_missing=True)
            hdus[hdus.index_of(name)] = fits.ImageHDU(planes[name], header, name=name)


def sound_tree(path: str | Path) -> AsdfTree:
    """Return the ASDF tree in a product, without arrays that are not there or do not fit.

    Raises
    ------
    ValueError
        It is no ASDF file.
    """
    tree = AsdfTree(read_tree(path))
    lost = set(lost_extensions(path))
    if find(path, "SCI") is not None:
        lost |= {(name, 1) for name in misfits(path)}
    if not lost:
        return tree
    sources = {f"fits:{name},{number}" for name, number in lost}
    return tree.change({}, [place for place, at in _arrays(tree.node()) if at in sources])


def sound_hdu(path: str | Path) -> fits.BinTableHDU:
    """Return the extension that holds `sound_tree`."""
    return fits.BinTableHDU.fromstring(extension(sound_tree(path).to_bytes()))


def _arrays(node: yaml.Node, place: str = "") -> Iterator[tuple[str, str]]:
    """Find the arrays of a tree that are in other extensions: their places, and which."""
    for key, below in node.value if isinstance(node, yaml.MappingNode) else ():
        at = f"{place}.{key.value}".lstrip(".")
        if below.tag.startswith(NDARRAY) and isinstance(below, yaml.MappingNode):
            sources = [item.value for name, item in below.value if name.value == "source"]
            yield from ((at, str(source)) for source in sources)
        else:
            yield from _arrays(below, at)


def unknown_cards(tree: AsdfTree) -> dict[str, list]:
    """Return the cards that are not in JWST's schema, by extension, as stdatamodels keeps them.

    Without check sums, see `forget_sums`.
    """
    found = tree.value("extra_fits") or {}
    cards = {name: unknown["header"] for name, unknown in found.items() if "header" in unknown}
    return {name: [card for card in kept if card[0] not in SUMS] for name, kept in cards.items()}
