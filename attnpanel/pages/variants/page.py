"""The served page of variants of attention and their price."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from attnpanel.pages.variants.component import VariantCards, lay_out
from attnpanel.pages.variants.report import save_variants
from attnpanel.ui import Caption, CopyLink, Download
from attnpanel.ui.deferred_file import DeferredFile
from attnpanel.ui.header import brand, start_page
from attnpanel.ui.layout import box
from attnpanel.ui.words import current_language, t

if TYPE_CHECKING:
    from attnpanel.pages.server_settings import ServerSettings


def variants_page(_settings: ServerSettings | None = None) -> Any:
    """Return the page of variants for a new session; its choices are read by the browser."""
    start_page()
    language = current_language()
    cards = VariantCards(served=True)
    notice = Caption(tone="error", visible=False, margin=0, sizing_mode="stretch_width")

    def failed(reason: str) -> None:
        notice.param.update(
            text=t("The report can't be made. {reason}", reason=reason), visible=True
        )

    download = Download(
        lambda: DeferredFile(partial(save_variants, link=cards.link, language=language), failed),
        label=t("Download report"),
        filename="variants.html",
        margin=0,
    )
    return lay_out(
        cards,
        brand("variants"),
        box(css="attn-slot"),
        CopyLink(margin=0),
        download,
        notes=[notice],
    )
