"""Components that run in the browser: JavaScript bundles and their Python sides."""

from attnpanel.ui.comparison_component import (
    ComparisonDriver,
    Explanation,
    HeadList,
    ScoreContrast,
    TokenPairs,
)
from attnpanel.ui.components import (
    ActionButton,
    Caption,
    CopyLink,
    Download,
    Interaction,
    Legend,
    LessonCard,
    LineChoices,
    MoreButton,
    OnPicture,
    SentenceLine,
    StepTabs,
    ThemeButton,
    TokenStrip,
    Upload,
    WhyToken,
)
from attnpanel.ui.head_maps_component import HeadMaps
from attnpanel.ui.notes_component import Annotations, add_marks

__all__ = [
    "ActionButton",
    "Annotations",
    "Caption",
    "ComparisonDriver",
    "CopyLink",
    "Download",
    "Explanation",
    "HeadList",
    "HeadMaps",
    "Interaction",
    "Legend",
    "LessonCard",
    "LineChoices",
    "MoreButton",
    "OnPicture",
    "ScoreContrast",
    "SentenceLine",
    "StepTabs",
    "ThemeButton",
    "TokenPairs",
    "TokenStrip",
    "Upload",
    "WhyToken",
    "add_marks",
]
