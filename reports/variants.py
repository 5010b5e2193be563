"""Report of variants of attention and their price."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnpanel.pages.variants.report import save_variants

if TYPE_CHECKING:
    from pathlib import Path


def build(path: Path, title: str) -> Path:
    """Write the report."""
    return save_variants(path, title=title)
