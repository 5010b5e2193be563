"""Report that compares two sentences which differ in one word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnpanel.comparison import heads_by_change
from attnpanel.models.prompts import trace_prompt
from attnpanel.pages.compare.report import save_comparison

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from attnpanel.trace import Trace

SENTENCES = (
    "The trophy does not fit in the brown suitcase because it is too large.",
    "The trophy does not fit in the brown suitcase because it is too small.",
)
TOKEN, CANDIDATES = "it", ("trophy", "suitcase")
# The head that best distinguishes the two candidates in the first sentence.
LAYER, HEAD = 3, 1
LISTED = 5
NOTES = """
## What to compare

- A: “{one}”
- B: “{other}”

One word changes what “{token}” stands for: the {first} is too {one_word}, the {second} too {other_word}. Does the model see it?

**Where “{token}” looks changes most** in [layer {layer}, head {head}](#layer={layer}&head={head}&row={at}&temperature=1&mask=model&by=token):
{moved:.1%} of its weight goes elsewhere in the second sentence.
The most of it leaves “{loser}” ({loser_one:.1%} → {loser_other:.1%}) and arrives at “{winner}” ({winner_one:.1%} → {winner_other:.1%}).
The next heads by this measure, as *Heads by difference* ranks them:

{listed}

**But is that understanding?** In [layer {known_layer}, head {known_head}](#layer={known_layer}&head={known_head}&row={at}&temperature=1&mask=model&by=token)
“{token}” does look at the two things it could stand for:

- “{first}” gets {first_one:.1%} in the first sentence and {first_other:.1%} in the second,
- “{second}” {second_one:.1%} and {second_other:.1%}.

{verdict}

Before the first layer the two sentences differ at one token only. In layer 0 the row of “{token}” moves by at most {layer_zero:.1%} of its weight, since only one key
is another; the difference spreads from layer to layer. [All tokens together](#layer={layer}&head={head}&row={at}&by=all) say where it goes.
"""
SAME = "So it looks at the {first} more in both: this head finds candidates, and does not decide between them by the last word."
TURNED = "So its preference turns with the last word."


def build(path: Path, title: str) -> Path:
    """Write the report; needs MiniLM, which `make install` installs."""
    first, second = trace_pair()
    at = first.query_tokens[0].index(TOKEN)
    return save_comparison(
        first, second, path, title=title, notes=notes(first, second), query_index=at
    )


def trace_pair() -> tuple[Trace, Trace]:
    """Trace both sentences; they have the same number of tokens and differ in one."""
    first, second = map(trace_prompt, SENTENCES)
    return first, second


def _rows(
    first: Trace, second: Trace, layer: int, head: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the row of “it” in both sentences."""
    at = first.query_tokens[0].index(TOKEN)
    return first.calls[layer].weights(head)[at], second.calls[layer].weights(head)[at]


def notes(one: Trace, other: Trace) -> str:
    """Return the text, with numbers computed from the traces."""
    tokens, others = one.query_tokens[0], other.query_tokens[0]
    at = tokens.index(TOKEN)
    changes = heads_by_change(one, other, query_index=at)
    most = changes[0]
    before, after = _rows(one, other, most.layer, most.head)
    loser, winner = int((after - before).argmin()), int((after - before).argmax())
    known, then = _rows(one, other, LAYER, HEAD)
    first, second = (tokens.index(name) for name in CANDIDATES)
    turned = (known[first] > known[second]) != (then[first] > then[second])
    changed = next(i for i, (a, b) in enumerate(zip(tokens, others, strict=True)) if a != b)
    listed = "\n".join(
        f"- [layer {change.layer}, head {change.head}](#layer={change.layer}"
        f"&head={change.head}&row={at}&temperature=1&mask=model&by=token): {change.moved:.1%}"
        for change in changes[1:LISTED]
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
        layer=most.layer,
        head=most.head,
        moved=most.moved,
        loser=_either(tokens[loser], others[loser]),
        loser_one=before[loser],
        loser_other=after[loser],
        winner=_either(tokens[winner], others[winner]),
        winner_one=before[winner],
        winner_other=after[winner],
        listed=listed,
        known_layer=LAYER,
        known_head=HEAD,
        first_one=known[first],
        first_other=then[first],
        second_one=known[second],
        second_other=then[second],
        verdict=(TURNED if turned else SAME).format(**named),
        layer_zero=max(change.moved for change in changes if change.layer == 0),
    )


def _either(one: str, other: str) -> str:
    return one if one == other else f"{one}/{other}"
