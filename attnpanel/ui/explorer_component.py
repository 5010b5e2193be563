"""The browser driver: state, maths and drawing of an explorer in the browser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import param

from attnpanel.ui.components import Styled, bundle
from attnpanel.ui.page_input import PageMessage, Text

if TYPE_CHECKING:
    from collections.abc import Callable

    from bokeh.document import Document


class BrowserDriver(Styled):
    """State, maths and drawing of an explorer in the browser.

    Holds a trace as :func:`attnpanel.explorer.wire_format.make_payload` packs it, or requests its
    layers one by one; listens to the widgets and updates the plots' data sources.

    Parameters
    ----------
    at_start : callable, optional
        Takes whether the page is served and returns initial values of a new page, which take
        precedence over the component's own.
    """

    explorer_id = param.String(default="", doc="Names this explorer's events on the page.")
    listens = param.Boolean(default=False, doc="Whether Python receives the page's messages.")
    drawn_alone = param.Boolean(
        default=False, doc="Whether the page has no session yet and asks for one when it needs it."
    )
    address: param.Dict[Any] = param.Dict(
        default=None,
        allow_None=True,
        doc="Parameters of the URL besides the choices: in the query if Python receives messages, "
        "else in the fragment. None leaves the URL alone.",
    )
    meta = param.Dict(default={}, doc="Payload.meta; `trace` identifies the trace.")
    payloads = param.List(default=[], doc="Payload.calls; empty if layers are requested.")
    state = param.Dict(default={}, doc="The choices, by the names of ExplorerState.")
    choices = param.Dict(default={}, doc="Options of each button group, in order.")
    docs = param.Dict(default={}, doc="Control name to [label, description].")
    layer_response = param.Dict(default={}, doc="The arrays of a requested layer.")
    answer = param.Dict(default={}, doc="The latest answer of attnpanel.explorer.layer_answers.")
    projections = param.Dict(default={}, doc="Colour projections of requested paint seeds.")
    at_rest = param.Boolean(default=False, doc="Whether the page shows its state; set by the page.")

    class Message(PageMessage):
        """What the page tells and asks for, as `attnpanel.explorer.transport` reads it."""

        connected = param.Dict(default={}, doc="What a page that has opened knows.")
        layer_request = param.Dict(default={}, doc="The layer whose arrays the page needs.")
        ask = param.Dict(default={}, doc="A question about a layer too large for the page.")
        drop = Text(max_length=40, doc="The kind of question that is no longer of interest.")
        state = param.Dict(default={}, doc="The choices.")

    page_sets = ("at_rest",)

    _esm = bundle("explorer")

    def __init__(
        self, at_start: Callable[[bool], dict[str, Any]] | None = None, **params: Any
    ) -> None:
        self._at_start = at_start
        super().__init__(**params)

    def _get_properties(self, doc: Document | None) -> dict[str, Any]:
        properties = super()._get_properties(doc)
        if self._at_start is not None:
            served = doc is not None and doc.session_context is not None
            properties["data"].update(**self._at_start(served))
        return properties
