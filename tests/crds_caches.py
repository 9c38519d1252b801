"""Caches of CRDS as text: mappings with their sha1sum, references of some bytes."""

import hashlib
from pathlib import Path

CONTEXT = "jwst_0001.pmap"
WHEN = ("META.OBSERVATION.DATE", "META.OBSERVATION.TIME")
PARKEYS = {
    "distortion": ("META.EXPOSURE.TYPE", "META.INSTRUMENT.DETECTOR"),
    "filteroffset": ("META.INSTRUMENT.CHANNEL", "META.INSTRUMENT.MODULE"),
    "flat": ("META.INSTRUMENT.DETECTOR", "META.INSTRUMENT.FILTER", "META.INSTRUMENT.PUPIL"),
    "photom": ("META.INSTRUMENT.DETECTOR",),
    "area": ("META.INSTRUMENT.DETECTOR",),
}
"""As the rules of CRDS have them for NIRCam, or nearly."""


def mapping(header: dict, selector: str) -> str:
    """Return the text of a mapping."""
    header = {"derived_from": "hand", "observatory": "JWST"} | header
    lines = [f"    {key!r} : {value!r},\n" for key, value in header.items()]
    body = ["header = {\n", *lines, "}\n", f"\nselector = {selector}\n"]
    digest = hashlib.sha1("".join(body).encode()).hexdigest()
    return "".join([*body[:-2], f"    'sha1sum' : {digest!r},\n", *body[-2:]])


def rmap(parkey: tuple[str, ...], rows: str, reftype: str = "flat", **more) -> str:
    """Return the text of an rmap of NIRCam, of the text of its rows."""
    header = {
        "filekind": reftype.upper(),
        "instrument": "NIRCAM",
        "mapping": "REFERENCE",
        "name": f"jwst_nircam_{reftype}_0001.rmap",
        "parkey": (parkey, WHEN),
    }
    return mapping(header | more, f"Match({{\n{rows}\n}})")


def write_cache(
    folder: Path, rmaps: dict[str, str], files: dict[str, bytes], layout: str = "instrument"
) -> Path:
    """Write a cache with the rules of NIRCam; what is ``N/A`` in place of an rmap is so."""
    mappings, config = folder / "mappings" / "jwst", folder / "config" / "jwst"
    references = folder / "references" / "jwst" / ("nircam" if layout == "instrument" else "")
    for path in (mappings, config, references):
        path.mkdir(parents=True)
    imap, names = "jwst_nircam_0001.imap", {}
    for reftype, text in rmaps.items():
        name = f"jwst_nircam_{reftype}_0001.rmap"
        names[reftype.upper()] = "N/A" if text == "N/A" else name
        if text != "N/A":
            (mappings / name).write_text(text)
    header = {"instrument": "NIRCAM", "mapping": "INSTRUMENT", "name": imap}
    (mappings / imap).write_text(mapping(header | {"parkey": ("REFTYPE",)}, repr(names)))
    header = {"mapping": "PIPELINE", "name": CONTEXT, "parkey": ("META.INSTRUMENT.NAME",)}
    named = {"NIRCAM": imap, "FGS": "N/A"}
    (mappings / CONTEXT).write_text(mapping(header, repr(named)))
    (config / "ref_cache_subdir_mode").write_text(layout)
    for name, content in files.items():
        (references / name).write_bytes(content)
    return folder
