"""Report with MiniLM in the file: its reader types a text and sees its attention."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from attnpanel.models.prompts import trace_prompt
from attnpanel.pages.explorer.report import save_report

if TYPE_CHECKING:
    from pathlib import Path

    from attnpanel.trace import Trace

PROMPT = "The trophy does not fit because it is too large."
LAYER, HEAD, TOKEN = 3, 1, "it"
# What to try, and the token to look from.
AMBIGUOUS = (
    ("The ball hit the window and it broke.", "it"),
    ("The dog chased the cat until it was tired.", "it"),
    ("Anna gave Maria the book because she had read it.", "she"),
)
REPEATED = "red fox blue owl green elk red fox blue owl green elk"
UNKNOWN = "A duck 🦆 quacks."
NOTES = """
## Type, press Enter, look

This file holds the whole of MiniLM ({layers} layers of {heads} heads). Nothing you type leaves it: it opens without a network, and it works in an
airplane, on a stick, and in ten years. Type in any language; what the model has never seen comes out as pieces.

**What does “it” look at?** Layer {layer}, head {head} often finds what a pronoun stands for. In the text above “{token}” gives {weight:.0%} of its weight
to “{first}”. Is that understanding, or does it take any noun? Try sentences in which only the meaning decides, then change one word and look again:

{ambiguous}

**What does a model do with what repeats?** [{repeated}](#prompt={repeated_link}&layer=0&head=0&token=7): open *Read the heads*, and sort *Induction*.

**What it can't read.** [{unknown}](#prompt={unknown_link}&layer={layer}&head={head}): the sign becomes [UNK], as any other that the vocabulary lacks.
Does the rest of the sentence notice?

Questions. Does the order of two names in a sentence change which of them “she” looks at? Write a sentence twice, once with a comma and once without: in
which layer do the patterns part? Which heads look the same whatever you type?
"""


def build(path: Path, title: str) -> Path:
    """Write the report; needs MiniLM, which `make install` installs."""
    trace = trace_prompt(PROMPT)
    return save_report(
        trace,
        path,
        title=title,
        notes=notes(trace),
        model=True,
        layer=LAYER,
        head=HEAD,
        query_index=trace.query_tokens[0].index(TOKEN),
    )


def notes(trace: Trace) -> str:
    """Return the text, with numbers computed from the trace."""
    tokens = trace.query_tokens[0]
    row = trace.calls[LAYER].weights(HEAD)[tokens.index(TOKEN)]
    return NOTES.format(
        layers=len(trace.calls),
        heads=trace.calls[0].heads,
        layer=LAYER,
        head=HEAD,
        token=TOKEN,
        first=tokens[row.argmax()],
        weight=row.max(),
        ambiguous="\n".join(f"- [{text}](#{link(text, token)})" for text, token in AMBIGUOUS),
        repeated=REPEATED,
        repeated_link=quote(REPEATED),
        unknown=UNKNOWN,
        unknown_link=quote(UNKNOWN),
    )


def link(text: str, token: str) -> str:
    """Return the address of a text, opened at one of its tokens."""
    at = trace_prompt(text).query_tokens[0].index(token)
    return f"prompt={quote(text)}&layer={LAYER}&head={HEAD}&token={at}"
