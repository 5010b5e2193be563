"""See attention, check it, time it.

Everything that produces attention produces a :class:`Trace`; everything that shows
attention takes a :class:`Trace`. Importing this package loads NumPy only: torch, Panel
and HoloViews are loaded by the first name that needs them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from attnpanel.attention.masks import make_mask
from attnpanel.attention.reference import Attention, attend, softmax

if TYPE_CHECKING:
    from attnpanel.explorer.explorer import Explorer as Explorer
    from attnpanel.explorer.paper_figure.head_figure import HeadFigure as HeadFigure
    from attnpanel.explorer.paper_figure.head_figure import head_figure as head_figure
    from attnpanel.explorer.trace_elements import TraceElements as TraceElements
    from attnpanel.models.capture.capture import capture as capture
    from attnpanel.models.capture.record import record as record
    from attnpanel.models.generation import trace_generation as trace_generation
    from attnpanel.models.intervene.head_importance import head_importance as head_importance
    from attnpanel.models.intervene.intervene import intervene as intervene
    from attnpanel.models.prompts import trace_prompt as trace_prompt
    from attnpanel.models.toy import make_toy_data as make_toy_data
    from attnpanel.models.toy import rgb_from_values as rgb_from_values
    from attnpanel.models.toy import toy_trace as toy_trace
    from attnpanel.pages.compare.comparison import Comparison as Comparison
    from attnpanel.pages.compare.report import save_comparison as save_comparison
    from attnpanel.pages.explorer.report import save_report as save_report
    from attnpanel.pages.variants.variants import Variants as Variants
    from attnpanel.trace import AttentionCall as AttentionCall
    from attnpanel.trace import Trace as Trace
    from attnpanel.trace.head_outputs import HeadOutputs as HeadOutputs
    from attnpanel.trace.importers import import_trace as import_trace
    from attnpanel.trace.rotary import Rotary as Rotary

__version__ = "0.1.0"

# Public names that are loaded on first use, and the module that holds each.
_LAZY = {
    "AttentionCall": "attnpanel.trace.trace",
    "Comparison": "attnpanel.pages.compare.comparison",
    "Explorer": "attnpanel.explorer.explorer",
    "HeadFigure": "attnpanel.explorer.paper_figure.head_figure",
    "HeadOutputs": "attnpanel.trace.head_outputs",
    "Rotary": "attnpanel.trace.rotary",
    "Trace": "attnpanel.trace.trace",
    "TraceElements": "attnpanel.explorer.trace_elements",
    "Variants": "attnpanel.pages.variants.variants",
    "capture": "attnpanel.models.capture.capture",
    "head_figure": "attnpanel.explorer.paper_figure.head_figure",
    "head_importance": "attnpanel.models.intervene.head_importance",
    "import_trace": "attnpanel.trace.importers",
    "intervene": "attnpanel.models.intervene.intervene",
    "make_toy_data": "attnpanel.models.toy",
    "record": "attnpanel.models.capture.record",
    "rgb_from_values": "attnpanel.models.toy",
    "save_comparison": "attnpanel.pages.compare.report",
    "save_report": "attnpanel.pages.explorer.report",
    "toy_trace": "attnpanel.models.toy",
    "trace_generation": "attnpanel.models.generation",
    "trace_prompt": "attnpanel.models.prompts",
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
