"""What runs in the browser: JavaScript modules and their Python sides."""

from attnpanel.browser.annotations_component import Annotations, add_marks
from attnpanel.browser.comparison_component import (
    ComparisonDriver,
    Explanation,
    HeadList,
    TokenPairs,
)
from attnpanel.browser.components import (
    CopyLink,
    Download,
    Interaction,
    SentenceLine,
    ThemeButton,
    TokenStrip,
    Upload,
    Words,
)
from attnpanel.browser.head_maps_component import HeadMaps

__all__ = [
    "Annotations",
    "ComparisonDriver",
    "CopyLink",
    "Download",
    "Explanation",
    "HeadList",
    "HeadMaps",
    "Interaction",
    "SentenceLine",
    "ThemeButton",
    "TokenPairs",
    "TokenStrip",
    "Upload",
    "Words",
    "add_marks",
]
