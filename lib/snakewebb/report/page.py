"""A page of a product that needs no other file: a picture to zoom into, figures, tables.

The picture is shown by Leaflet 1.9.4 (BSD-2-Clause, see ``leaflet.LICENSE``), which is in the page
itself, as all else is: nothing is fetched when it is looked at.
"""

from __future__ import annotations

import base64
import json
import logging
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

from snakewebb.io.atomic import write_text
from snakewebb.report.outcomes import End
from snakewebb.report.tiles import Tiles
from snakewebb.wcs.grid import Grid

log = logging.getLogger(__name__)

HERE = Path(__file__).parent
SKELETON, SCRIPT = "page.html", "page.js"
LEAFLET, STYLE_SHEET = "leaflet.js", "leaflet.css"

NO_WARNINGS = '<p><span class="OK">no warnings</span></p>'

Section = tuple[str, str]
"""Title and HTML."""


def write_page(
    path: str | Path,
    *,
    title: str,
    facts: Mapping[str, str],
    ends: Sequence[End],
    picture: str,
    sections: Sequence[Section],
) -> None:
    """Write a page.

    Parameters
    ----------
    path : path
        The HTML to write.
    title : str
    facts : mapping
        What is said of the product first: text by name.
    ends : sequence of End
        What did not end well.
    picture : str
        Of `zoomable`; may be empty.
    sections : sequence of (title, HTML)
    """
    named = [(f"s{k}", escape(name), html) for k, (name, html) in enumerate(sections)]
    said = (f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in facts.items())
    skeleton = (HERE / SKELETON).read_text(encoding="utf-8")
    page = skeleton.format(
        title=escape(title),
        links="".join(f'<a href="#{anchor}">{name}</a>' for anchor, name, _ in named),
        facts="".join(said),
        warnings="\n".join(map(_warning, ends)) or NO_WARNINGS,
        picture=picture,
        sections="\n".join(
            f'<section id="{anchor}"><h2>{name}</h2>{html}</section>'
            for anchor, name, html in named
        ),
    )
    write_text(path, page)


def _warning(end: End) -> str:
    """Return the line that says how a step ended."""
    return f'<p><span class="{end.word}">{end.word}</span> {end.step}: {escape(end.why)}</p>'


def filled(names: Mapping[str, Sequence[str]], html: Mapping[str, str]) -> list[Section]:
    """Return sections that have anything in them.

    Parameters
    ----------
    names : mapping
        By title of a section, what is in it.
    html : mapping
        HTML by these names, as far as there is any.
    """
    parts = {title: [html[name] for name in own if name in html] for title, own in names.items()}
    return [(title, "\n".join(own)) for title, own in parts.items() if own]


def zoomable(tiles: Tiles, grid: Grid, layers: Iterable[Mapping[str, Any]]) -> str:
    """Return the HTML that shows a picture with its layers.

    Parameters
    ----------
    tiles : Tiles
    grid : Grid
        Of the mosaic's pixels.
    layers : iterable of mappings
        See `snakewebb.report.layers`.
    """
    known = {
        "shape": tiles.shape,
        "factor": tiles.factor,
        "zooms": tiles.zooms,
        "grid": asdict(grid),
        "layers": list(layers),
    }
    style, leaflet, script = (
        (HERE / name).read_text(encoding="utf-8").partition("//# sourceMappingURL")[0]
        for name in (STYLE_SHEET, LEAFLET, SCRIPT)
    )
    return (
        f'<style>{style}</style><div id="map"></div>\n'
        f'<script id="picture" type="application/json">{_json(known)}</script>\n'
        f'<script id="tiles" type="application/json">{_json(tiles.images)}</script>\n'
        f"<script>{leaflet}</script>\n<script>{script}</script>"
    )


def figure(path: str | Path) -> str:
    """Return a picture in a file, PNG, as HTML."""
    text = base64.b64encode(Path(path).read_bytes()).decode()
    return (
        f'<img class="figure" alt="{escape(Path(path).stem)}" src="data:image/png;base64,{text}">'
    )


def table(path: str | Path) -> str:
    """Return a page in a file as HTML: in a frame, whose rows are scrolled."""
    text = Path(path).read_text(encoding="utf-8")
    return f'<iframe title="{escape(Path(path).stem)}" srcdoc="{escape(text)}"></iframe>'


def shown(path: str | Path) -> str:
    """Return what is drawn already, PNG or HTML."""
    return figure(path) if Path(path).suffix == ".png" else table(path)


def shown_all(product: str, files: Iterable[str | Path]) -> dict[str, str]:
    """Return what is drawn already of a product, by the end of the file's name."""
    return {
        Path(file).stem.removeprefix(f"{product}_"): attempt(str(file), partial(shown, file))
        for file in files
    }


def subject(primary: Mapping[str, Any]) -> dict[str, str]:
    """Return what is said first of all of a mosaic, from its primary header."""
    keys = ("INSTRUME", "PUPIL", "FILTER", "CORONMSK")
    return {
        "band": " ".join(str(primary[key]) for key in keys if key in primary),
        "target": str(primary.get("TARGPROP") or primary.get("TARGNAME") or "unknown"),
    }


def drawn_figure(name: str, draw: Callable[[Path], None]) -> str:
    """Return a figure that is drawn into a file, as HTML."""

    def make() -> str:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{name}.png"
            draw(path)
            return figure(path)

    return attempt(name, make)


def attempt(name: str, make: Callable[[], str]) -> str:
    """Return what is made, or why it is not: a part that fails stops no other."""
    try:
        return make()
    except Exception as error:
        log.exception("not drawn: %s", name)
        words = " ".join(str(error).split())
        return f'<p><span class="FAILED">FAILED</span> {escape(name)}: {escape(words)}</p>'


def _json(value: Any) -> str:
    """Return JSON that does not end the script it is in."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("</", "<\\/")
