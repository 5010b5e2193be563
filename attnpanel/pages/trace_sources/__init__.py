"""Where a page's trace comes from: the toy, a prompt through a model, or a trace file."""

from __future__ import annotations

from attnpanel.pages.trace_sources.file import FileSource
from attnpanel.pages.trace_sources.prompt import PromptSource
from attnpanel.pages.trace_sources.toy import ToySource

__all__ = ["FileSource", "PromptSource", "ToySource"]
