"""The stylesheet, and the colours of both themes as CSS variables."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from attnpanel.ui.theme.palettes import DARK, LIGHT, Theme, variables

# The files of the one stylesheet of every component, in order: a later one prevails. Each rule must
# work inside a shadow root.
FILES = (
    "layout.css",
    "header.css",
    "texts.css",
    "plots.css",
    "controls.css",
    "pages.css",
    "learning.css",
    "lines.css",
    "picture.css",
    "why.css",
    "print.css",
)
# The page around the explorer: the system's preference until a theme is chosen.
BODY_CSS = f"""
body {{ margin: 0; background: {LIGHT.background}; }}
@media (prefers-color-scheme: dark) {{ body {{ background: {DARK.background}; }} }}
html.attn-light-page body {{ background: {LIGHT.background}; }}
html.attn-dark-page body {{ background: {DARK.background}; }}
@page {{ size: A4 landscape; margin: 10mm; }}
@media print {{ html:root body {{ background: none; }} }}
"""


@cache
def stylesheet() -> str:
    """Return the stylesheet that every component of a page uses."""
    return "\n".join(Path(__file__).with_name(name).read_text(encoding="utf-8") for name in FILES)


@cache
def theme_variables() -> str:
    """Return the CSS variables of both themes, for the outermost element only.

    Custom properties are inherited into every shadow root; a component that declared them again
    would not follow a change of theme.
    """
    light, dark = _declare(LIGHT), _declare(DARK)
    return f":host {{\n{light}}}\n:host(.attn-dark) {{\n{dark}  color-scheme: dark;\n}}\n"


def _declare(theme: Theme) -> str:
    return "".join(f"  {name}: {value};\n" for name, value in variables(theme).items())
