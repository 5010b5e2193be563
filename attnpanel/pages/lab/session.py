"""Create the lab's page for a new session; all sessions share one store of runs."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Final

import panel as pn

from attnpanel.pages.lab.components import LabTheme, box, styles
from attnpanel.pages.lab.link import read_link
from attnpanel.pages.lab.page import LabPage
from attnpanel.pages.lab.run_summary import capitalised
from attnpanel.training.launcher import Trainings
from attnpanel.training.store import RunStore
from attnpanel.ui import Caption
from attnpanel.ui.header import brand, start_page
from attnpanel.ui.theme import theme_variables
from attnpanel.ui.words import t

if TYPE_CHECKING:
    from attnpanel.pages.server_settings import ServerSettings

POLL_MS: Final = 500
# The event loop waits this long for another process's transaction, at most every two seconds.
WAIT_S: Final = 0.04


def lab_page(settings: ServerSettings) -> Any:
    """Return the lab's page for a new session."""
    link = start_page()
    try:
        trainings = _trainings(settings)
    except (ValueError, OSError) as error:
        return _store_error_page(str(error))
    page = LabPage(trainings, read_link(link), shared=settings.shared_runs)
    pn.state.add_periodic_callback(page.refresh, period=POLL_MS)
    return page.view


def _trainings(settings: ServerSettings) -> Trainings:
    """Return the server's trainings, which all sessions share."""
    trainings: Trainings | None = pn.state.cache.get("attnpanel.trainings")
    if trainings is None:
        trainings = Trainings(
            RunStore(settings.runs, wait_s=WAIT_S), max_running=settings.max_trainings
        )
        pn.state.cache["attnpanel.trainings"] = trainings
    return trainings


def _store_error_page(problem: str) -> Any:
    explorer_id = uuid.uuid4().hex
    view = box(
        LabTheme(explorer_id=explorer_id, width=0, height=0, margin=0),
        box(brand("lab", alone="attnpanel lab"), css="attn-header"),
        Caption(
            tone="error",
            text=f"{capitalised(problem)}. {t('Name another file: attnpanel serve --runs FILE.')}",
            margin=0,
        ),
        css=f"attn-root attn-{explorer_id} attn-light",
    )
    view.stylesheets = [theme_variables(), *styles()]
    return view
