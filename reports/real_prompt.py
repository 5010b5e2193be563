"""Report on a sentence through MiniLM, opened at a head that resolves “it”."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from attnpanel.models.prompts import trace_prompt
from attnpanel.pages.explorer.report import save_report

if TYPE_CHECKING:
    from pathlib import Path

    from attnpanel.trace import Trace

PROMPT = "The trophy does not fit in the brown suitcase because it is too large."
LAYER, HEAD, TOKEN = 3, 1, "it"
NOTES = """
## What to look at

“{prompt}” went through MiniLM ({layers} layers of {heads} heads), a small model that turns sentences into vectors. Nobody told it what
“{token}” stands for.

- In [layer {layer}, head {head}](#layer={layer}&head={head}&mean=0&token={at}&temperature=1&mask=model) “{token}” gives **{first_weight:.0%}** of its weight to “{first}”
  and {second_weight:.0%} to “{second}”: the two things it could stand for, in this order.
- That is one head of {all_heads}. Of them, “{first}” is what “{token}” looks at most in {agreeing}. Tap through *All heads* and see what
  the others do: many look at a neighbour, at “[SEP]”, or at everything a little.
- Does the head know what “{token}” means, or does it look for any noun? Tap
  [“{noun}”](#layer={layer}&head={head}&mean=0&token={noun_at}&temperature=1&mask=model): it gives “{noun_first}” {noun_weight:.0%}.
- Look back only: [a causal mask](#layer={layer}&head={head}&mean=0&token={at}&temperature=1&mask=causal) takes away what comes after “{token}”.
  The model was never trained so; its weights only share what is left among fewer tokens.

A weight says where a head reads, not what the model concludes. To learn whether it matters, change the sentence and compare: the report
*One word changed* does so.
"""


def build(path: Path, title: str) -> Path:
    """Write the report; needs MiniLM, which `make install` installs."""
    trace = trace_prompt(PROMPT)
    at = trace.query_tokens[0].index(TOKEN)
    return save_report(
        trace, path, title=title, notes=notes(trace), layer=LAYER, head=HEAD, query_index=at
    )


def notes(trace: Trace) -> str:
    """Return the text, with numbers computed from the trace."""
    tokens = trace.query_tokens[0]
    at, noun_at = tokens.index(TOKEN), tokens.index("suitcase")
    weights = trace.calls[LAYER].weights(HEAD)
    first, second = np.argsort(-weights[at])[:2]
    noun_first = int(weights[noun_at].argmax())
    agreeing = sum(
        int(call.weights(head)[at].argmax() == first)
        for call in trace.calls
        for head in range(call.heads)
    )
    return NOTES.format(
        prompt=PROMPT,
        layers=len(trace.calls),
        heads=trace.calls[0].heads,
        all_heads=sum(call.heads for call in trace.calls),
        layer=LAYER,
        head=HEAD,
        token=TOKEN,
        at=at,
        first=tokens[first],
        first_weight=weights[at, first],
        second=tokens[second],
        second_weight=weights[at, second],
        agreeing=agreeing,
        noun=tokens[noun_at],
        noun_at=noun_at,
        noun_first=tokens[noun_first],
        noun_weight=weights[noun_at, noun_first],
    )
