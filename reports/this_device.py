"""The bench as a page: it certifies and times attention on the device that opens it."""

from __future__ import annotations

from attnpanel.bench.offline.page import save_offline_page as build

__all__ = ["build"]
