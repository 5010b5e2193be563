"""save_variants(): the page of variants as one HTML file with live controls."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from bokeh.document import Document
from panel.io.state import set_curdoc

from attnpanel.pages.variants.component import VariantCards, lay_out
from attnpanel.trace.atomic_write import atomic_write_text
from attnpanel.ui import Caption
from attnpanel.ui.layout import box
from attnpanel.ui.notebook import load_libraries
from attnpanel.ui.standalone_html import standalone_html
from attnpanel.ui.words import t, use_language

if TYPE_CHECKING:
    import os

TITLE = "Variants of attention and their price"


def save_variants(
    path: str | os.PathLike[str],
    *,
    link: str = "",
    title: str | None = None,
    language: str | None = None,
) -> Path:
    """Write the page of variants as one HTML file that needs no server and no network.

    Parameters
    ----------
    path : path
        Written atomically; its folder must exist.
    link : str, optional
        The choices it opens with, as in the page's address.
    title : str, optional
    language : str, optional
        The page's language: "en", "de" or "zh"; English by default.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    OSError
        If the file can't be written; an existing file stays as it was.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"a report needs a folder that exists; got {path}")
    load_libraries()
    document = Document()
    # In its own document: one made while a page is served would share that page's stylesheets.
    with set_curdoc(document), use_language(language):
        title = title or t(TITLE)
        heading = Caption(text=title, heading=True, margin=0, css_classes=["attn-report-title"])
        view = lay_out(VariantCards(link=link), heading)
        about = Caption(
            text=t(
                "Made by attnpanel {version}. Everything is computed in this page.",
                version=version("attnpanel"),
            ),
            tone="muted",
            margin=0,
        )
        view.append(box(about, css="attn-footer"))
        pieces = standalone_html(document, view, title)
    atomic_write_text(path, pieces)
    return path
