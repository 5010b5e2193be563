"""What `panel serve attnpanel/pages/app.py` serves; `attnpanel serve` serves the same."""

from __future__ import annotations

import panel as pn
from tornado.process import task_id

from attnpanel.pages.explorer.page import page
from attnpanel.ui.page_status import with_status

if task_id() is None:
    with_status(page()).servable(title="attnpanel")
else:
    pn.pane.Str(
        "A page lives in one process: start several servers behind a proxy in place of --num-procs."
    ).servable(title="attnpanel")
