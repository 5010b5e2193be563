"""Pictures of a page as it was: PNGs that the page made of its plots, checked, and laid out."""

from __future__ import annotations

import html
from base64 import b64encode
from typing import TYPE_CHECKING, Any, Final

import panel as pn

from attnpanel.theme import stylesheet

if TYPE_CHECKING:
    from collections.abc import Mapping

PNG: Final = b"\x89PNG\r\n\x1a\n"
# A plot of 1,400 pixels across has 0.3 MB on a screen of two pixels a point.
MOST_BYTES: Final = 4_000_000


def check_stills(stills: Mapping[str, object]) -> None:
    """Refuse what is no picture, in a sentence.

    Raises
    ------
    ValueError
        If one is not a PNG of at most 4 MB.
    """
    for name, png in stills.items():
        if not isinstance(png, bytes) or not png.startswith(PNG) or len(png) > MOST_BYTES:
            raise ValueError(
                f"a still picture must be a PNG of at most {MOST_BYTES / 1e6:.0f} MB; "
                f"“{name[:80]}” is not"
            )


def stills_pane(stills: Mapping[str, bytes]) -> Any:
    """Return checked pictures side by side, each with its name below; the names are only text."""
    figures = "".join(
        f"<figure><img alt='{html.escape(name)}' src='data:image/png;base64,"
        f"{b64encode(png).decode('ascii')}'><figcaption>{html.escape(name)}</figcaption></figure>"
        for name, png in stills.items()
    )
    return pn.pane.HTML(
        f"<div class='attn-stills'>{figures}</div>",
        disable_math=True,  # a formula would ask a CDN for MathJax
        stylesheets=[stylesheet()],
        sizing_mode="stretch_width",
        margin=0,
    )
