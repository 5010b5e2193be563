"""The card of notes, and the glyphs that mark notes on the plots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import param
from bokeh.models import ColumnDataSource, HoverTool, Quad, Text

from attnpanel.trace.notes import SCHEMA, call_sizes, notes_document, read_notes, trace_identity
from attnpanel.ui.components import MessagingComponent, bundle
from attnpanel.ui.page_input import PageMessage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bokeh.document import Document
    from bokeh.plotting import figure

    from attnpanel.trace import Trace
    from attnpanel.trace.notes import Note

Marked = Literal["pairs", "heads"]
COLUMNS = ("left", "right", "top", "bottom", "x", "y", "text", "dx", "dy")


class Annotations(MessagingComponent):
    """A reader's notes on cells, rows and heads: list, marks, export and import.

    Sends ``{"restore": address}`` to return to the state in which a note was written. Marks are
    drawn in the browser, into the data sources that :func:`add_marks` adds.
    """

    root_class = param.String(default="", doc="CSS class of the explorer's outermost element.")
    whole_page = param.Boolean(default=False, doc="Whether the page shows this explorer alone.")
    marked = param.Dict(default={}, doc="What can be marked, by view: pairs of tokens, or heads.")
    place = param.Dict(
        default={}, doc="What is on screen: layer, head, batch, pair, tokens and address."
    )
    about = param.Dict(
        default={}, doc="The trace's identity, and each call's [batch, heads, queries, keys]."
    )
    book = param.Dict(default={}, doc="The notes set in Python, and their trace's identity.")
    client_book = param.Dict(
        default={}, doc="The notes as sent by the page, which take precedence; untrusted input."
    )

    class Message(PageMessage):
        """What a reader has written; checked whole by :func:`attnpanel.trace.notes.read_notes`."""

        book = param.Dict(default={}, doc="The trace's identity, and the notes.")

    _rename: ClassVar[dict[str, str | None]] = {"client_book": None}

    _esm = bundle("annotations")

    def _handle_msg(self, data: Any) -> None:
        if isinstance(data, dict) and isinstance(data.get("book"), dict):
            self.client_book = data["book"]

    def _get_properties(self, doc: Document | None) -> dict[str, Any]:
        properties = super()._get_properties(doc)
        if self.client_book:  # another view starts with the notes written on the first one
            properties["data"].update(book=self.client_book)
        return properties

    def read(self, trace: Trace) -> tuple[Note, ...]:
        """Return the notes on a trace, including those written on the page.

        Raises
        ------
        ValueError
            If the page sent an invalid note.
        """
        book = self.client_book or self.book
        if book.get("identity") != trace_identity(trace):
            return ()  # the page still shows another trace
        return read_notes({"schema": SCHEMA, "notes": book.get("notes")}, trace)

    def write(self, notes: Iterable[Note], trace: Trace) -> None:
        """Set the notes on a trace; a page that opens adds those stored in its browser.

        Raises
        ------
        ValueError
            If a note marks something that the trace lacks.
        """
        document = notes_document(notes, trace)
        read_notes(document, trace)
        identity = document["trace"]
        self.param.update(
            client_book={},
            about={"identity": identity, "calls": call_sizes(trace)},
            book={"identity": identity, "notes": document["notes"]},
        )


def add_marks(figures: Mapping[str, figure], marked: Mapping[str, Marked]) -> None:
    """Add glyphs and empty data sources for marks to plots; the page fills them.

    Parameters
    ----------
    figures : mapping of str to bokeh figure
        Plots by the name of their view.
    marked : mapping of str to {"pairs", "heads"}
        What can be marked, by the name of the view, where something can.
    """
    for name, what in marked.items():
        plot = figures[name]
        for tool in plot.tools:
            if isinstance(tool, HoverTool) and tool.renderers == "auto":
                tool.renderers = list(plot.renderers)  # marks have no tooltip
        source = ColumnDataSource(name=f"attn:marks:{name}", data={c: [] for c in COLUMNS})
        for kind, glyph in _glyphs(what).items():
            plot.add_glyph(source, glyph, level="annotation", name=f"attn:{kind}")


def _glyphs(what: Marked) -> dict[str, Any]:
    """Return the glyphs of a kind of marks by name; the page sets their colours.

    Colours are not columns: Bokeh may paint after it has taken only some of a source's new columns,
    and fails if there are fewer colours than texts.
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
    if what == "heads":
        return {"badge": badge}
    sides = {"left": "left", "right": "right", "top": "top", "bottom": "bottom", "fill_color": None}
    # Dashes on a light background are visible on any cell and differ from the selected row's line.
    ground, dashes = Quad(**sides, line_width=4), Quad(**sides, line_width=2, line_dash=[3, 2])
    return {"ground": ground, "dashes": dashes, "badge": badge}
