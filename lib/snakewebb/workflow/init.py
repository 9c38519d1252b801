"""A configuration for a folder of files: ``python -m snakewebb.workflow.init FOLDER``.

What is found is written down to be read and edited; nothing is decided that the file does not show.
Standard library only, and YAML.
"""

from __future__ import annotations

import argparse
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from glob import glob
from pathlib import Path
from typing import Any

from snakewebb.errors import InputError, give_up
from snakewebb.io import strict
from snakewebb.io.atomic import write_text
from snakewebb.io.fits_structure import exposure_header
from snakewebb.io.names import FITS, exposure_name, exposure_suffix
from snakewebb.workflow.footprints import Footprint, place_name, together

STAGES = ("cal", "calints", "rate", "rateints")
"""What is taken; of an exposure that is there more than once, the first of these."""
IMAGING = ("NRC_IMAGE", "MIR_IMAGE", "NIS_IMAGE", "FGS_IMAGE")
CORONAGRAPHY = ("NRC_CORON", "MIR_LYOT", "MIR_4QPM")
SAME_ROLL = 1.0
"""Degrees; exposures whose rolls differ by less are of one roll, as dithers are."""
SAME_EPOCH = 30
"""Days; exposures further apart may show stars that have moved, or varied."""
Header = Mapping[str, str]


@dataclass
class Found:
    """What a folder holds.

    Attributes
    ----------
    products : dict
        By name: the files by exptype, and, of coronagraphy without reference stars, ``steps``.
    notes : dict
        By the same names: what they are, in a line.
    remarks : list of str
        What is left out, and why.
    members : dict
        Of products of images, their exposures.
    skies : list of lists of str
        Names of products of images that show the same sky.
    """

    products: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    members: dict[str, list[str]] = field(default_factory=dict)
    skies: list[list[str]] = field(default_factory=list)


