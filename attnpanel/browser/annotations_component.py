"""The card of notes, and what the pictures draw its marks with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import param
from bokeh.models import ColumnDataSource, HoverTool, Quad, Text

from attnpanel.annotations import SCHEMA, extents, notes_document, read_notes, trace_identity
from attnpanel.browser.components import _Telling, join_modules

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bokeh.plotting import figure

    from attnpanel.annotations import Note
    from attnpanel.trace import Trace

MARKED = ("scores", "weights", "grid")
COLUMNS = ("left", "right", "top", "bottom", "x", "y", "text", "dx", "dy")


class Annotations(_Telling):
    """A reader's notes: marks cells, rows and heads, lists, exports and imports them.

    Sends ``{"restore": address}`` to bring the page to where a note was written. It draws its
    marks itself, in the browser, with the sources that :func:`add_marks` makes.
    """

    root_class = param.String(default="", doc="CSS class of the explorer's outermost element.")
    whole_page = param.Boolean(default=False, doc="Whether the page shows this explorer alone.")
    place = param.Dict(
        default={}, doc="What is shown: layer, head, batch, pair, tokens and address."
    )
    about = param.Dict(
        default={}, doc="The trace's identity, and each call's [batch, heads, queries, keys]."
    )
    book = param.Dict(
        default={}, doc="The notes and the identity of their trace; what a page sends is hostile."
    )

    _esm = join_modules("tell", "save_file", "notes", "annotations")

    def read(self, trace: Trace) -> tuple[Note, ...]:
        """Return the notes on a trace, those that a reader wrote on the page included.

        Raises
        ------
        ValueError
            If the page sent what is no note on this trace.
        """
        if self.book.get("identity") != trace_identity(trace):
            return ()  # the page has not yet heard of this trace
        return read_notes({"schema": SCHEMA, "notes": self.book.get("notes")}, trace)

    def write(self, notes: Iterable[Note], trace: Trace) -> None:
        """Show these notes on a trace; a page that opens adds those that its browser remembers.

        Raises
        ------
        ValueError
            If one marks what the trace has not.
        """
        document = notes_document(notes, trace)
        read_notes(document, trace)
        identity = document["trace"]
        self.param.update(
            about={"identity": identity, "calls": extents(trace)},
            book={"identity": identity, "notes": document["notes"]},
        )


def add_marks(figures: Mapping[str, figure]) -> None:
    """Give pictures what marks are drawn with, empty until the page draws some.

    Parameters
    ----------
    figures : mapping of str to bokeh figure
        By the name of their view.
    """
    for name in MARKED:
        plot = figures[name]
        for tool in plot.tools:
            if isinstance(tool, HoverTool) and tool.renderers == "auto":
                tool.renderers = list(plot.renderers)  # a mark tells nothing of its own
        source = ColumnDataSource(name=f"attn:marks:{name}", data={c: [] for c in COLUMNS})
        for kind, glyph in _glyphs(name).items():
            plot.add_glyph(source, glyph, level="annotation", name=f"attn:{kind}")


def _glyphs(name: str) -> dict[str, Any]:
    """The page gives them its colours by their names.

    Colours are no columns: Bokeh paints between taking a source's new columns and all that
    follows from them, and fails where there are fewer colours than texts.
    """
    badge = Text(
        x="x",
        y="y",
        text="text",
        x_offset="dx",
        y_offset="dy",
        anchor="center",
        text_font_size="10px",
        text_font_style="bold",
        padding=(3, 1),
        border_radius=5,
    )
    if name == "grid":
        return {"badge": badge}
    sides = {"left": "left", "right": "right", "top": "top", "bottom": "bottom", "fill_color": None}
    # Dashes on a light ground are seen on any cell, and are not the selected row's whole line.
    ground, dashes = Quad(**sides, line_width=4), Quad(**sides, line_width=2, line_dash=[3, 2])
    return {"ground": ground, "dashes": dashes, "badge": badge}
