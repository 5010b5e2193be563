"""Lesson on eight random tokens and four heads, with experiments and questions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnpanel.analysis import entropy
from attnpanel.models.toy import toy_trace
from attnpanel.pages.explorer.report import save_report

if TYPE_CHECKING:
    from pathlib import Path

    from attnpanel.trace import Trace

HEAD, TOKEN = 0, 5
FOREWORD = (
    "[Start the lesson](#lesson=1): eight short steps beside the plots, each with something to guess and to try. "
    "Leave it whenever you like; what stands below the plots is for going on by yourself."
)
# A link such as #head=2 sets the explorer's choices, as the fragment of the URL does.
NOTES = """
## What is on this page

{tokens} tokens, called t0 to t{last}. Each has a **query** (what it looks for), a **key** (what it can be found by) and a
**value** (what it gives). All are random numbers, so nothing here means anything: what you learn is what attention *does*.

1. **Score**: how well each query (row) fits each key (column), `q·k / √{width}`. Blue is below zero, red above.
2. **Softmax**: each row of scores becomes weights that are positive and sum to 1.
3. **Mix**: each token becomes the sum of all values, each times its weight. *Paint mixing* shows the same with colours.

The sentence below the plots shows the arithmetic of one pair, with its real numbers. Point at a cell to choose the pair.

## Try it

The lesson at the top goes through these ideas step by step. Here, click an experiment and look above: the page has gone there.

- **Another token.** Tap a token, or press ↓ and ↑. [t{token} in head {head}](#layer=0&head={head}&mean=0&token={token}&temperature=1&mask=none)
  gives its largest weight, {most:.1%}, to t{top}.
- **Another head.** Press → and ←, or tap a tile under *All heads*. The same token looks elsewhere:
  [head {other}](#head={other}&mean=0&token={token}&temperature=1&mask=none) gives {other_most:.1%} to t{other_top}. Each head has queries and keys of its own.
- **Cold.** [Temperature 0.1](#head={head}&mean=0&token={token}&temperature=0.1&mask=none): scores are divided by 0.1, differences grow tenfold, and t{top} takes {cold:.1%}.
- **Hot.** [Temperature 10](#head={head}&mean=0&token={token}&temperature=10&mask=none): the largest weight falls to {hot:.1%}; with no differences left it would be {even:.1%}, one in {tokens}.
  The entropy of the head, below *All heads*, goes from {entropy:.2f} nats at temperature 1 to {hot_entropy:.2f}; its limit is ln {tokens} = {entropy_limit:.2f}.
- **No looking ahead.** [Causal mask](#head={head}&mean=0&token={token}&temperature=1&mask=causal): a token sees itself and what came before, as in a language model. t0 sees only itself.
- **Padding.** [Only {pad} tokens are real](#head={head}&mean=0&token={token}&temperature=1&mask=padding&pad={pad}&empty=uniform): rows of padding see no key. What then? *Empty rows* has the three answers
  that libraries give: zeros, equal weights, or not a number.
- **Mixing paint.** [Another paint seed](#head={head}&mean=0&token={token}&temperature=1&mask=none&paint=7) gives every token another colour. The weights, and so the recipe, stay.

## Questions

1. Which temperature makes the mixed colour nearly the colour of one token? Which makes it the same for every token?
2. Under the causal mask, change the temperature and watch the row of t0. Why does nothing happen?
3. Can a token get weight 0 without a mask?
4. With the causal mask, which *column* has the most cells that are not masked, and why?
5. *Mean of heads* shows the mean of all heads. Does its sharpest row look like any head's?

## Answers

1. A low one: the largest score wins all. A high one: all weights become equal, so every token gets the same mean.
2. It sees one key, and the softmax of one score is 1 whatever it is divided by.
3. No. e to the power of any score is positive; it may only be too small to be shown.
4. That of t0: every later token may look back at it.
5. Seldom. A mean of sharp rows that point to different tokens is not sharp, so look at heads one by one.
"""


def build(path: Path, title: str) -> Path:
    """Write the lesson."""
    trace = toy_trace()
    return save_report(
        trace,
        path,
        title=title,
        foreword=FOREWORD,
        notes=notes(trace),
        head=HEAD,
        query_index=TOKEN,
    )


def notes(trace: Trace) -> str:
    """Return the lesson's text, with numbers computed from the trace."""
    call = trace.calls[0]
    tokens, other = call.query_len, (HEAD + 1) % call.heads
    row, other_row = call.weights(HEAD)[TOKEN], call.weights(other)[TOKEN]
    cold, hot = (call.weights(HEAD, temperature=t) for t in (0.1, 10.0))
    top = int(row.argmax())
    uniform = call.weights(HEAD, temperature=1e9)
    return NOTES.format(
        tokens=tokens,
        last=tokens - 1,
        width=call.head_dim,
        token=TOKEN,
        head=HEAD,
        other=other,
        top=top,
        most=row[top],
        other_top=int(other_row.argmax()),
        other_most=other_row.max(),
        cold=cold[TOKEN, top],
        hot=hot[TOKEN].max(),
        even=1 / tokens,
        entropy=entropy(call.weights(HEAD)),
        hot_entropy=entropy(hot),
        entropy_limit=entropy(uniform),
        pad=tokens - 3,
    )
