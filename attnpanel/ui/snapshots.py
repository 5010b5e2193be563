"""Snapshots: PNGs that the page exported from its plots, validated and laid out."""

from __future__ import annotations

import html
from base64 import b64encode
from typing import TYPE_CHECKING, Any, Final

import panel as pn

from attnpanel.ui.theme import stylesheet

if TYPE_CHECKING:
    from collections.abc import Mapping

PNG: Final = b"\x89PNG\r\n\x1a\n"
# A plot 1,400 pixels wide takes 0.3 MB at a device pixel ratio of 2.
MAX_BYTES: Final = 4_000_000
PIXELS_PER_METRE: Final = 96 / 0.0254  # of CSS


def check_snapshots(snapshots: Mapping[str, object]) -> None:
    """Check that every snapshot is a PNG of at most 4 MB.

    Raises
    ------
    ValueError
        If one is not; the message has its name.
    """
    for name, png in snapshots.items():
        if not isinstance(png, bytes) or not png.startswith(PNG) or len(png) > MAX_BYTES:
            raise ValueError(
                f"a snapshot must be a PNG of at most {MAX_BYTES / 1e6:.0f} MB; "
                f"“{name[:80]}” is not"
            )


def snapshots_pane(snapshots: Mapping[str, bytes]) -> Any:
    """Return checked snapshots side by side, each with its name, escaped, below it."""
    figures = "".join(
        f"<figure><img alt='{html.escape(name)}'{_width(png)} src='data:image/png;base64,"
        f"{b64encode(png).decode('ascii')}'><figcaption>{html.escape(name)}</figcaption></figure>"
        for name, png in snapshots.items()
    )
    return pn.pane.HTML(
        f"<div class='attn-snapshots'>{figures}</div>",
        disable_math=True,  # a formula would ask a CDN for MathJax
        stylesheets=[stylesheet()],
        sizing_mode="stretch_width",
        margin=0,
    )


def _width(png: bytes) -> str:
    """Return an image's width as an attribute: on paper and screens as wide as its plot was.

    Known where a resolution follows the header, as js/core/png_resolution.js writes it.
    """
    kind, per_metre = png[37:41], int.from_bytes(png[41:45])
    if kind != b"pHYs" or per_metre == 0:
        return ""
    return f" width='{int.from_bytes(png[16:20]) / per_metre * PIXELS_PER_METRE:.0f}'"
