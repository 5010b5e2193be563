"""The pages that `attnpanel serve` serves; a new page is one function and one row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attnpanel.pages.compare.page import compare_page
from attnpanel.pages.exercises.page import exercises_page
from attnpanel.pages.explorer.page import page
from attnpanel.pages.lab.session import lab_page
from attnpanel.pages.variants.page import variants_page

if TYPE_CHECKING:
    from collections.abc import Callable

    from attnpanel.pages.server_settings import ServerSettings


@dataclass(frozen=True)
class SitePage:
    """A page of the package.

    Attributes
    ----------
    name : str
        Last part of its URL; empty for the first page.
    title : str
        Text of the links to it.
    make : callable
        Takes ServerSettings and returns the page of a new session.
    """

    name: str
    title: str
    make: Callable[[ServerSettings], Any]


PAGES: tuple[SitePage, ...] = (
    SitePage("", "Explorer", page),
    SitePage("compare", "Compare", compare_page),
    SitePage("lab", "Lab", lab_page),
    SitePage("exercises", "Exercises", exercises_page),
    SitePage("variants", "Variants", variants_page),
)
