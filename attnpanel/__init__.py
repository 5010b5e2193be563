"""See attention, check it, time it.

Everything that produces attention produces a :class:`Trace`; everything that shows
attention takes a :class:`Trace`. Importing this package loads NumPy only: torch, Panel
and HoloViews are loaded by the first name that needs them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from attnpanel.attention import Attention, attend, softmax
from attnpanel.masks import make_mask

if TYPE_CHECKING:
    from attnpanel.compare import Comparison as Comparison
    from attnpanel.compare_report import save_comparison as save_comparison
    from attnpanel.explorer import Explorer as Explorer
    from attnpanel.report import save_report as save_report
    from attnpanel.sources.ablation import head_importance as head_importance
    from attnpanel.sources.capture import capture as capture
    from attnpanel.sources.capture_record import record as record
    from attnpanel.sources.generation import trace_generation as trace_generation
    from attnpanel.sources.intervene import intervene as intervene
    from attnpanel.sources.prompts import trace_prompt as trace_prompt
    from attnpanel.sources.toy import make_toy_data as make_toy_data
    from attnpanel.sources.toy import rgb_from_values as rgb_from_values
    from attnpanel.sources.toy import toy_trace as toy_trace
    from attnpanel.trace import AttentionCall as AttentionCall
    from attnpanel.trace import Trace as Trace

__version__ = "0.1.0"

# Public names that are loaded on first use, and the module that holds each.
_LAZY = {
    "AttentionCall": "attnpanel.trace",
    "Comparison": "attnpanel.compare",
    "Explorer": "attnpanel.explorer",
    "Trace": "attnpanel.trace",
    "capture": "attnpanel.sources.capture",
    "head_importance": "attnpanel.sources.ablation",
    "intervene": "attnpanel.sources.intervene",
    "make_toy_data": "attnpanel.sources.toy",
    "record": "attnpanel.sources.capture_record",
    "rgb_from_values": "attnpanel.sources.toy",
    "save_comparison": "attnpanel.compare_report",
    "save_report": "attnpanel.report",
    "toy_trace": "attnpanel.sources.toy",
    "trace_generation": "attnpanel.sources.generation",
    "trace_prompt": "attnpanel.sources.prompts",
}

__all__ = [  # noqa: PLE0604 - the eager names, then the lazy ones from the table above
    "Attention",
    "attend",
    "make_mask",
    "softmax",
    *_LAZY,
]


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module 'attnpanel' has no attribute {name!r}")
    value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
