"""The page around the cards: header, look, body."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from attnpanel.browser import ThemeButton
from attnpanel.navigation import brand
from attnpanel.theme import look_variables
from bench.page.components import PageLook, look_colours, scale_variables, styles
from bench.page.run_cards import box

if TYPE_CHECKING:
    from collections.abc import Sequence


class BenchLayout:
    """Header above cards, light or dark.

    Parameters
    ----------
    slot : Panel object
        What stands between the brand and the theme button.
    buttons : sequence of Panel objects
        Beside the theme button.
    served : bool
        Whether a server may serve other pages beside.
    """

    def __init__(self, slot: Any, buttons: Sequence[Any] = (), *, served: bool = False) -> None:
        self.uid = uuid.uuid4().hex
        self.look = PageLook(
            uid=self.uid,
            colours=look_colours(),
            width=0,
            height=0,
            margin=0,
            css_classes=["bench-look"],
        )
        header = box(
            brand("bench" if served else None, alone="attnpanel bench"),
            slot,
            *buttons,
            ThemeButton(uid=self.uid, driver="browser", margin=0),
            css="attn-header",
        )
        self.body = box(css="bench-body")
        self.view = box(self.look, header, self.body, css=f"attn-root attn-{self.uid} attn-light")
        self.view.stylesheets = [look_variables(), scale_variables(), *styles()]
