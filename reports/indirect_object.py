"""Report on a tiny transformer that learns which of two names is given something."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from attnpanel.training.checkpoint import load_checkpoint
from attnpanel.training.loop import trace_tokens
from attnpanel.training.sentence_tasks import NAMES
from attnpanel.training.settings import TrainingSettings
from attnpanel.training.tasks import make_task
from reports.trained import TrainingReport

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from attnpanel.training.store import RunStore

STEPS = 600
SENTENCES = 60
SEED = 99  # the runs draw with [seed, stream], so that these are other sentences


def role_weights(store: RunStore, number: int) -> NDArray[np.float64]:
    """Return where the last position looks, averaged over sentences that were not trained on.

    Returns
    -------
    float array of shape (layers, heads, 3)
        Weights on the other name, on the first mention of the repeated name, and on its second.
    """
    task, model = make_task("indirect_object"), load_checkpoint(store, number)
    found = []
    for tokens in task.draw(np.random.default_rng(SEED), SENTENCES).tokens:
        *words, answer = task.labels(tokens)
        *mentions, again = [at for at, word in enumerate(words) if word in NAMES]
        mentions.sort(key=lambda at: words[at] != answer)
        trace = trace_tokens(model, task, tokens[None, :-1])
        rows = [[call.weights(head)[-1] for head in range(call.heads)] for call in trace.calls]
        found.append(np.array(rows)[..., [*mentions, again]])
    means: NDArray[np.float64] = np.mean(found, axis=0, dtype=np.float64)
    return means


def describe_heads(store: RunStore, number: int) -> str:
    """Return the roles of heads in a sentence, with the numbers that show them."""
    weights = role_weights(store, number)
    other, first, again = np.moveaxis(weights, -1, 0)
    reads = np.unravel_index(again.argmax(), again.shape)
    moves = np.unravel_index((other - first).argmax(), other.shape)
    return (
        f"Over {SENTENCES} other sentences the last position looks most at the repeated name's "
        f"second mention in layer {reads[0]}, head {reads[1]} (weight {again[reads]:.2f}), and in "
        f"layer {moves[0]}, head {moves[1]} it looks at the other name ({other[moves]:.2f}) rather "
        f"than at the first mention of the repeated one ({first[moves]:.2f})."
    )


REPORT = TrainingReport(
    runs=(
        ("two layers", TrainingSettings(task="indirect_object", steps=STEPS)),
        ("one layer", TrainingSettings(task="indirect_object", steps=STEPS, layers=1)),
        ("no attention", TrainingSettings(task="indirect_object", steps=STEPS, attends=False)),
    ),
    notes="""\
What they learn: “when Alice and Bob went to the shop, Alice gave a book to …” goes on with Bob. Two names stand in the sentence, one of them comes again, and the other one is the answer. Either may be first, so their order tells nothing.

{results}

{heads}

Wang and others found the same division of work in GPT-2 small (arXiv 2211.00593): heads that read which name is repeated (S-inhibition heads) tell name movers which of the names to bring. Their model has further heads that notice the repetition where it happens (duplicate token heads); so small a model may do without. Move the slider below the curves through {moment} and look at the last row of each head.

Questions. One example is drawn: does its picture agree with the averages above? One layer learns it, too, and no head of it can know what another has read: where do its heads look, and what is left for its MLP to decide? What accuracy is left without attention, and why is it not zero?
""",
    heads=describe_heads,
)
