"""A head as a figure of its own, saved as SVG, PDF or PNG."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnpanel.explorer.paper_figure.content import content_of, millimetres
from attnpanel.explorer.paper_figure.draw import draw
from attnpanel.explorer.paper_figure.fonts import missing_letters, settings
from attnpanel.trace.atomic_write import atomic_write

if TYPE_CHECKING:
    from os import PathLike

    from attnpanel.explorer.paper_figure.content import Kind
    from attnpanel.trace import Trace

FORMATS = ("svg", "pdf", "png")
# Of the maps in SVG and PDF, which are images; printers resolve no more.
MAP_DPI = 600
SCREEN_DPI = 192


class HeadFigure:
    """A figure of one head; :func:`head_figure` makes it, and a notebook cell shows it.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        An attribute too, for changes of your own.
    title, caption : str
        As they stand in it; attributes, too.
    """

    def __init__(self, figure: Any, title: str, caption: str) -> None:
        self.figure, self.title, self.caption = figure, title, caption

    def save(self, path: str | PathLike[str], *, dpi: float = 300) -> Path:
        """Write the figure; the ending of the path chooses SVG, PDF or PNG.

        In SVG and PDF text is text and can be searched and edited. The write is atomic, and the
        same figure gives the same bytes.

        Parameters
        ----------
        path : path
            Ends in ``.svg``, ``.pdf`` or ``.png``; its folder must exist.
        dpi : float, optional
            Pixels per inch of a PNG, from 50 to 2400.

        Warns
        -----
        UserWarning
            If no installed font has a letter of a PNG or PDF; viewers of SVG bring fonts.

        Raises
        ------
        OSError
            If the file cannot be written.
        ValueError
            If the ending or the resolution is another.
        """
        path = Path(path)
        data = self.to_bytes(path.suffix.removeprefix(".").lower(), dpi=dpi)
        with atomic_write(path) as temporary:
            temporary.write_bytes(data)
        return path

    def to_bytes(self, file_format: str, *, dpi: float = 300) -> bytes:
        """Return the content of a file; `file_format` is ``"svg"``, ``"pdf"`` or ``"png"``."""
        if file_format not in FORMATS:
            raise ValueError(f"a figure is saved as {', '.join(FORMATS)}; got {file_format!r}")
        if not 50 <= dpi <= 2400:
            raise ValueError(f"dpi must be from 50 to 2400; got {dpi!r}")
        about = {
            "svg": {"Title": self.title, "Description": self.caption, "Date": None},
            "pdf": {"Title": self.title, "Subject": self.caption, "CreationDate": None},
            "png": {"Title": self.title, "Description": self.caption},
        }
        missing = "" if file_format == "svg" else missing_letters(self.figure)
        if missing:
            message = f"no installed font has {' '.join(missing[:20])}: the figure has boxes there"
            warnings.warn(message, stacklevel=2)
        file = BytesIO()
        with settings():
            self.figure.savefig(
                file,
                format=file_format,
                dpi=dpi if file_format == "png" else MAP_DPI,
                metadata=about[file_format],
            )
        return file.getvalue()

    def _repr_png_(self) -> bytes:
        return self.to_bytes("png", dpi=SCREEN_DPI)


def head_figure(
    trace: Trace,
    layer: int | str | tuple[str, int] = 0,
    head: int | None = 0,
    *,
    kind: Kind = "weights",
    width: float | str = "column",
    query: int | None = None,
    title: str | None = None,
    caption: str | None = None,
    **choices: Any,
) -> HeadFigure:
    """Return a head as a figure of its own, with title, axes, colour bar and caption.

    Colours, masked cells and the scale are those of the explorer. Of more than 512 queries or keys
    each cell is the largest of a block, and the caption says so. Labels are thinned until none
    overlap; where fewer than every second token could have one, positions are numbered.

    Parameters
    ----------
    trace : Trace
    layer : int, str or (str, int), optional
        As for ``trace[layer]``: position, name, or name and pass.
    head : int or None, optional
        From 0, -1 is the last; None is the mean of all heads.
    kind : {"weights", "steps"}, optional
        The weights alone, or score, softmax and mix beside each other.
    width : {"column", "page"} or float, optional
        88 mm, 180 mm, or 40 to 1000 mm. The height follows from the shape of the weights.
    query : int, optional
        The query to outline, from 0; none by default.
    title, caption : str, optional
        In place of those that say what is shown: model, prompt, layer, head, mask, temperature.
        An empty one is left out.
    **choices
        Of :class:`attnpanel.Explorer`: ``batch``, ``mask`` and its parameters, ``align``,
        ``temperature``, ``empty_rows``, ``weight_scale`` and ``skip_first``.

    Returns
    -------
    HeadFigure

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    IndexError, KeyError, ValueError
        If layer, head or query do not exist, an option breaks its rule, or the width is too small
        for the labels.
    """
    if find_spec("matplotlib") is None:
        raise ImportError(
            "figures need matplotlib, the extra 'figures' of attnpanel: pip install matplotlib"
        )
    mm = millimetres(width)
    content = content_of(
        trace, layer, head, kind=kind, query=query, title=title, caption=caption, choices=choices
    )
    return HeadFigure(draw(content, mm), content.title, content.caption)
