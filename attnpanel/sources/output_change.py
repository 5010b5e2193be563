"""How much a model's output changes: its embeddings, or its predictions of the next token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

# Of a position's next tokens, those that either run finds likeliest.
MOST_NAMED = 6


@dataclass(frozen=True)
class Candidate:
    """A token that may come next, and its probability before and after a change."""

    token: str
    before: float
    after: float


@dataclass(frozen=True, eq=False)
class OutputChange:
    """What a change of attention does to a model's output.

    Attributes
    ----------
    kind : {"embedding", "prediction"}
    moved : float64 array of shape (T,)
        Of each token. Embedding: cosine distance of its last hidden state, 0 to 2. Prediction:
        total variation distance of the next token's probabilities, 0 to 1.
    whole : float
        Embedding: cosine distance of the mean over all tokens, which MiniLM takes as the
        sentence's embedding. Prediction: the largest of `moved`.
    candidates : tuple of T tuples of Candidate
        The likeliest next tokens, likeliest before the change first; empty for an embedding.
    """

    kind: Literal["embedding", "prediction"]
    moved: NDArray[np.float64]
    whole: float
    candidates: tuple[tuple[Candidate, ...], ...] = ()


def output_words(output: OutputChange, tokens: Sequence[str]) -> str:
    """Say what becomes of the output of a run of these tokens.

    Examples
    --------
    >>> output_words(OutputChange("embedding", np.array([0.1, 0.4]), 0.25), ["it", "fits"])
    "The text's embedding moves by a cosine distance of 0.25; of its tokens, “fits” most, 0.4."
    """
    place = int(np.argmax(output.moved))
    token, most = tokens[place], output.moved[place]
    if output.kind == "prediction":
        return (
            f"After “{token}”, {most:.1%} of the next token's probability moves elsewhere, "
            "more than after any other token."
        )
    return (
        f"The text's embedding moves by a cosine distance of {output.whole:.2g}; of its tokens, "
        f"“{token}” most, {most:.2g}."
    )


def embedding_change(before: NDArray[Any], after: NDArray[Any]) -> OutputChange:
    """Compare two runs' last hidden states, each (T, d).

    References
    ----------
    Reimers and Gurevych, "Sentence-BERT", 2019, section 3: the mean of all tokens' states.

    Examples
    --------
    >>> change = embedding_change(np.eye(2), np.array([[0.0, 1.0], [0.0, 1.0]]))
    >>> change.moved.tolist()
    [1.0, 0.0]
    """
    one, other = before.astype(np.float64), after.astype(np.float64)
    whole = _cosine_distance(one.mean(0, keepdims=True), other.mean(0, keepdims=True))
    return OutputChange("embedding", _cosine_distance(one, other), float(whole[0]))


def prediction_change(
    before: NDArray[Any], after: NDArray[Any], *, name: Callable[[int], str]
) -> OutputChange:
    """Compare two runs' logits, each (T, V).

    Parameters
    ----------
    before, after : float arrays of shape (T, V)
    name : function of int
        The text of a token number.

    References
    ----------
    Levin, Peres and Wilmer, "Markov Chains and Mixing Times", 2009, proposition 4.2.

    Examples
    --------
    >>> logits = np.log([[0.75, 0.25]]), np.log([[0.5, 0.5]])
    >>> change = prediction_change(*logits, name="ab".__getitem__)
    >>> change.moved.round(6).tolist(), [one.token for one in change.candidates[0]]
    ([0.25], ['a', 'b'])
    """
    moved, candidates = [], []
    for ours, theirs in zip(before, after, strict=True):  # a row at a time: V may be 256,000
        one, other = _probabilities(ours), _probabilities(theirs)
        moved.append(np.abs(one - other).sum() / 2)
        likely = np.argsort(-np.maximum(one, other), kind="stable")[:MOST_NAMED]
        likely = likely[np.argsort(-one[likely], kind="stable")]
        candidates.append(
            tuple(Candidate(name(int(n)), float(one[n]), float(other[n])) for n in likely)
        )
    return OutputChange("prediction", np.array(moved), float(max(moved)), tuple(candidates))


def _cosine_distance(one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.float64]:
    lengths = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
    products = (one * other).sum(-1)
    # A state of length 0 has no direction: as far as any other.
    cosine = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
    # Rounding may leave a hair below 0.
    distance: NDArray[np.float64] = np.maximum(1 - cosine, 0.0)
    return distance


def _probabilities(logits: NDArray[Any]) -> NDArray[np.float64]:
    shifted = logits.astype(np.float64) - logits.max()
    powers = np.exp(shifted)
    shares: NDArray[np.float64] = powers / powers.sum()
    return shares
