"""Python sides of the comparison's components written in JavaScript."""

from __future__ import annotations

from typing import Any, ClassVar

import param

from attnpanel.ui.components import MessagingComponent, Styled, bundle
from attnpanel.ui.page_input import PageMessage, Text

MAX_LETTERS = 20_000
MAX_KEPT = 500_000  # more than js/compare/stored_words.js sends


class ComparisonDriver(Styled):
    """Controls, maths and drawing of a comparison in the browser."""

    explorer_id = param.String(default="", doc="Names this comparison's events on the page.")
    served = param.Boolean(default=False, doc="Whether the page writes the query of its URL.")
    given: param.Dict[Any] = param.Dict(
        default={},
        doc="Two traces as :func:`attnpanel.explorer.wire_format.make_payload` packs them, "
        "and where to start.",
    )
    state: param.Dict[Any] = param.Dict(
        default={}, doc="The choices as sent by the page; untrusted input."
    )
    at_rest = param.Boolean(default=False, doc="Whether the page shows its state; set by the page.")

    class Message(PageMessage):
        """What the page tells; :class:`attnpanel.pages.compare.comparison.Comparison` reads it."""

        state = param.Dict(default={}, doc="The choices.")

    page_sets = ("at_rest",)
    _rename: ClassVar[dict[str, str | None]] = {"state": None}

    _esm = bundle("comparison")

    def _handle_msg(self, data: Any) -> None:
        if isinstance(data, dict) and isinstance(data.get("state"), dict):
            self.state = data["state"]


class HeadList(MessagingComponent):
    """The heads that differ most; sends ``{"place": [layer, head]}`` or ``{"every": bool}``."""

    heads: param.List[Any] = param.List(
        default=[], doc="Per head: layer, head, text, share, and whether it is shown (current)."
    )
    every = param.Boolean(default=False, doc="Whether all tokens count, or the chosen one only.")
    none = param.String(default="", doc="Text of an empty list.")

    _esm = bundle("head_list")


class TokenPairs(MessagingComponent):
    """Two texts shaded by weight; sends ``{"row": i}``, or ``{"column": j}`` for a key."""

    rows: param.List[Any] = param.List(default=[], doc="One text each; see compare/controller.js.")
    same = param.Boolean(default=True, doc="Whether queries and keys are the same tokens.")

    _esm = bundle("token_pairs")


class ScoreContrast(MessagingComponent):
    """The difference of two heads' scores by components, on demand.

    Sends ``{"contrast": open}``, and ``{"row": i}`` or ``{"column": j}`` for a token.
    """

    content = param.Dict(default={}, doc="Made by js/compare/score_contrast.js at a pause.")
    opened = param.Boolean(default=False, doc="Whether it is open; set by the page.")

    _esm = bundle("score_contrast")


class Explanation(Styled):
    """A field for the reader's words; the browser stores them by their subject, if it has one."""

    text = Text(max_length=MAX_LETTERS, doc="The text; untrusted input.")
    label = param.String(default="Your words", doc="Label of the field.")
    placeholder = param.String(default="", doc="Placeholder of the empty field.")
    subject = param.String(default="", doc="Key under which the browser stores the text.")
    kind = param.String(
        default="text", constant=True, doc="`text`, `line`, or `date`, which begins as today's."
    )

    gathers = param.String(
        default="",
        constant=True,
        doc="Beginning of the subjects that go into `kept`; none if empty.",
    )
    kept = Text(
        max_length=MAX_KEPT,
        doc="What the browser has stored by subject, as JSON, read when one opens; untrusted.",
    )

    page_sets = ("text", "kept")

    _esm = bundle("explanation")
