"""The measured traces and reports, and the presets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from attnpanel.models.prompts import trace_prompt
from attnpanel.models.toy import toy_trace
from attnpanel.trace import AttentionCall, Trace

if TYPE_CHECKING:
    from collections.abc import Callable

# Every word is one token of MiniLM, so a text of any number of tokens is easy to make.
TEXT = """
the trophy does not fit in the brown suitcase because it is too large . the man who had won it
for the school said that he would not leave it at home , so his sister found a second box in the
house and put the old books on the table . when the train came to the station they were late ,
and the door of the last car was closed before she could open it . he looked at the clock , then
at the rain , and said that there was still time to walk over the bridge to the other side of the
river , where a small boat left the city every hour .
"""
SPECIAL_TOKENS = 2  # MiniLM puts one before and one after
MINILM_HEADS = 12
# GPT-2 small.
WIDE_HEADS, WIDE_HEAD_DIM = 12, 64


def toy() -> Trace:
    """Return the toy trace: 8 tokens, 4 heads."""
    return toy_trace()


def minilm(tokens: int) -> Trace:
    """Return MiniLM's trace (6 layers of 12 heads) of English text with this many tokens."""
    count = tokens - SPECIAL_TOKENS
    words = TEXT.split() * (count // len(TEXT.split()) + 1)
    trace = trace_prompt(" ".join(words[:count]))
    length = len(trace.query_tokens[0])
    if length != tokens:
        raise ValueError(f"the text must give {tokens} tokens; got {length}")
    return trace


def gpt2_shaped(tokens: int) -> Trace:
    """Return a causal layer of random numbers shaped like GPT-2 small: 12 heads of 64 channels."""
    rng = np.random.default_rng(0)
    query, key, value = (
        rng.standard_normal((1, WIDE_HEADS, tokens, WIDE_HEAD_DIM)).astype(np.float32)
        for _ in range(3)
    )
    call = AttentionCall("random", 0, query=query, key=key, value=value, causal="top_left")
    names = [f"t{index}" for index in range(tokens)]
    return Trace([call], query_tokens=[names], source="random numbers")


@dataclass(frozen=True)
class Source:
    """A trace to measure, made on demand."""

    name: str
    make: Callable[[], Trace]
    query_len: int
    heads: int  # of a layer


def _minilm(tokens: int) -> Source:
    return Source(f"MiniLM T={tokens}", lambda: minilm(tokens), tokens, MINILM_HEADS)


TOY = Source("toy T=8", toy, 8, 4)
MINILM_16, MINILM_128, MINILM_512 = map(_minilm, (16, 128, 512))
WIDE_2048 = Source("GPT-2 shape T=2048, 1 layer", lambda: gpt2_shaped(2048), 2048, WIDE_HEADS)


@dataclass(frozen=True)
class ReportCase:
    """A report of a trace, and the number of repetitions of each measurement.

    Attributes
    ----------
    source : Source
    values : bool
        Whether the file holds values.
    exports, openings : int
        Number of processes that write it and of browsers that open it.
    presses : int
        Presses of each slider in the last browser; 0 for none. "aggregate" is pressed once in each
        browser, and the last press is not timed, so at least two openings are needed.
    """

    source: Source
    values: bool
    exports: int
    openings: int
    presses: int

    def __post_init__(self) -> None:
        if self.presses and self.openings < 2:
            raise ValueError(f"presses need at least two openings; got {self.openings}")


@dataclass(frozen=True)
class Preset:
    """What a run measures; each row of `peers` is a trace and the peers that show it."""

    name: str
    floor_openings: int
    reports: tuple[ReportCase, ...]
    peers: tuple[tuple[Source, tuple[str, ...]], ...]
    export_limit_s: float
    open_limit_s: float


ALL_PEERS = ("bertviz-head", "bertviz-model", "inspectus", "circuitsvis", "attnview")
FULL = Preset(
    "full",
    floor_openings=3,
    reports=(
        ReportCase(TOY, values=True, exports=3, openings=2, presses=8),
        ReportCase(MINILM_16, values=False, exports=1, openings=1, presses=0),
        ReportCase(MINILM_16, values=True, exports=1, openings=2, presses=6),
        ReportCase(MINILM_128, values=False, exports=1, openings=1, presses=0),
        ReportCase(MINILM_128, values=True, exports=1, openings=2, presses=6),
        ReportCase(MINILM_512, values=False, exports=3, openings=4, presses=20),
        ReportCase(MINILM_512, values=True, exports=2, openings=2, presses=10),
        ReportCase(WIDE_2048, values=False, exports=1, openings=2, presses=10),
    ),
    # BertViz's two views write the same data; one is enough at a size that takes minutes.
    peers=(
        (MINILM_128, ALL_PEERS),
        (MINILM_512, tuple(name for name in ALL_PEERS if name != "bertviz-model")),
    ),
    export_limit_s=150.0,
    open_limit_s=60.0,
)
QUICK = Preset(
    "quick",
    floor_openings=1,
    reports=(
        ReportCase(TOY, values=True, exports=1, openings=2, presses=3),
        ReportCase(MINILM_16, values=False, exports=1, openings=1, presses=0),
    ),
    peers=((MINILM_16, ALL_PEERS),),
    export_limit_s=60.0,
    open_limit_s=30.0,
)
# Small enough for a test, without a model.
TOY_ONLY = Preset("toy", 0, QUICK.reports[:1], (), 60.0, 30.0)
