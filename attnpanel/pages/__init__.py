"""The served pages, each with its offline report beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attnpanel.pages.server_settings import ServerSettings

__all__ = ["create_app"]


def create_app(page: str = "explorer", settings: ServerSettings | None = None) -> Any:
    """Return one of the pages of ``attnpanel serve`` for a session of your own Panel server.

    Call it once a session, as a script under ``panel serve`` does:
    ``create_app("lab").servable()``.

    Parameters
    ----------
    page : str, optional
        Name of the page, which is its title in lower case: ``"explorer"``, ``"compare"``, …
    settings : ServerSettings, optional
        Traces, models and limits; see :class:`attnpanel.pages.server_settings.ServerSettings`. By
        default MiniLM and uploads.

    Returns
    -------
    panel.viewable.Viewable

    Raises
    ------
    ValueError
        If there is no such page.
    """
    from attnpanel.attention.validation import check_choice
    from attnpanel.pages.registry import PAGES
    from attnpanel.pages.server_settings import ServerSettings
    from attnpanel.ui.page_status import with_status

    pages = {one.title.lower(): one for one in PAGES}
    check_choice("page", page, tuple(pages))
    return with_status(pages[page].make(settings or ServerSettings()))
