"""The look of the page: one stylesheet, and plots made from the same values."""

from attnpanel.theme.palettes import DARK, LIGHT, Theme, hex_colour, ramp, theme, variables
from attnpanel.theme.stylesheet import BODY_CSS, look_variables, stylesheet

__all__ = [
    "BODY_CSS",
    "DARK",
    "LIGHT",
    "Theme",
    "hex_colour",
    "look_variables",
    "ramp",
    "stylesheet",
    "theme",
    "variables",
]
