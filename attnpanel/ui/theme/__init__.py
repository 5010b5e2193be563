"""Light and dark theme: one stylesheet and the matching plot colours."""

from attnpanel.ui.theme.palettes import (
    DARK,
    HEAD_COLOURS,
    LIGHT,
    Theme,
    hex_colour,
    ramp,
    theme,
    variables,
)
from attnpanel.ui.theme.stylesheet import BODY_CSS, stylesheet, theme_variables

__all__ = [
    "BODY_CSS",
    "DARK",
    "HEAD_COLOURS",
    "LIGHT",
    "Theme",
    "hex_colour",
    "ramp",
    "stylesheet",
    "theme",
    "theme_variables",
    "variables",
]
