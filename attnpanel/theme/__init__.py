"""The look of the page: one stylesheet, and plots made from the same values."""

from attnpanel.theme.palettes import DARK, LIGHT, Theme, hex_colour, ramp, theme, variables
from attnpanel.theme.stylesheet import look_variables, stylesheet

__all__ = [
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
