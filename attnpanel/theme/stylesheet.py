"""The one stylesheet, and the colours of both looks as its variables."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from attnpanel.theme.palettes import DARK, LIGHT, Theme, variables

# The page around the explorer: the reader's own preference until the explorer follows it.
BODY_CSS = f"""
body {{ margin: 0; background: {LIGHT.background}; }}
@media (prefers-color-scheme: dark) {{ body {{ background: {DARK.background}; }} }}
html.attn-light-page body {{ background: {LIGHT.background}; }}
html.attn-dark-page body {{ background: {DARK.background}; }}
"""


@cache
def stylesheet() -> str:
    """Return the rules that every component of the page wears."""
    return Path(__file__).with_name("attnpanel.css").read_text(encoding="utf-8")


@cache
def look_variables() -> str:
    """Return the colours of both looks; only the outermost element wears them.

    Custom properties reach into every shadow root below; a component that declared them again
    would not follow the page into the dark.
    """
    light, dark = _declare(LIGHT), _declare(DARK)
    return f":host {{\n{light}}}\n:host(.attn-dark) {{\n{dark}  color-scheme: dark;\n}}\n"


def _declare(look: Theme) -> str:
    return "".join(f"  {name}: {value};\n" for name, value in variables(look).items())
