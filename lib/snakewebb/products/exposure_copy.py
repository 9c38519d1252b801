"""Copies of exposures with other pixels, planes, metadata and pointing.

Their bytes and the text of their ASDF tree are taken as they are, but for what changes: that is
many times as fast as to read and write a data model.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.io.fits.verify import VerifyWarning

from snakewebb.errors import InputError
from snakewebb.io.asdf_tree import EMPTY, AsdfTree, asdf_unit, fits_array, fits_hash
from snakewebb.io.atomic import replacing
from snakewebb.io.checksums import PIECE, make_room, sum_of, write_unit
from snakewebb.io.exposure_file import ExposureFile, opened
from snakewebb.io.fits_structure import read_cards, structure
from snakewebb.io.hdus import forget_sums, open_copy, unknown_cards
from snakewebb.io.planes import PLANES, Planes
from snakewebb.io.provenance import (
    ORIGIN,
    Provenance,
    cards,
    date,
    history,
    log_statuses,
    noted,
    plain,
)
from snakewebb.io.schema import attributes
from snakewebb.products.stored_pixels import stored_pieces
from snakewebb.wcs.change import WcsChange

MODELS = {2: "ImageModel", 3: "CubeModel"}
"""What an exposure is called in its header, by the dimensions of its image."""


def _is_intact(path: Path, tree: AsdfTree) -> bool:
    """Return whether nobody has changed the headers of a file since its tree was written."""
    units = [unit for unit in structure(path) if unit.name != "ASDF"]
    return tree.value("_fits_hash") == fits_hash(read_cards(path, unit) for unit in units)


def write_copy(
    source: str | Path | ExposureFile,
    target: str | Path,
    planes: Planes,
    *,
    provenance: Provenance,
    metadata: Mapping[str, Any] = MappingProxyType({}),
    wcs: WcsChange | None = None,
    whole: bool = True,
) -> None:
    """Write a copy of an exposure with other pixels, metadata and pointing, maybe with more planes.

    Where headers and tree disagree, because the headers were changed by others, the headers count.
    stdatamodels learns that from the hash of the headers in the tree, so there only a copy of a
    file whose hash is right gets one.

    Parameters
    ----------
    source : path or ExposureFile
        An exposure or a product; one without ASDF tree gets one.
    target : path
        The one to write.
    planes : mapping
        Arrays by extension name, out of ``PLANES``.
    provenance : Provenance
    metadata : mapping, optional
        By node of ``meta``, values or nodes in it.
    wcs : WcsChange, optional
        What of its WCS is new.
    whole : bool, optional
        If not, the copy has just these planes, and what JWST's keywords say: no other extension,
        unknown keyword, history or gWCS.
    """
    planes = {name: np.ascontiguousarray(planes[name], PLANES[name]) for name in planes}
    statuses, notes = provenance.statuses, noted(provenance.notes)
    metadata = plain(metadata)
    model = MODELS[planes["SCI"].ndim]
    changes: dict[str, Any] = {"meta.date": date(), "meta.filename": Path(target).name}
    changes |= {"meta.model_type": model, "meta.origin": ORIGIN}
    changes |= _places({**metadata, "cal_step": statuses}, "meta")
    own = cards(notes)
    source = opened(source)
    tree = source.tree or AsdfTree(EMPTY)
    with warnings.catch_warnings(), open_copy(source.path) as hdus:
        warnings.filterwarnings("ignore", "Card is too long", VerifyWarning)
        agree = _is_intact(source.path, tree) and hdus[0].header.get("DATAMODL") == model
        forget_sums(hdus)
        dropped = ["_fits_hash"] if whole else _strip(hdus, tree, planes)
        for name in planes:
            if name not in hdus:
                hdus.insert(_place(hdus, name), fits.ImageHDU(name=name, ver=1))
            hdus[name].data = planes[name]
            hdus[name].update_header()
        for hdu in hdus:
            _write_keywords(hdu, changes)
        for keyword, value, comment in own:
            hdus[0].header[keyword] = (value, comment)
        for entry in history(notes, statuses):
            hdus[0].header.add_history(entry)
        changes["meta.snakewebb"] = notes
        changes |= _arrays(tree, planes)
        if wcs is not None:
            for key in set(wcs.forgotten) - wcs.keywords.keys():
                hdus["SCI"].header.remove(key, ignore_missing=True)
            pointing = {f"meta.wcsinfo.{key.lower()}": v for key, v in wcs.keywords.items()}
            _write_keywords(hdus["SCI"], pointing)
            changes |= pointing
            dropped += [f"meta.wcsinfo.{name.lower()}" for name in wcs.forgotten]
            changes |= {} if wcs.wcs is None else {"meta.wcs": wcs.wcs}
            changes |= {} if wcs.steps is None else {"meta.wcs.steps": wcs.steps}
        make_room(hdu.header for hdu in hdus)
        unknown = unknown_cards(tree) if whole else {}
        changes |= {f"extra_fits.{name}.header": others for name, others in unknown.items()}
        if "ASDF" in hdus:
            del hdus["ASDF"]
        try:
            hdus.verify("silentfix")
        except fits.VerifyError as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{source}: cannot be copied ({reason:.120}): mend it") from error
        new = {hdus.index_of(name): plane for name, plane in planes.items()}
        with replacing(target) as file:
            headers = [
                write_unit(file, hdu.header.tostring().encode(), _pieces(hdu, new.get(place)))
                for place, hdu in enumerate(hdus)
            ]
            if agree:
                ours = [keyword for keyword, *_ in own]
                others = [card for card in unknown.get("PRIMARY", []) if card[0] not in ours]
                changes["extra_fits.PRIMARY.header"] = [*others, *own]
                changes["_fits_hash"] = fits_hash(header.decode() for header in headers)
            content = tree.change(changes, dropped).to_bytes()
            write_unit(file, *asdf_unit(content))
    source.forget()
    log_statuses(target, statuses)


def _pieces(hdu: Any, plane: np.ndarray | None) -> Iterator[tuple[Any, int]]:
    """Yield the data of a unit as they are to be written, piece by piece, with their sums.

    Those of a plane, or if there is no new one as they are in the file that the unit was read from.
    """
    known = hdu.fileinfo()
    if plane is None and known:
        known["file"].seek(known["datLoc"])
        for start in range(0, known["datSpan"], PIECE):
            data = known["file"].read(min(PIECE, known["datSpan"] - start))
            yield data, sum_of(data)
        return
    plane = hdu.data if plane is None else plane
    if plane is not None:
        yield from stored_pieces(plane)


def _strip(hdus: fits.HDUList, tree: AsdfTree, planes: Planes) -> list[str]:
    """Leave the planes, and of the headers what JWST's schema knows.

    Returns the places in the tree of what does not stay.
    """
    for hdu in list(hdus[1:]):
        if hdu.name not in (*planes, "ASDF"):
            hdus.remove(hdu)
    for name, unknown in unknown_cards(tree).items():
        for keyword, *_ in unknown if name in hdus else []:
            hdus[name].header.remove(keyword, ignore_missing=True, remove_all=True)
    hdus[0].header.remove("HISTORY", ignore_missing=True, remove_all=True)
    kept = ("asdf_library", "history", "meta", *map(_array, planes))
    names = [name.value for name, _ in tree.node().value]
    return ["meta.wcs", "history.entries", *(name for name in names if name not in kept)]


def _places(values: Mapping[str, Any], above: str) -> dict[str, Any]:
    """Return values by their place in a tree."""
    places: dict[str, Any] = {}
    for name, value in values.items():
        place = f"{above}.{name}"
        places |= _places(value, place) if isinstance(value, Mapping) else {place: value}
    return places


def _place(hdus: fits.HDUList, name: str) -> int:
    """Return where a plane belongs: behind all that stand before it in JWST's products."""
    before = list(PLANES)[: list(PLANES).index(name)]
    return 1 + max((hdus.index_of(other) for other in before if other in hdus), default=0)


