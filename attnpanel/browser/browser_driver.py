"""The browser driver: the explorer's state, maths and drawing in the page itself."""

from __future__ import annotations

import param

from attnpanel.browser.components import PLOT_MODULES, Styled, join_modules


class BrowserDriver(Styled):
    """The explorer's state, maths and drawing in the page: no server, no network.

    Holds a trace as :func:`attnpanel.payload.make_payload` packs it, or asks for its layers one by
    one; listens to the widgets and writes the plots' data sources in place.
    """

    uid = param.String(default="", doc="Names this explorer's events on the page.")
    served = param.Boolean(default=False, doc="Whether Python listens: see attnpanel.feed.")
    meta = param.Dict(default={}, doc="Payload.meta; its `trace` says which one it is.")
    payloads = param.List(default=[], doc="Payload.calls; none where layers are supplied.")
    state = param.Dict(default={}, doc="The choices, by the names of ExplorerState.")
    choices = param.Dict(default={}, doc="What each button group offers, in order.")
    docs = param.Dict(default={}, doc="Control name to [label, what it does].")
    supply = param.Dict(default={}, doc="One layer's arrays, as asked for.")
    projections = param.Dict(default={}, doc="Further paint seeds, as asked for.")
    at_rest = param.Boolean(default=False, doc="Whether the page shows its state; the page's own.")

    _esm = join_modules(
        *PLOT_MODULES,
        "background",
        "binding",
    )
