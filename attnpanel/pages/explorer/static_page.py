"""The explorer's page on the toy as one HTML document that draws itself, without a session."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final, NamedTuple

from bokeh.document import Document
from panel.io.state import set_curdoc

from attnpanel.pages.explorer.page import Page
from attnpanel.ui.components import bundle
from attnpanel.ui.page_status import with_status
from attnpanel.ui.standalone_html import OPENING_CSS, document_parts, script_json
from attnpanel.ui.theme import BODY_CSS
from attnpanel.ui.words import ENGLISH, set_document_language, t, words_for_module

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from attnpanel.pages.server_settings import ServerSettings

# The parameter of an address that asks for a session at once; the page's own never has it.
LIVE: Final = "live"
MAX_DIGITS: Final = 10
# As in Bokeh's template of a served page.
SERVED_CSS: Final = """
html, body { display: flow-root; box-sizing: border-box; height: 100%; margin: 0; padding: 0; }
"""
OPENING: Final = (
    "This page is drawn by JavaScript. If nothing else appears: allow JavaScript for this address, "
    "or open it in a browser of 2023 or later (Chrome or Edge 93, Firefox 113, Safari 16.4)."
)
PAGE: Final = """<!DOCTYPE html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="./favicon.ico">
<style>{css}</style>
<noscript><style>#attnpanel-opening {{ visibility: visible; animation: none; }}</style></noscript>
<script>{start}</script>
{scripts}
</head>
<body>
<p id="attnpanel-opening">{opening}</p>
<div id="attnpanel-drawn">
{roots}
</div>
<script type="application/json" id="attnpanel-roots">{items}</script>
<script type="application/json" id="attnpanel-document">{document}</script>
</body>
</html>
"""


class Toy(NamedTuple):
    """The numbers of a toy, by their names in an address."""

    T: int = 8
    d_model: int = 8
    heads: int = 4
    seed: int = 42


# Of larger ones the page would be large, and seconds pass until it is made.
LARGEST: Final = Toy(T=64, d_model=64, heads=64, seed=2**31 - 1)


def static_page(
    settings: ServerSettings,
    title: str,
    scripts: Iterable[str],
    toy: Toy,
    language: tuple[str, bool] = (ENGLISH, False),
) -> str:
    """Return the page that a session would show of a toy, with its numbers in it.

    It takes the choices from its address by itself, and asks for a session when its reader first
    needs Python; see js/served/attach.js.

    Parameters
    ----------
    settings : ServerSettings
    title : str
        The page's title, which holds no markup.
    scripts : iterable of str
        Addresses of Bokeh's and Panel's libraries, in their order.
    toy : Toy
    language : (str, bool), optional
        As of :func:`attnpanel.ui.header.visitor_language`.
    """
    code, named = language
    document = Document()
    set_document_language(document, code, named=named)
    link = {"source": "toy"} | {name: str(number) for name, number in toy._asdict().items()}
    with set_curdoc(document):
        page = Page(settings, link, drawn_alone=True)
        parts = document_parts(document, with_status(page.view, has_session=False))
        opening = t(OPENING)
    start = bundle("start_page")
    return PAGE.format(
        language=code,
        title=title,
        css=SERVED_CSS + BODY_CSS + OPENING_CSS,
        opening=escape(opening),
        start=words_for_module(start, code) + start,
        scripts="\n".join(f'<script defer src="{address}"></script>' for address in scripts),
        roots=parts.roots,
        items=parts.items,
        document=script_json(parts.document),
    )


def toy_of(settings: ServerSettings, arguments: Mapping[str, Sequence[bytes]]) -> Toy | None:
    """Return the toy that an address shows in some state; None if it needs a session.

    Parameters
    ----------
    settings : ServerSettings
    arguments : mapping of str to sequence of bytes
        The address's query parameters; untrusted input.
    """
    if LIVE in arguments or any(len(values) > 1 for values in arguments.values()):
        return None
    texts = {name: values[0] for name, values in arguments.items()}
    if texts.get("source", b"file" if settings.traces else b"toy") != b"toy":
        return None
    numbers = {}
    for name, default in Toy()._asdict().items():
        text = texts.get(name, b"%d" % default)
        if not text.isdigit() or len(text) > MAX_DIGITS or text != b"%d" % int(text):
            return None
        numbers[name] = int(text)
    toy = Toy(**numbers)
    whole = min(toy[:3]) >= 1 and toy.d_model % toy.heads == 0
    fits = all(number <= most for number, most in zip(toy, LARGEST, strict=True))
    return toy if whole and fits else None
