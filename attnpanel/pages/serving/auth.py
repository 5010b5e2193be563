"""Panel's own authentication, as `attnpanel serve --auth` sets it up."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Final

COOKIE_SECRET: Final = "PANEL_COOKIE_SECRET"  # noqa: S105 - the name of a variable


def auth_options(auth: str | None) -> dict[str, str]:
    """Return the arguments of Panel's server for a file of users, or for an OAuth provider.

    Cookies are signed with ``PANEL_COOKIE_SECRET``; without it a secret is drawn at each start, so
    that visitors sign in again after a restart.

    Raises
    ------
    ValueError
        If it is neither a file of users and passwords nor a provider of Panel's.
    """
    if auth is None:
        return {}
    from panel.auth import AUTH_PROVIDERS

    options = {"cookie_secret": os.environ.get(COOKIE_SECRET) or secrets.token_hex(32)}
    path = Path(auth)
    if path.suffix == ".json" or path.is_file():
        _check_users(path)
        return options | {"basic_auth": str(path)}
    if auth in AUTH_PROVIDERS:
        return options | {"oauth_provider": auth}
    providers = ", ".join(sorted(AUTH_PROVIDERS))
    raise ValueError(f"--auth must be a JSON file of users, or one of {providers}; got {auth!r}")


def _check_users(path: Path) -> None:
    """Raise ValueError unless a file is a JSON object of users and their passwords."""
    try:
        users = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        users = None
    texts = [*users.items()] if isinstance(users, dict) else []
    if not texts or not all(isinstance(text, str) and text for pair in texts for text in pair):
        raise ValueError(f'{path} must be a JSON object of users: {{"user": "password"}}')
