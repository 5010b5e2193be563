"""The parts of a comparison's page that are written in JavaScript, and their Python sides."""

from __future__ import annotations

from typing import Any

import param

from attnpanel.browser.components import PLOT_MODULES, Styled, _Telling, join_modules


class ComparisonDriver(Styled):
    """A comparison's controls, and the maths and drawing behind them, in the page itself."""

    uid = param.String(default="", doc="Names this comparison's events on the page.")
    served = param.Boolean(default=False, doc="Whether the address bar's query is the page's own.")
    given: param.Dict[Any] = param.Dict(
        default={},
        doc="Two traces as :func:`attnpanel.payload.make_payload` packs them, and where to start.",
    )
    state: param.Dict[Any] = param.Dict(
        default={}, doc="What the page says is chosen; hostile, as all that a page sends."
    )
    at_rest = param.Boolean(default=False, doc="Whether the page shows its state; the page's own.")

    _esm = join_modules(
        *PLOT_MODULES,
        "comparing",
        "comparison_drawings",
        "comparison",
    )


class HeadList(_Telling):
    """The heads that differ most; sends ``{"place": [layer, head]}`` or ``{"every": bool}``."""

    heads: param.List[Any] = param.List(
        default=[], doc="layer, head, text, share and here of each."
    )
    every = param.Boolean(default=False, doc="Whether all tokens count, not only the chosen one.")
    none = param.String(default="No head differs here.", doc="What an empty list says.")

    _esm = join_modules("tell", "head_list")


class TokenPairs(_Telling):
    """Two texts shaded by weight; sends ``{"row": i}``, or ``{"column": j}`` of a key."""

    rows: param.List[Any] = param.List(default=[], doc="One text each; see comparison.js.")
    same = param.Boolean(default=True, doc="Whether the tokens that look are those looked at.")

    _esm = join_modules("tell", "token_pairs")


class Explanation(Styled):
    """A reader's own words; the browser keeps them by their subject."""

    text = param.String(default="", doc="The words; hostile, as all that a page sends.")
    label = param.String(default="Your words", doc="What the field is called.")
    placeholder = param.String(default="", doc="What it says while it is empty.")
    subject = param.String(
        default="", doc="What the words are about: others have words of their own."
    )

    _esm = join_modules("explanation")
