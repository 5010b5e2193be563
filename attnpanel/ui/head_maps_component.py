"""The card of head maps: one number per layer and head."""

from __future__ import annotations

import param

from attnpanel.ui.components import MessagingComponent, bundle
from attnpanel.ui.page_input import PageMessage


class HeadMaps(MessagingComponent):
    """Maps of every head's numbers, drawn when the card is opened.

    Sends ``{"tap": ["grid", head, layer]}`` when a head is chosen, ``{"maps": batch}`` to request
    the numbers of a sequence, and ``{"measure": True}`` or False to start or stop measuring each
    head's importance.
    """

    place = param.Dict(default={}, doc="What is on screen: layer, batch, and head or None (mean).")
    numbers = param.Dict(
        default={},
        doc="Made by `attnpanel.explorer.views.head_maps`; `trace` identifies the trace.",
    )
    heads = param.Integer(default=0, doc="Number of heads to knock out; 0 if there is no model.")
    measuring = param.Dict(default={}, doc="Progress of measuring: `fraction` and `text`.")
    root_class = param.String(default="", doc="CSS class of the explorer's outermost element.")

    class Message(PageMessage):
        """What the reader asks for."""

        tap = param.List(default=[], item_type=object, bounds=(0, 3), doc="View, head and layer.")
        maps = param.Integer(default=0, bounds=(0, 2**31), doc="The sequence to read.")
        measure = param.Boolean(default=False, doc="Whether to measure importance.")

    _esm = bundle("head_maps")
