"""`/health`: whether the server answers, for pages that wait for it and for supervisors."""

from __future__ import annotations

import os
import time
import uuid
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Final

from tornado.web import RequestHandler

from attnpanel.ui.refusals import REFUSALS
from attnpanel.ui.worker_pool import counts_of

if TYPE_CHECKING:
    from attnpanel.pages.prompt_runs.local import PromptRuns


class Health(RequestHandler):
    """Answers as JSON: the server's identity, which differs after a restart, and its load."""

    def get(self) -> None:
        """Answer in about 0.1 ms."""
        self.set_header("Cache-Control", "no-store")
        settings = self.application.settings
        self.write(health(settings.get("attnpanel_sessions"), settings.get("attnpanel_prompts")))

    head = get


def health(sessions: Any = None, prompts: PromptRuns | None = None) -> dict[str, Any]:
    """Return what `/health` says; `sessions` are the server's OpenSessions."""
    counts = None
    if sessions is not None:
        counts = {"open": sessions.count, "most": sessions.most}
    return {
        "status": "ok" if sessions is None or sessions.refusal is None else "full",
        "server": IDENTITY,
        "version": VERSION,
        "uptime_s": round(time.monotonic() - STARTED, 1),
        "sessions": counts,
        "queue": counts_of(),
        "prompts": prompts and prompts.counts(),
        "refused_messages": REFUSALS.count,
    }


def _version() -> str | None:
    try:
        return version("attnpanel")
    except PackageNotFoundError:  # a checkout that is not installed has none
        return None


IDENTITY: Final = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
VERSION: Final = _version()
STARTED: Final = time.monotonic()
HEALTH: Final = ("/health", Health)
