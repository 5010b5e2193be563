"""Trace files."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from os import PathLike

    from attnpanel.trace import Trace


def save_trace(trace: Trace, path: str | PathLike[str], *, tokens: bool) -> None:
    """Write a trace file."""
    raise NotImplementedError


def load_trace(path: str | PathLike[str]) -> Trace:
    """Read a trace file."""
    raise NotImplementedError


def parse_trace(data: bytes, name: str) -> Trace:
    """Read the content of a trace file."""
    raise NotImplementedError
