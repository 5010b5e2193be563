"""What every served page begins with: its visitor's link, the name, and the pages beside it."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, Final

import panel as pn

from attnpanel.theme import BODY_CSS, stylesheet

if TYPE_CHECKING:
    from collections.abc import Sequence

# Where the server keeps, for all its visitors, what it serves: a page that is served alone, as by
# `panel serve`, finds nothing there and links to nothing.
_OFFERED: Final = "attnpanel.navigation"


@dataclass(frozen=True)
class Link:
    """One page that a server serves.

    Attributes
    ----------
    name : str
        The last part of its address; empty for the first page.
    title : str
        What readers call it.
    """

    name: str
    title: str


def offer(links: Sequence[Link]) -> None:
    """Have every page made from now on link to these, in this order."""
    pn.state.cache[_OFFERED] = tuple(links)


def visitor_link() -> dict[str, str]:
    """Prepare Panel for a visitor's page; return what their address bar carried, by name.

    Hostile, as all that an address bar carries.
    """
    pn.extension()
    if BODY_CSS not in pn.config.raw_css:
        pn.config.raw_css = [*pn.config.raw_css, BODY_CSS]
    arguments = pn.state.session_args or {}
    return {name: values[0].decode("utf-8", errors="replace") for name, values in arguments.items()}


def brand(here: str | None, *, alone: str = "attnpanel") -> Any:
    """Return the name, and the links to all pages, of which the one shown is marked.

    Parameters
    ----------
    here : str or None
        The page's own name, as in its :class:`Link`; None for a page in a file, beside which
        nothing is served.
    alone : str, optional
        The heading of a page that links to no other.
    """
    links: Sequence[Link] = () if here is None else pn.state.cache.get(_OFFERED, ())
    items = "".join(
        f"<a href='./{escape(link.name)}'{' aria-current=page' * (link.name == here)}>"
        f"{escape(link.title)}</a>"
        for link in links
    )
    nav = f"<nav aria-label='Pages'>{items}</nav>" if links else ""
    return pn.pane.HTML(
        f"<h1>{'attnpanel' if links else escape(alone)}</h1>{nav}",
        css_classes=["attn-brand"],
        stylesheets=[stylesheet()],
        margin=0,
    )
