"""Attention calls of a forward pass and their tokens, for views and analyses."""

from __future__ import annotations

from attnpanel.trace.call import AttentionCall
from attnpanel.trace.trace import Trace

__all__ = ["AttentionCall", "Trace"]
