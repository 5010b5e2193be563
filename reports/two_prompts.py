"""Two sentences that differ in one word, in one file: a batch of two."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from attnpanel.report import save_report
from attnpanel.sources.capture import capture
from attnpanel.sources.models import load_model
from attnpanel.sources.token_text import readable

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from attnpanel.trace import Trace

SENTENCES = (
    "The trophy does not fit in the brown suitcase because it is too large.",
    "The trophy does not fit in the brown suitcase because it is too small.",
)
TOKEN, CANDIDATES = "it", ("trophy", "suitcase")
# The head that tells the two things apart best in the first sentence.
LAYER, HEAD = 3, 1
LISTED = 5
NOTES = """
## What to compare

The file holds two sentences; the *Batch* control goes from one to the other:

- 0: “{one}”
- 1: “{other}”

One word changes what “{token}” stands for: the {first} is too {one_word}, the {second} too {other_word}. Does the model see it?

**Where “{token}” looks changes most** in [layer {layer}, head {head}](#layer={layer}&head={head}&mean=0&token={at}&temperature=1&mask=model&batch=0):
{moved:.1%} of its weight goes elsewhere in the [second sentence](#layer={layer}&head={head}&mean=0&token={at}&temperature=1&mask=model&batch=1).
The most of it leaves “{loser}” ({loser_one:.1%} → {loser_other:.1%}) and arrives at “{winner}” ({winner_one:.1%} → {winner_other:.1%}).
The next heads by this measure:

{listed}

**But is that understanding?** In [layer {known_layer}, head {known_head}](#layer={known_layer}&head={known_head}&mean=0&token={at}&temperature=1&mask=model&batch=0)
“{token}” does look at the two things it could stand for:

- “{first}” gets {first_one:.1%} in the first sentence and {first_other:.1%} in the second,
- “{second}” {second_one:.1%} and {second_other:.1%}.

{verdict}

Before the first layer the two sentences differ at one token only. In layer 0 the row of “{token}” moves by at most {layer_zero:.1%} of its weight, since only one key
is another; the difference spreads from layer to layer.
"""
SAME = "So it looks at the {first} more in both: this head finds candidates, and does not decide between them by the last word."
TURNED = "So its preference turns with the last word."


def build(path: Path, title: str) -> Path:
    """Write the report; needs the MiniLM that `make install` brings."""
    trace = trace_pair()
    layer, head, _ = by_change(trace)[0]
    at = trace.query_tokens[0].index(TOKEN)
    return save_report(
        trace, path, title=title, notes=notes(trace), layer=layer, head=head, query_index=at
    )


def trace_pair() -> Trace:
    """Run both sentences through MiniLM at once."""
    import torch

    loaded = load_model("minilm")
    # Of one length in tokens, or this raises: padding would be a difference of its own.
    inputs = loaded.tokenizer(list(SENTENCES), return_tensors="pt")
    rows = [
        readable(loaded.tokenizer.convert_ids_to_tokens(row.tolist()), byte_level=False)
        for row in inputs["input_ids"]
    ]
    with torch.inference_mode(), capture(loaded.model, tokens=rows) as trace:
        loaded.model(**inputs)
    trace.source, trace.model = "two prompts", loaded.name
    return trace


def by_change(trace: Trace) -> list[tuple[int, int, float]]:
    """Each head as (layer, head, share of the weight of "it" that moves), the largest first."""
    moved = [
        (layer, head, float(np.abs(other - one).sum() / 2))
        for layer, call in enumerate(trace.calls)
        for head in range(call.heads)
        for one, other in [_rows(trace, layer, head)]
    ]
    return sorted(moved, key=lambda row: -row[2])


def _rows(trace: Trace, layer: int, head: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The row of "it" in both sentences."""
    at, call = trace.query_tokens[0].index(TOKEN), trace.calls[layer]
    return call.weights(head, 0)[at], call.weights(head, 1)[at]


def notes(trace: Trace) -> str:
    """Return what to compare, its numbers computed from the trace."""
    tokens, others = trace.query_tokens
    at = tokens.index(TOKEN)
    changes = by_change(trace)
    layer, head, moved = changes[0]
    one, other = _rows(trace, layer, head)
    loser, winner = int((other - one).argmin()), int((other - one).argmax())
    known_one, known_other = _rows(trace, LAYER, HEAD)
    first, second = (tokens.index(name) for name in CANDIDATES)
    turned = (known_one[first] > known_one[second]) != (known_other[first] > known_other[second])
    changed = next(i for i, (a, b) in enumerate(zip(tokens, others, strict=True)) if a != b)
    listed = "\n".join(
        f"- [layer {number}, head {its}](#layer={number}&head={its}&mean=0&token={at}"
        f"&temperature=1&mask=model): {share:.1%}"
        for number, its, share in changes[1:LISTED]
    )
    named = {"first": CANDIDATES[0], "second": CANDIDATES[1]}
    return NOTES.format(
        **named,
        one=SENTENCES[0],
        other=SENTENCES[1],
        one_word=tokens[changed],
        other_word=others[changed],
        token=TOKEN,
        at=at,
        layer=layer,
        head=head,
        moved=moved,
        loser=_either(tokens[loser], others[loser]),
        loser_one=one[loser],
        loser_other=other[loser],
        winner=_either(tokens[winner], others[winner]),
        winner_one=one[winner],
        winner_other=other[winner],
        listed=listed,
        known_layer=LAYER,
        known_head=HEAD,
        first_one=known_one[first],
        first_other=known_other[first],
        second_one=known_one[second],
        second_other=known_other[second],
        verdict=(TURNED if turned else SAME).format(**named),
        layer_zero=max(share for number, _, share in changes if number == 0),
    )


def _either(one: str, other: str) -> str:
    return one if one == other else f"{one}/{other}"
