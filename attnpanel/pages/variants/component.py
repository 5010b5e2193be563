"""Python side of the page's one JavaScript component, and the page around it."""

from __future__ import annotations

import json
import uuid
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import param

from attnpanel.pages.lab.components import LabTheme
from attnpanel.pages.variants.example import example_for_page
from attnpanel.pages.variants.for_page import table_for_page
from attnpanel.ui import ThemeButton
from attnpanel.ui.components import Styled, bundle
from attnpanel.ui.layout import box
from attnpanel.ui.page_input import Text
from attnpanel.ui.theme import DARK, LIGHT, ramp, stylesheet, theme_variables
from attnpanel.ui.words import ENGLISH, current_language

if TYPE_CHECKING:
    from collections.abc import Sequence

HERE = Path(__file__).parent
MAX_LINK_CHARACTERS = 2000


class VariantCards(Styled):
    """Cards of variants, their prices, the roofline and the online softmax; draws by itself."""

    content = param.Dict(default={}, doc="Made by content_for_page().")
    served = param.Boolean(
        default=False, doc="Whether choices stand in the URL's query; else in its fragment."
    )
    whole_page = param.Boolean(
        default=True, doc="Whether the address holds the choices, and the page the theme."
    )
    dark = param.Boolean(default=False, doc="The theme of cards that are not the whole page.")
    link = Text(
        default="",
        max_length=MAX_LINK_CHARACTERS,
        doc="The choices as a query; the cards open with it, and set it but in a file.",
    )
    page_sets = ("link",)

    _esm = bundle("variants")

    def __init__(self, **params: Any) -> None:
        params.setdefault(
            "stylesheets",
            [stylesheet(), (HERE / "variants.css").read_text(encoding="utf-8")],
        )
        super().__init__(
            content=content_for_page(current_language()),
            margin=0,
            sizing_mode="stretch_width",
            **params,
        )


@cache
def content_for_page(_language: str = ENGLISH) -> dict[str, Any]:
    """Return all that the component draws from, as plain data in the current language."""
    return {
        "table": table_for_page(),
        "example": example_for_page(),
        "machines": json.loads((HERE / "machines.json").read_text(encoding="utf-8")),
        "palettes": {
            name: {
                "weights": list(ramp(theme.sequential)),
                "numbers": list(ramp(theme.diverging)),
            }
            for name, theme in (("light", LIGHT), ("dark", DARK))
        },
    }


def lay_out(cards: VariantCards, before: Any, *header: Any, notes: Sequence[Any] = ()) -> Any:
    """Return the whole page: a header with a theme button, and the cards.

    Parameters
    ----------
    cards : VariantCards
    before, *header : Panel objects
        At the start of the header, and before its theme button.
    notes : sequence of Panel objects, optional
        Between header and cards.
    """
    explorer_id = uuid.uuid4().hex
    button = ThemeButton(explorer_id=explorer_id, driver="browser", margin=0)
    view = box(
        LabTheme(explorer_id=explorer_id, width=0, height=0, margin=0),
        box(before, *header, button, css="attn-header"),
        *notes,
        cards,
        css=f"attn-root attn-{explorer_id} attn-light",
    )
    view.stylesheets = [theme_variables(), stylesheet()]
    return view
