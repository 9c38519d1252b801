"""What figures of the report share.

matplotlib is used without pyplot, whose import takes
as long as the rest of it.
"""

from __future__ import annotations

import logging
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from snakewebb.errors import InputError
from snakewebb.io.atomic import replacing
from snakewebb.report.status import write_page

log = logging.getLogger(__name__)

Image.preinit()  # the same holds for what writes PNG

STYLE: Any = {"font.size": 10.0, "figure.dpi": 120.0, "axes.titley": 1.0}
"""Titles are where they are: to look for a place takes a fifth of a figure's time."""
EXTENDED = 0.03
"""Of the length of a bar of colours, that either arrow sticks out."""
PAGE_WIDTH = 11.0  # inches, at most
PAGE_ASPECT = 1.3
"""Width over height, at least. Snakemake's report shrinks what is wider than the browser's window
leaves, but cuts off what is higher."""
LINE, LINES = 130, 8
"""Characters of a line, and lines of a message in place of a picture."""


@contextmanager
def drawn(*paths: str | Path) -> Iterator[None]:
    """Draw a message in place of pictures that fail: no product waits for them.

    Parameters
    ----------
    *paths : path
        PNG and HTML files: what is made in the block. Where that raises, all of them say why.
    """
    try:
        yield
    except Exception as error:
        log.exception("not drawn: %s", ", ".join(Path(path).name for path in paths))
        message = " ".join(str(error).split())
        if not isinstance(error, InputError):
            message = f"{type(error).__name__}: {message}"
        for path in paths:
            _write_message(path, message)


def _write_message(path: str | Path, message: str) -> None:
    """Write why there is no picture, or no page, in place of it."""
    title = f"{Path(path).stem} could not be drawn"
    if Path(path).suffix == ".html":
        write_page([f"<b>{escape(title)}</b>", escape(message)], {}, [], path)
        return
    lines = textwrap.wrap(message, LINE, max_lines=LINES)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(PAGE_WIDTH, 0.6 + 0.23 * (len(lines) + 1)))
        heading(figure, title, *lines, "The log has more.")
        save(figure, path)


def heading(figure: Figure, title: str, *lines: str) -> None:
    """Write a title and lines below it into the upper left corner of a figure."""
    y = figure.get_figheight() - 0.3
    # Names and reasons may have a $, which is no mathematics.
    style: dict[str, Any] = {"transform": figure.dpi_scale_trans, "parse_math": False}
    figure.text(0.15, y, title, weight="bold", fontsize=12, **style)
    for line in lines:
        y -= 0.23
        figure.text(0.15, y, shortened(line, LINE), color="0.3", **style)


def shortened(text: str, most: int) -> str:
    """Return a text without its middle if it is too long."""
    half = most // 2
    return text if len(text) <= most else f"{text[: half - 1]}…{text[-half:]}"


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    with replacing(path) as file:
        picture.save(file, "PNG", compress_level=1)
