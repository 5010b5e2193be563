"""The card of layers by heads maps."""

from __future__ import annotations

import param

from attnpanel.browser.components import _Telling, join_modules


class HeadMaps(_Telling):
    """Maps of every head's numbers, drawn once the reader opens the card.

    Sends ``{"tap": ["grid", head, layer]}`` for the head that a reader chooses,
    ``{"maps": batch}`` where it has no numbers of a sequence, and ``{"measure": True}`` or False
    to begin or stop measuring what each head matters.
    """

    place = param.Dict(default={}, doc="What is shown: layer and batch, head or None for the mean.")
    numbers = param.Dict(
        default={}, doc="As `attnpanel.views.head_maps` makes it, and the `trace` it is of."
    )
    heads = param.Integer(default=0, doc="Heads that importance knocks out; 0: no model.")
    measuring = param.Dict(default={}, doc="How far that is, `fraction`, and its `text`.")
    root_class = param.String(default="", doc="CSS class of the explorer's outermost element.")

    _esm = join_modules("tell", "head_maps")