def _array(name: str) -> str:
    """Return what the data models call a plane."""
    return "data" if name == "SCI" else name.lower()


def _arrays(tree: AsdfTree, planes: Planes) -> dict[str, Any]:
    """Return what to change in a tree for planes that are new or have another shape."""
    changes: dict[str, Any] = {}
    for name, plane in planes.items():
        array = _array(name)
        if tree.node(array) is None:
            changes[array] = fits_array(name, plane.dtype, plane.shape)
        else:
            changes[f"{array}.shape"] = list(plane.shape)
    return changes


def _write_keywords(hdu: Any, values: Mapping[str, Any]) -> None:
    """Put metadata into the header that they belong to, new ones in the order of JWST's schema."""
    header = hdu.header
    extension = hdu.name  # asked of the header each time
    own = [known for known in attributes() if known.hdu == extension]
    keywords = list(header)  # astropy looks through its cards one by one
    place = len(keywords)
    for _, section in groupby(own, lambda known: known.name.split(".")[1]):
        group = list(section)
        there = [keywords.index(known.keyword) for known in group if known.keyword in keywords]
        place = min(there, default=place)
        for name, _, keyword, *_, comment in group:
            if name in values and keyword in keywords:
                header[keyword] = (values[name], comment)
            elif name in values:
                header.insert(place, (keyword, values[name], comment))
                keywords.insert(place, keyword)
            if keyword in keywords:
                place = keywords.index(keyword) + 1
