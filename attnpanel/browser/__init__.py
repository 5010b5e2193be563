"""What runs in the browser: JavaScript modules and their Python sides."""

from attnpanel.browser.components import (
    CopyLink,
    Interaction,
    SentenceLine,
    TokenStrip,
    Upload,
    Words,
)

__all__ = ["CopyLink", "Interaction", "SentenceLine", "TokenStrip", "Upload", "Words"]
