"""Measure how a model's output changes: its embeddings or its next-token predictions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from attnpanel.models.intervention_spec import filled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from attnpanel.models.intervention_spec import Say

# Number of next tokens listed for a position: the likeliest in either run.
MAX_CANDIDATES = 6


@dataclass(frozen=True)
class Candidate:
    """A possible next token, with its probability before and after a change."""

    token: str
    before: float
    after: float


@dataclass(frozen=True, eq=False)
class OutputChange:
    """The effect of changed attention on a model's output.

    Attributes
    ----------
    kind : {"embedding", "prediction"}
    moved : float64 array of shape (T,)
        One number a token. Embedding: cosine distance of its last hidden state, 0 to 2. Prediction:
        total variation distance of the next token's probabilities, 0 to 1.
    whole : float
        Embedding: cosine distance of the mean over all tokens, which MiniLM uses as the sentence's
        embedding. Prediction: the largest of `moved`.
    candidates : tuple of T tuples of Candidate
        The likeliest next tokens, likeliest before the change first; empty for an embedding.
    """

    kind: Literal["embedding", "prediction"]
    moved: NDArray[np.float64]
    whole: float
    candidates: tuple[tuple[Candidate, ...], ...] = ()


def describe_output(output: OutputChange, tokens: Sequence[str], say: Say = filled) -> str:
    """Describe how the output of a run of these tokens changes, in a sentence.

    `say` returns a sentence with its placeholders filled, in another language.

    Examples
    --------
    >>> describe_output(OutputChange("embedding", np.array([0.1, 0.4]), 0.25), ["it", "fits"])
    "The text's embedding moves by a cosine distance of 0.25; of its tokens, “fits” most, 0.4."
    """
    position = int(np.argmax(output.moved))
    token, most = tokens[position], output.moved[position]
    if output.kind == "prediction":
        return say(
            "After “{token}”, {share} of the next token's probability moves elsewhere, "
            "more than after any other token.",
            token=token,
            share=f"{most:.1%}",
        )
    return say(
        "The text's embedding moves by a cosine distance of {whole}; of its tokens, "
        "“{token}” most, {most}.",
        whole=f"{output.whole:.2g}",
        token=token,
        most=f"{most:.2g}",
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
    first, second = before.astype(np.float64), after.astype(np.float64)
    whole = _cosine_distance(first.mean(0, keepdims=True), second.mean(0, keepdims=True))
    return OutputChange("embedding", _cosine_distance(first, second), float(whole[0]))


def prediction_change(
    before: NDArray[Any], after: NDArray[Any], *, name: Callable[[int], str]
) -> OutputChange:
    """Compare two runs' logits, each (T, V).

    Parameters
    ----------
    before, after : float arrays of shape (T, V)
    name : function of int
        Returns the text of a token id.

    References
    ----------
    Levin, Peres and Wilmer, "Markov Chains and Mixing Times", 2009, proposition 4.2.

    Examples
    --------
    >>> logits = np.log([[0.75, 0.25]]), np.log([[0.5, 0.5]])
    >>> change = prediction_change(*logits, name="ab".__getitem__)
    >>> change.moved.round(6).tolist(), [item.token for item in change.candidates[0]]
    ([0.25], ['a', 'b'])
    """
    moved, candidates = [], []
    for row_before, row_after in zip(before, after, strict=True):  # by row: V may be 256,000
        first, second = _probabilities(row_before), _probabilities(row_after)
        moved.append(np.abs(first - second).sum() / 2)
        likely = np.argsort(-np.maximum(first, second), kind="stable")[:MAX_CANDIDATES]
        likely = likely[np.argsort(-first[likely], kind="stable")]
        candidates.append(
            tuple(Candidate(name(int(n)), float(first[n]), float(second[n])) for n in likely)
        )
    return OutputChange("prediction", np.array(moved), float(max(moved)), tuple(candidates))


def _cosine_distance(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.float64]:
    lengths = np.linalg.norm(first, axis=-1) * np.linalg.norm(second, axis=-1)
    products = (first * second).sum(-1)
    # A state of length 0 has no direction; its distance counts as 1.
    cosine = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
    # Rounding may give slightly less than 0.
    distance: NDArray[np.float64] = np.maximum(1 - cosine, 0.0)
    return distance


def _probabilities(logits: NDArray[Any]) -> NDArray[np.float64]:
    shifted = logits.astype(np.float64) - logits.max()
    exponentials = np.exp(shifted)
    probabilities: NDArray[np.float64] = exponentials / exponentials.sum()
    return probabilities
