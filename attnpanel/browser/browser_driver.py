"""The browser driver: the explorer's state, maths and drawing in the page itself."""

from __future__ import annotations

from typing import Any

import param

from attnpanel.browser.components import Styled, join_modules


class BrowserDriver(Styled):
    """The explorer's state, maths and drawing in the page: no server, no network.

    Holds a trace as :func:`attnpanel.payload.make_payload` packs it, listens to the widgets and
    writes the plots' data sources in place.
    """

    uid = param.String(default="", doc="Names this explorer's events on the page.")
    meta = param.Dict(default={}, doc="Payload.meta.")
    payloads = param.List(default=[], doc="Payload.calls.")
    state = param.Dict(default={}, doc="The choices, by the names of ExplorerState.")
    choices = param.Dict(default={}, doc="What each button group offers, in order.")
    address_in: param.Selector[Any] = param.Selector(
        default="hash", objects=["hash", "none"], doc="Where the state is kept in the address."
    )

    _esm = join_modules("attention", "trace_data", "drawings", "words_of", "binding")