def products_in(folder: str | Path) -> Found:
    """Return the products that the exposures below a folder make.

    Images of one instrument, filter and target are a product, or several, if they show separate
    parts of the sky; of coronagraphy those of a mask and
    subarray, too, with the exposures of reference stars (``IS_PSF``) taken in the same way.
    Exposures of a background (``BKGDTARG``) before stage 2 are subtracted from those of the filter.

    Parameters
    ----------
    folder : path

    Raises
    ------
    InputError
        There is no such folder, or no exposure in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder: give the one with your exposures")
    headers, remarks = _headers(folder)
    groups: dict[tuple[str, ...], list[str]] = {}
    unused: Counter[str] = Counter()
    for path, header in headers.items():
        kind = _kind(path, header)
        if kind in (*IMAGING, *CORONAGRAPHY):
            groups.setdefault(_setup(path, header, kind), []).append(path)
        else:
            unused[kind] += 1
    remarks += [f"{number} exposures of {kind} are not used" for kind, number in unused.items()]
    found = Found(remarks=remarks)
    for setup, paths in groups.items():
        _add(found, setup, paths, headers)
    if not found.products:
        raise InputError(
            f"{folder}: no exposures of imaging or coronagraphy in it: give the folder of your "
            "_cal or _rate files"
        )
    products = {path: name for name, own in found.members.items() for path in own}
    for paths in together([path for path in products if Footprint.of(headers[path])], headers):
        names = sorted({products[path] for path in paths})
        found.skies += [names] if len(names) > 1 else []
    return found


def _headers(folder: Path) -> tuple[dict[str, Header], list[str]]:
    """Return the headers of the exposures below a folder, each once; and what is wrong with others.

    What this workflow has made is none, nor is what lies in hidden folders.
    """
    best: dict[str, str] = {}
    remarks = []
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != "results" and name[0] != ".")
        for file in sorted(files):
            stage = exposure_suffix(file)
            if not FITS.search(file) or stage not in STAGES:
                continue
            path, name = os.path.join(root, file), exposure_name(file)
            other = best.setdefault(name, path)
            if other == path:
                continue
            if STAGES.index(stage) < STAGES.index(exposure_suffix(other)):
                best[name] = path
            elif stage == exposure_suffix(other):
                remarks.append(f"{path}: is there twice: {other} is taken")
    headers = {}
    for path in best.values():
        try:
            headers[path] = exposure_header(path)
        except InputError as error:
            remarks.append(str(error))
    return headers, remarks


def _kind(path: str, header: Header) -> str:
    """Return the type of an exposure; where its header lacks it, by the name of its file."""
    cubes = exposure_suffix(path).endswith("ints")
    return header.get("EXP_TYPE") or (CORONAGRAPHY if cubes else IMAGING)[0]


def _target(header: Header) -> str:
    named = (header.get(key, "").strip() for key in ("TARGPROP", "TARGNAME"))
    return next(filter(None, named), f"jw{header.get('PROGRAM', '')}")


def _setup(path: str, header: Header, kind: str) -> tuple[str, ...]:
    """Return what exposures of a product have in common, but for their target."""
    keys = ["INSTRUME", "FILTER", "PUPIL"]
    keys += ["CORONMSK", "SUBARRAY"] if kind in CORONAGRAPHY else []
    cubes = "coronagraphy" if kind in CORONAGRAPHY else "images"
    return (cubes, *(header.get(key, "").strip() for key in keys))


def _add(
    found: Found, setup: tuple[str, ...], paths: list[str], headers: Mapping[str, Header]
) -> None:
    """Add the products of exposures that were taken in the same way."""
    kind, *optics = setup
    is_coron = kind == "coronagraphy"
    psf = [path for path in paths if is_coron and headers[path].get("IS_PSF") == "T"]
    background = [p for p in paths if not is_coron and headers[p].get("BKGDTARG") == "T"]
    targets: dict[str, list[str]] = {}
    for path in paths:
        if path not in psf and path not in background:
            targets.setdefault(_target(headers[path]), []).append(path)
    for others, what in ((psf, "reference stars"), (background, "backgrounds")):
        if others and not targets:
            found.remarks.append(f"{len(others)} exposures of {what} have no target: {others[0]} …")
    parts = [part for part in optics if part.upper() not in ("", "CLEAR", "CLEARP", "N/A")]
    for target, exposures in targets.items():
        skies = together(exposures, headers)
        fixed = [p for p in exposures if headers[p].get("TARGTYPE", "").strip() != "MOVING"]
        lost = [path for path in fixed if not Footprint.of(headers[path])]
        if lost and len(exposures) > 1 and not is_coron:
            found.remarks.append(
                f"{len(lost)} of {len(exposures)} images of {' '.join([target, *parts])} have no "
                f"S_REGION and are taken for one part of the sky with the others: {lost[0]} …"
            )
        for science in skies:
            place = place_name(headers[path] for path in science) if len(skies) > 1 else ""
            name = _slug([target, *parts, place])
            while name in found.products:
                name += "-again"
            rolls = _rolls(headers[path] for path in science)
            entry: dict[str, Any] = {"science": pattern(science)}
            if psf:
                entry["psf"] = pattern(psf)
            elif is_coron and len(rolls) > 1:
                entry["steps"] = {"klip": {"strategy": "ADI"}}
            rates = [path for path in science if exposure_suffix(path) in ("rate", "rateints")]
            if rates and (own := [p for p in background if exposure_suffix(p) == "rate"]):
                entry["background"] = pattern(own)
            found.products[name] = entry
            if not is_coron:
                found.members[name] = science
            images = f"{len(science)} image{'s' if len(science) > 1 else ''}"
            note = [f"{target}: {kind if is_coron else images}"]
            note += [f"one of {len(skies)} separate parts of the sky"] if len(skies) > 1 else []
            note += (
                [f"rolls {', '.join(f'{round(roll) % 360}' for roll in rolls)} degrees"]
                if rolls
                else []
            )
            note += _epochs(headers[path] for path in science)
            note += [f"{len(psf)} exposures of reference stars"] if psf else []
            note += [f"{len(rates)} before stage 2"] if rates else []
            if is_coron and not psf and len(rolls) < 2:
                note.append("no reference star and one roll: nothing to subtract the star with")
            found.notes[name] = "; ".join(note)


def _slug(parts: Iterable[str]) -> str:
    """Return a name for a product: lower case, without blanks."""
    name = re.sub(r"[^a-z0-9.+-]+", "-", "-".join(parts).lower())
    return re.sub(r"-+", "-", name).strip("-.+")


def _epochs(headers: Iterable[Header]) -> list[str]:
    """Return in words when exposures were taken, if that was not at one time."""
    days = sorted({day for header in headers if (day := header.get("DATE-OBS", "").strip())})
    try:
        first, last = (date.fromisoformat(day) for day in (days[0], days[-1]))
    except (IndexError, ValueError):
        return []
    apart = (last - first).days
    return [f"taken from {first} to {last}"] if apart > SAME_EPOCH else []


def _rolls(headers: Iterable[Header]) -> list[float]:
    """Return the different rolls of exposures, in degrees, as far as they say."""
    found: list[float] = []
    for header in headers:
        try:
            roll = float(header["ROLL_REF"])
        except (KeyError, ValueError):
            continue
        if all(abs((roll - other + 180) % 360 - 180) >= SAME_ROLL for other in found):
            found.append(roll)
    return found


def pattern(paths: list[str]) -> str | list[str]:
    """Return a pattern that files match, and no others beside them; else the files."""
    if len(paths) == 1:
        return paths[0]
    folders = {os.path.dirname(path) for path in paths}
    suffixes = {exposure_suffix(path) for path in paths}
    if len(folders) == len(suffixes) == 1:
        folder, suffix = folders.pop(), suffixes.pop()
        start = os.path.commonprefix([os.path.basename(p) for p in paths])  # noqa: RUF071
        for begin in ("", start):
            tried = os.path.join(folder, f"{begin}*_{suffix}.fits")
            if sorted(glob(tried)) == sorted(paths):
                return tried
    return sorted(paths)


def as_yaml(found: Found, folder: str | Path) -> str:
    """Return a configuration in YAML, with what was found in its comments."""
    import yaml

    lines = [
        f"# Found in {folder}: read it, edit it, then `snakemake --cores all -n`.",
        "# All keys, with their defaults: config/README.md.",
        *(f"# {InputError(remark)}" for remark in found.remarks),
        "products:",
    ]
    for name, entry in sorted(found.products.items()):
        lines.append(f"  # {InputError(found.notes[name])}")
        text = yaml.safe_dump({name: entry}, sort_keys=False, width=1000, allow_unicode=True)
        lines += [f"  {line}" for line in text.splitlines()]
    for k, names in enumerate(found.skies):
        lines += [
            *(["# Products of the same sky are aligned with each other as a field:"] * (k == 0)),
            f"# fields: {{my_field: {{products: [{', '.join(names)}]}}}}",
        ]
    if any("before stage 2" in note for note in found.notes.values()):
        lines += [
            "# Stage 2 takes its reference files from a CRDS cache, or from you (docs/image2.md):",
            "# reference_files: {crds: {path: /path/to/crds_cache, context: jwst_1413.pmap}}",
        ]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> None:
    """Write a configuration of what is in a folder."""
    parser = argparse.ArgumentParser(
        prog="snakewebb-init", description="Write a configuration for the exposures in a folder."
    )
    parser.add_argument(
        "folder", help="with _cal, _calints, _rate or _rateints files, at any depth"
    )
    parser.add_argument("--output", default="config/config.yaml", help="default: %(default)s")
    given = parser.parse_args(arguments)
    target = Path(given.output)
    try:
        try:
            old = strict.read(target) if strict.holds_keys(target) else None
        except InputError:
            old = True
        if old is True or (isinstance(old, Mapping) and any(old.values())):
            raise InputError(
                f"{target}: holds a configuration already: move it away, or give --output"
            )
        found = products_in(given.folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_text(target, as_yaml(found, given.folder))
    except (InputError, OSError) as error:
        give_up(InputError(error))
    for name, note in sorted(found.notes.items()):
        print(f"{name}: {note}")
    for remark in found.remarks:
        print(f"left out: {remark}")
    print(f"Written: {target}. Read it, edit it, then see what would be made: snakemake -n")


if __name__ == "__main__":
    main()
