"""The pages that `attnpanel serve` serves: to add one is one function and one row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attnpanel.compare_page import compare_page
from attnpanel.exercises_page import exercises_page
from attnpanel.lab.page import lab_page
from attnpanel.page import page

if TYPE_CHECKING:
    from collections.abc import Callable

    from attnpanel.choosers import Settings


@dataclass(frozen=True)
class SitePage:
    """A page of the package.

    Attributes
    ----------
    name : str
        The last part of its address; empty for the first page.
    title : str
        What the other pages call it in their links.
    make : function of Settings
        Makes a new visitor's page.
    """

    name: str
    title: str
    make: Callable[[Settings], Any]


PAGES: tuple[SitePage, ...] = (
    SitePage("", "Explorer", page),
    SitePage("compare", "Compare", compare_page),
    SitePage("lab", "Lab", lab_page),
    SitePage("exercises", "Exercises", exercises_page),
)
