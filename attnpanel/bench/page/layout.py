"""The layout around the cards: header, theme and body."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from attnpanel.bench.page.components import PageTheme, scale_variables, styles, theme_colours
from attnpanel.bench.page.run_cards import box
from attnpanel.ui import ThemeButton
from attnpanel.ui.header import brand
from attnpanel.ui.theme import theme_variables

if TYPE_CHECKING:
    from collections.abc import Sequence


class BenchLayout:
    """A header above the cards, with a theme.

    Parameters
    ----------
    slot : Panel object
        Placed between the brand and the theme button.
    buttons : sequence of Panel objects
        WorkloadTimes the theme button.
    served : bool
        Whether it is a page of a server, which may have other pages.
    """

    def __init__(self, slot: Any, buttons: Sequence[Any] = (), *, served: bool = False) -> None:
        self.explorer_id = uuid.uuid4().hex
        self.theme = PageTheme(
            explorer_id=self.explorer_id,
            colours=theme_colours(),
            width=0,
            height=0,
            margin=0,
            css_classes=["bench-theme"],
        )
        header = box(
            brand("bench" if served else None, alone="attnpanel bench"),
            slot,
            *buttons,
            ThemeButton(explorer_id=self.explorer_id, driver="browser", margin=0),
            css="attn-header",
        )
        self.body = box(css="bench-body")
        self.view = box(
            self.theme, header, self.body, css=f"attn-root attn-{self.explorer_id} attn-light"
        )
        self.view.stylesheets = [theme_variables(), scale_variables(), *styles()]
