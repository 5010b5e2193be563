"""The header of a served page: the product's name and links to the other pages."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import panel as pn

from attnpanel.ui.refusals import handle_exception
from attnpanel.ui.theme import BODY_CSS, stylesheet
from attnpanel.ui.words import (
    ADDRESS,
    choose_language,
    linked_language,
    set_document_language,
    t,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Key of the served pages in Panel's cache, which all sessions share. Under `panel serve` nothing is
# stored there, so such a page links to no other.
_CACHE_KEY: Final = "attnpanel.ui.header"
_DEFAULT_KEY: Final = "attnpanel.ui.language"


@dataclass(frozen=True)
class Link:
    """A link to one served page.

    Attributes
    ----------
    name : str
        Last part of the page's URL; empty for the first page.
    title : str
        Text of the link.
    """

    name: str
    title: str


def link_pages(links: Sequence[Link]) -> None:
    """Set the links, in order, that the header of every page created from now on shows."""
    pn.state.cache[_CACHE_KEY] = tuple(links)


def set_default_language(language: str | None) -> None:
    """Set the language of every page created from now on; None leaves it to each browser."""
    pn.state.cache[_DEFAULT_KEY] = language


def visitor_language(
    arguments: Mapping[str, Sequence[bytes]], headers: Mapping[str, str]
) -> tuple[str, bool]:
    """Return the language of a visitor's page, and whether the address names it.

    Parameters
    ----------
    arguments : mapping of str to sequence of bytes
        The address's query parameters; untrusted input.
    headers : mapping of str to str
        Of the request; untrusted input.
    """
    asked = (arguments.get(ADDRESS) or [b""])[0].decode("utf-8", errors="replace")
    default = pn.state.cache.get(_DEFAULT_KEY)
    language = choose_language(asked, default, headers.get("Accept-Language"))
    return language, asked == language


def start_page() -> dict[str, str]:
    """Prepare Panel for a new session's page and return the query parameters of its URL.

    The values are untrusted input.
    """
    arguments = pn.state.session_args or {}
    if pn.state.curdoc is not None:
        language, named = visitor_language(arguments, pn.state.headers or {})
        set_document_language(pn.state.curdoc, language, named=named)
    pn.extension()
    pn.config.exception_handler = handle_exception
    if BODY_CSS not in pn.config.raw_css:
        pn.config.raw_css = [*pn.config.raw_css, BODY_CSS]
    return {name: values[0].decode("utf-8", errors="replace") for name, values in arguments.items()}


def link_query() -> str:
    """Return what follows another page's address, so that it has this page's language."""
    query = urlencode(linked_language())
    return f"?{query}" if query else ""


def brand(here: str | None, *, alone: str = "attnpanel") -> Any:
    """Return the product's name and the links to all pages; the current page is marked.

    Parameters
    ----------
    here : str or None
        The current page's name, as in its :class:`Link`; None for a page in a file, which has no
        links.
    alone : str, optional
        Heading of a page that links to no other.
    """
    links: Sequence[Link] = () if here is None else pn.state.cache.get(_CACHE_KEY, ())
    asked = link_query()
    items = "".join(
        f"<a href='./{escape(link.name)}{asked}'{' aria-current=page' * (link.name == here)}>"
        f"{escape(t(link.title))}</a>"
        for link in links
    )
    pages = escape(t("Pages"))
    # On a narrow page the links are a menu.
    title = next((t(link.title) for link in links if link.name == here), t("Pages"))
    nav = (
        f"<button class='attn-pages-button' popovertarget='attn-pages'>{escape(title)}</button>"
        f"<nav id='attn-pages' popover aria-label='{pages}'>{items}</nav>"
        if links
        else ""
    )
    return pn.pane.HTML(
        f"<h1>{'attnpanel' if links else escape(alone)}</h1>{nav}",
        css_classes=["attn-brand"],
        stylesheets=[stylesheet()],
        margin=0,
    )
