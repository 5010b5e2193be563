"""What `panel serve attnpanel/app.py` serves; `attnpanel serve` serves the same."""

from __future__ import annotations

from attnpanel.page import page

page().servable(title="attnpanel")
