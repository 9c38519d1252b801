"""A CRDS cache with a simulated observation's reference files.

Both the crds package and jwst find the files there, without a server; the layout is that of CRDS.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from snakewebb.simulate.stage2_references import ReferenceSet

USEAFTER = "2022-01-01 00:00:00"
OUTDATED = "2014-01-01 00:00:00"
PARKEYS = {
    "NIRCAM": {
        "distortion": ("exposure.type", "detector", "channel", "pupil", "filter"),
        "filteroffset": ("channel", "module"),
        "flat": ("detector", "filter", "pupil"),
        "photom": ("detector",),
        "area": ("detector", "filter", "pupil", "exposure.type"),
    },
    "MIRI": {
        "distortion": ("detector", "exposure.type", "channel", "band"),
        "filteroffset": ("detector", "exposure.type"),
        "flat": ("detector", "filter", "band", "exposure.readpatt", "subarray.name"),
        "photom": ("detector", "band"),
        "area": ("detector", "filter", "exposure.type"),
    },
    "NIRISS": {
        "distortion": ("exposure.type", "pupil"),
        "filteroffset": ("exposure.type",),
        "flat": ("detector", "filter", "pupil"),
        "photom": ("detector",),
        "area": ("detector", "filter", "pupil", "exposure.type"),
    },
    "FGS": {
        "distortion": ("detector", "exposure.type"),
        "flat": ("detector", "exposure.type"),
        "photom": ("detector",),
        "area": ("detector",),
    },
}
"""What chooses a file: those of the operational CRDS; names without a dot are of the instrument."""
NOT_NEEDED = [
    "abvegaoffset",
    "apcorr",
    "bkg",
    "camera",
    "chromcorr",
    "collimator",
    "dflat",
    "disperser",
    "fflat",
    "fore",
    "fpa",
    "ifufore",
    "ifupost",
    "ifuslicer",
    "msa",
    "ote",
    "pars-alignrefsstep",
    "pars-assignmtwcsstep",
    "pars-assignwcsstep",
    "pars-backgroundstep",
    "pars-coron3pipeline",
    "pars-flatfieldstep",
    "pars-image2pipeline",
    "pars-image3pipeline",
    "pars-klipstep",
    "pars-outlierdetectionstep",
    "pars-photomstep",
    "pars-resamplestep",
    "pars-skymatchstep",
    "pars-sourcecatalogstep",
    "pars-stackrefsstep",
    "pars-tweakregstep",
    "psfmask",
    "regions",
    "sflat",
    "specwcs",
    "wavelengthrange",
]


def write_cache(references: list[ReferenceSet], folder: Path, cache: Path) -> None:
    """Write a CRDS cache for the reference files of one instrument's detectors.

    Parameters
    ----------
    references : list of ReferenceSet
    folder : path
        Where their files are; the cache has links to them.
    cache : path
        For ``CRDS_PATH``; the context is ``jwst_0001.pmap``.
    """
    instrument = references[0].instrument["name"]
    name = instrument.lower()
    mappings = cache / "mappings" / "jwst"
    files = cache / "references" / "jwst" / name
    config = cache / "config" / "jwst"
    for path in (mappings, files, config):
        path.mkdir(parents=True, exist_ok=True)
    kinds = {kind.upper(): "N/A" for kind in (*NOT_NEEDED, "filteroffset")}
    for kind, keys in PARKEYS[instrument].items():
        kinds[kind.upper()] = rmap = f"jwst_{name}_{kind}_0001.rmap"
        _write_rmap(mappings / rmap, references, kind, keys)
        for reference in references:
            link = files / reference.names[kind]
            link.unlink(missing_ok=True)
            link.symlink_to(os.path.relpath(folder / link.name, files))
    imap, pmap = f"jwst_{name}_0001.imap", "jwst_0001.pmap"
    header = {"mapping": "INSTRUMENT", "instrument": instrument, "parkey": ("REFTYPE",)}
    _write_mapping(mappings / imap, header, _table(kinds))
    header = {"mapping": "PIPELINE", "parkey": ("META.INSTRUMENT.NAME",)}
    _write_mapping(mappings / pmap, header, _table({instrument: imap}))
    (config / "ref_cache_subdir_mode").write_text("instrument\n", encoding="utf-8")
    (config / "server_config").write_text(_server_config(pmap), encoding="utf-8")


def _write_rmap(
    path: Path, references: list[ReferenceSet], kind: str, keys: tuple[str, ...]
) -> None:
    """Write which file is for which exposures; an outdated one, which is not there, as well."""
    rows = {
        tuple(_value(reference, name) for name in keys): reference.names[kind]
        for reference in references
    }
    text = "".join(
        f"    {key!r} : UseAfter({{\n"
        f"        {OUTDATED!r} : {file.replace('_0', '_9')!r},\n"
        f"        {USEAFTER!r} : {file!r},\n"
        "    }),\n"
        for key, file in sorted(rows.items())
    )
    header = {
        "classes": ("Match", "UseAfter"),
        "filekind": kind.upper(),
        "instrument": references[0].instrument["name"],
        "mapping": "REFERENCE",
        "parkey": (
            tuple(f"META.{name if '.' in name else f'instrument.{name}'}".upper() for name in keys),
            ("META.OBSERVATION.DATE", "META.OBSERVATION.TIME"),
        ),
    }
    _write_mapping(path, header, f"Match({{\n{text}}})")


def _value(reference: ReferenceSet, key: str) -> str:
    if key == "exposure.type":
        return reference.exposure_type
    if key == "subarray.name":
        return reference.subarray
    return reference.instrument.get(key, "N/A")


def _table(rows: dict[str, str]) -> str:
    return "{\n" + "".join(f"    {k!r} : {v!r},\n" for k, v in sorted(rows.items())) + "}"


def _write_mapping(path: Path, header: dict[str, Any], selector: str) -> None:
    """Write a mapping file with the SHA-1 of all its lines but that of the SHA-1."""
    header = {**header, "observatory": "JWST", "name": path.name, "derived_from": "simulated"}
    lines = [f"    {key!r} : {value!r},\n" for key, value in header.items()]
    before = "header = {\n" + "".join(lines)
    after = f"}}\n\nselector = {selector}\n"
    digest = hashlib.sha1((before + after).encode()).hexdigest()
    path.write_text(f"{before}    'sha1sum' : {digest!r},\n{after}", encoding="utf-8")


def _server_config(context: str) -> str:
    """Return what a server would have told last."""
    return repr(
        {
            "observatory": "jwst",
            "operational_context": context,
            "latest_context": context,
            "bad_files": "",
            "bad_files_list": [],
            "bad_files_set": [],
            "force_remote_mode": False,
            "connected": False,
            "last_synced": "2022-11-18 12:00:00",
            "mappings": [],
            "crds_version": {"str": "14.0.3"},
            "default_server": "https://crds-serverless-mode.stsci.edu",
        }
    )
