"""Colours of the page and of the heatmaps, light and dark.

The stylesheet takes its variables from here, so a plot matches the card around it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

SYSTEM_FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif'


@dataclass(frozen=True)
class Theme:
    """Colours of one theme: hex strings, and ramps as anchors to interpolate between.

    Attributes
    ----------
    background, card, ink, muted, line, accent, soft : str
        Page, card, text, secondary text, hairlines, selection, and a tint of the selection.
    masked, hatch : str
        Background and hatching of a masked cell; neither is the colour of 0.
    bar : str
        Bars other than the largest.
    sequential : tuple of str
        Weights: one hue, starting at the card's colour so that 0 is invisible.
    diverging : tuple of str
        Scores and outputs: blue below 0, the card's colour at 0, orange-red above. Blue and orange
        stay distinguishable for the common kinds of colour blindness.
    """

    background: str
    card: str
    ink: str
    muted: str
    line: str
    accent: str
    soft: str
    masked: str
    hatch: str
    bar: str
    sequential: tuple[str, ...]
    diverging: tuple[str, ...]


LIGHT = Theme(
    background="#f7f7f4",
    card="#ffffff",
    ink="#1b2130",
    muted="#667085",
    line="#e3e5ea",
    accent="#3b5bdb",
    soft="#e8ecfd",
    masked="#ececec",
    hatch="#b9bdc7",
    bar="#9db3dd",
    sequential=("#ffffff", "#d3e4f3", "#94c4df", "#4a90c4", "#1c5ba5", "#0b1f4f"),
    diverging=("#1d3f94", "#4f7fc4", "#a6c6e6", "#ffffff", "#f8cbaa", "#dd7a50", "#9c1f22"),
)
DARK = Theme(
    background="#10131a",
    card="#181c25",
    ink="#e7eaf1",
    muted="#98a2b3",
    line="#2a303c",
    accent="#91a7ff",
    soft="#232b44",
    masked="#262a33",
    hatch="#4d5565",
    bar="#3f5a8c",
    sequential=("#181c25", "#17365f", "#1b6596", "#2a9fa5", "#8ed3a9", "#fbf6cb"),
    diverging=("#8cbcff", "#4a7fd4", "#27406f", "#181c25", "#6c3427", "#c05f40", "#ffa583"),
)


# Lines and marks of heads, told from each other beside their number; a contrast of at least 3 with
# the card of either theme.
HEAD_COLOURS = (
    "#3366cc", "#d9580d", "#1f8a4c", "#d0439a", "#7c4fd0", "#8a6d00",
    "#0c8599", "#e03131", "#5c7080", "#6a8f00", "#a0522d", "#c2255c",
)  # fmt: skip


def theme(dark: bool) -> Theme:  # noqa: FBT001 - the one choice there is
    """Return the colours of the dark or the light theme."""
    return DARK if dark else LIGHT


@cache
def ramp(anchors: tuple[str, ...], size: int = 256, *, power: float = 1.0) -> tuple[str, ...]:
    """Interpolate `size` colours evenly between the anchors.

    Parameters
    ----------
    anchors : tuple of str
        Two or more hex colours.
    size : int, optional
        How many colours.
    power : float, optional
        Position p of the result (0 to 1) takes the colour at ``p ** power``; 0.5 makes a linear
        colour mapper draw square roots.

    Examples
    --------
    >>> ramp(("#000000", "#ffffff"), 3)
    ('#000000', '#808080', '#ffffff')
    """
    stops = np.linspace(0, 1, len(anchors))
    channels = np.array([[int(hexed[i : i + 2], 16) for i in (1, 3, 5)] for hexed in anchors])
    at = np.linspace(0, 1, size) ** power
    mixed = np.stack([np.interp(at, stops, channel) for channel in channels.T], axis=-1)
    return tuple(f"#{r:02x}{g:02x}{b:02x}" for r, g, b in np.rint(mixed).astype(int))


def hex_colour(rgb: np.ndarray) -> str:
    """Format an RGB colour with channels in 0..1 as hex; a nan channel gives neutral grey."""
    if not np.isfinite(rgb).all():
        return "#8a8f99"
    r, g, b = np.rint(np.clip(rgb, 0, 1) * 255).astype(int)
    return f"#{r:02x}{g:02x}{b:02x}"


def side_colours(theme: Theme) -> tuple[str, str]:
    """Return the colours of A and B in a comparison: near the ends of the diverging ramp.

    `sideColours` of js/compare/drawings.js takes the same.
    """
    colours = ramp(theme.diverging)
    return colours[int(len(colours) * 0.14)], colours[-1 - int(len(colours) * 0.14)]


def variables(theme: Theme) -> dict[str, str]:
    """Return a theme as CSS custom properties, including those that Bokeh reads (`--bk-…`)."""
    return {
        "--attn-background": theme.background,
        "--attn-card": theme.card,
        "--attn-ink": theme.ink,
        "--attn-muted": theme.muted,
        "--attn-line": theme.line,
        "--attn-accent": theme.accent,
        "--attn-soft": theme.soft,
        "--attn-masked": theme.masked,
        "--attn-hatch": theme.hatch,
        "--attn-bar": theme.bar,
        "--attn-side-a": side_colours(theme)[0],
        "--attn-side-b": side_colours(theme)[1],
        "--attn-ramp": ", ".join(theme.sequential),
        "--bokeh-base-font": SYSTEM_FONT,
        "--attn-invert": "1" if theme is DARK else "0",
        "--bk-major-label-text-color": theme.ink,
        "--bk-axis-label-text-color": theme.muted,
        "--bk-grid-line-color": theme.line,
    }
