"""What runs in the browser: JavaScript modules and their Python sides."""

from attnpanel.browser.components import (
    CopyLink,
    Interaction,
    SentenceLine,
    ThemeButton,
    TokenStrip,
    Upload,
    Words,
)

__all__ = [
    "CopyLink",
    "Interaction",
    "SentenceLine",
    "ThemeButton",
    "TokenStrip",
    "Upload",
    "Words",
]
