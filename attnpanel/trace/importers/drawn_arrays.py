"""Arrays as other viewers take them to draw."""

from __future__ import annotations

from typing import Any

from attnpanel.attention.as_numpy import as_floats
from attnpanel.trace.trace import Trace


def only_the_caller_knows(_source: object) -> bool:
    """Return False: four axes may be layers or sequences."""
    return False


def read_inspectus(source: Any, tokens: Any = (), *, key_tokens: Any = None) -> Trace:
    """Read what ``inspectus.attention(attn, tokens)`` takes: layers (H, T, S) or (1, H, T, S)."""
    return _layers(source, tokens, key_tokens, "inspectus")


def read_circuitsvis(source: Any, tokens: Any = (), *, key_tokens: Any = None) -> Trace:
    """Read what CircuitsVis takes: (T, S), heads (H, T, S), or layers of them (L, H, T, S)."""
    return _layers(source, tokens, key_tokens, "circuitsvis")


def _layers(source: Any, tokens: Any, key_tokens: Any, name: str) -> Trace:
    if hasattr(source, "shape") and len(source.shape) == 4:
        source = list(as_floats(name, source))
    return Trace.from_weights(source, tokens, key_tokens=key_tokens, source=name)
