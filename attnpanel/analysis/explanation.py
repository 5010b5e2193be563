"""Why a query looks at a key: its score by channel, the steps to its weight, what is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from attnpanel.analysis.query_blocks import select_queries
from attnpanel.attention.as_numpy import as_numpy
from attnpanel.attention.validation import BOOLS, check_array
from attnpanel.trace.indices import one_index

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from attnpanel.attention.validation import EmptyRows
    from attnpanel.trace import Trace
    from attnpanel.trace.call import AttentionCall
    from attnpanel.trace.rotary import Rotary

# Channels that the text of an explanation names.
NAMED_CHANNELS = 5


@dataclass(frozen=True, eq=False)
class ScoreSteps:
    """How the score of one pair comes about, in float64; each step contains those before it.

    Attributes
    ----------
    products : float64 array of shape (D,)
        Query times key, channel by channel. They add up to `product`.
    rotary : Rotary or None
        Which channels a rotary position embedding has rotated together, if that is known.
    product : float
        ``query @ key``, after the rotation of a rotary position embedding.
    scaled : float
        Times the call's scale.
    capped : float
        Soft-capped; the same as `scaled` without a soft cap.
    bias : float
        What is added: 0 without a bias, -inf where it hides the key.
    score : float
        ``capped + bias``: what the softmax divides by the temperature.
    logsumexp : float
        Log of the sum of ``exp(score / temperature)`` over the row's visible keys and the sink, in
        nats; -inf if there are none. A visible key's weight is
        ``exp(score / temperature - logsumexp)``.
    """

    products: NDArray[np.float64]
    rotary: Rotary | None
    product: float
    scaled: float
    capped: float
    bias: float
    score: float
    logsumexp: float

    @property
    def channels(self) -> tuple[tuple[int, ...], ...]:
        """The channels that belong together: rotated pairs, and single ones."""
        pairs = [] if self.rotary is None else self.rotary.pairs.tolist()
        rest = range(0 if self.rotary is None else self.rotary.channels, len(self.products))
        return (*map(tuple, pairs), *((channel,) for channel in rest))

    @property
    def contributions(self) -> NDArray[np.float64]:
        """The products summed over each of `channels`."""
        return np.array([self.products[list(group)].sum() for group in self.channels])


@dataclass(frozen=True, eq=False)
class Written:
    """What one row of weights takes from each key's value, in float64.

    Attributes
    ----------
    value_norms : float64 array of shape (S,)
        Euclidean length of each value.
    norms : float64 array of shape (S,)
        Length of weight times value: what the head writes from each key. 0 where the weight is 0.
    shares : float64 array of shape (S,)
        The part of the output that comes from each key: weight times value, projected on the
        output, divided by the output's length. They sum to 1, and are negative for a key whose
        value the others outweigh; nan if the output is 0.
    output : float64 array of shape (Dv,)
    projected_norms : float64 array of shape (S,), or None
        Length of weight times value after the head's part of the output projection W_O: what
        reaches the other layers. None unless recorded, by ``capture(outputs=True)``.

    References
    ----------
    Kobayashi et al., "Attention is Not Only a Weight", 2020, section 3 (`projected_norms`; `norms`
    are before W_O).
    """

    value_norms: NDArray[np.float64]
    norms: NDArray[np.float64]
    shares: NDArray[np.float64]
    output: NDArray[np.float64]
    projected_norms: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Promoted:
    """The tokens whose logits a head raises most, then those that it lowers most.

    The numbers are direct contributions to the model's logits for the token after the query: see
    :class:`attnpanel.HeadOutputs`.

    Attributes
    ----------
    pair : tuple of (str, float)
        By this key alone, with the weight that it has here. Empty if that adds 0 to every logit.
    row : tuple of (str, float), or None
        By the whole row. None unless mask and temperature are the model's: the tokens of other
        weights are not among those recorded.
    """

    pair: tuple[tuple[str, float], ...]
    row: tuple[tuple[str, float], ...] | None


@dataclass(frozen=True, eq=False)
class PairExplanation:
    """Why one query looks at one key, as :meth:`attnpanel.Trace.explain` returns it.

    Attributes
    ----------
    layer : str
    head, batch, query, key : int
    query_token, key_token : str
    visible : bool
        Whether the query may attend to the key.
    temperature : float
    weight : float
        The key's part of the row, ``weights[key]``.
    weights : float32 array of shape (S,)
        The query's row.
    score : ScoreSteps or None
        None if only weights were recorded.
    written : Written or None
        None if no values were kept.
    promoted : Promoted or None
        None unless recorded, by ``capture(outputs=True)``.

    Examples
    --------
    >>> from attnpanel import toy_trace
    >>> found = toy_trace().explain(layer=0, head=1, query=2, key=5)
    >>> bool(np.isclose(found.score.products.sum(), found.score.product))
    True
    >>> bool(np.isclose(found.weight, np.exp(found.score.score - found.score.logsumexp)))
    True
    """

    layer: str
    head: int
    batch: int
    query: int
    key: int
    query_token: str
    key_token: str
    visible: bool
    temperature: float
    weight: float
    weights: NDArray[np.float32]
    score: ScoreSteps | None
    written: Written | None
    promoted: Promoted | None = None

    def __str__(self) -> str:
        """Return the explanation as a few lines of text."""
        place = f"{self.query_token} -> {self.key_token}, {self.layer}, head {self.head}"
        lines = [f"{place}: weight {self.weight:.3g}"]
        if self.score is not None:
            largest = np.argsort(-np.abs(self.score.contributions), kind="stable")[:NAMED_CHANNELS]
            groups = ("+".join(map(str, self.score.channels[at])) for at in largest)
            named = (
                f"{group}: {self.score.contributions[at]:.3g}"
                for group, at in zip(groups, largest, strict=True)
            )
            lines += [
                f"q·k {self.score.product:.4g}, most of it from channels {', '.join(named)}",
                f"scaled {self.score.scaled:.4g}, score {self.score.score:.4g}"
                + ("" if self.visible else ", masked"),
            ]
        if self.written is not None:
            norm, share = self.written.norms[self.key], self.written.shares[self.key]
            after = self.written.projected_norms
            projected = "" if after is None else f" ({after[self.key]:.3g} after W_O)"
            lines.append(f"writes {norm:.3g}{projected}, {100 * share:.3g} % of the output")
        if self.promoted is not None:
            logits = (f"{token!r} {logit:+.3g}" for token, logit in self.promoted.pair)
            lines.append(f"logits: {', '.join(logits) or 'nothing'}")
        return "\n".join(lines)


def explain(
    trace: Trace,
    layer: int | str | tuple[str, int],
    head: int,
    query: int | str,
    key: int | str,
    *,
    batch: int = 0,
    temperature: float = 1.0,
    mask: Literal["model"] | NDArray[np.bool_] | None = "model",
    empty_rows: EmptyRows = "zero",
) -> PairExplanation:
    """Explain one weight: where its score comes from, and what the head writes from each key.

    Computes one row, however long the sequence is. Query and key are those that the product saw:
    after a rotary position embedding and any normalisation.

    Parameters
    ----------
    trace : Trace
    layer : int, str or (str, int)
        Which call, as in ``trace[layer]``.
    head : int
        A query head; its group's key and value are used.
    query, key : int or str
        Positions from 0 (-1 is the last), or tokens that occur once.
    batch : int, optional
    temperature, mask, empty_rows
        As for :meth:`attnpanel.AttentionCall.attention`. Recorded weights take the defaults only.

    Returns
    -------
    PairExplanation

    Raises
    ------
    IndexError, KeyError
        If there is no such call.
    ValueError
        If head, batch, query or key do not exist, a token occurs more than once, an option breaks
        its rule, or the inputs are not finite.
    """
    call = trace[layer]
    if isinstance(layer, slice):
        raise ValueError(f"layer must be one; got {layer!r}")  # noqa: TRY004 - one error type for wrong input
    head, batch = one_index("head", head, call.heads), one_index("batch", batch, call.batch)
    tokens = trace.tokens_of(call, batch)
    i = _position("query", query, tokens[0])
    j = _position("key", key, tokens[1])
    row = select_queries(call, np.array([i]))
    # Recorded weights refuse a mask of any kind.
    chosen = mask if mask is None or isinstance(mask, str) else _row_of_mask(mask, call, i)
    options: dict[str, Any] = {"temperature": temperature, "mask": chosen, "empty_rows": empty_rows}
    score = None
    if call.live:
        attention = row.attention(head, batch, **options)
        weights = attention.weights[0].astype(np.float32, copy=False)
        visible = _visible(row, head, batch, chosen)
        score = _score_steps(row, head, batch, j, float(attention.logsumexp[0]))
    else:
        weights = row.weights(head, batch, **options)[0]
        visible = weights != 0
    value = None if call.value is None else call.value[batch, _shared(call, head)]
    outputs = call.outputs
    projected = None if outputs is None or outputs.norms is None else outputs.norms[batch, head]
    promoted = None
    if outputs is not None and outputs.final_scale is not None:
        factor = float(weights[j]) * float(outputs.final_scale[batch, i])
        as_it_ran = temperature == 1 and isinstance(mask, str)
        promoted = Promoted(
            outputs.key_tokens(batch, head, j, factor),
            outputs.row_tokens(batch, head, i) if as_it_ran else None,
        )
    return PairExplanation(
        layer=call.layer,
        head=head,
        batch=batch,
        query=i,
        key=j,
        query_token=tokens[0][i],
        key_token=tokens[1][j],
        visible=bool(visible[j]),
        temperature=temperature,
        weight=float(weights[j]),
        weights=weights,
        score=score,
        written=None if value is None else written(weights, value, projected),
        promoted=promoted,
    )


def written(
    weights: ArrayLike, value: ArrayLike, projected_norms: ArrayLike | None = None
) -> Written:
    """Return what a row of weights takes from each value.

    Parameters
    ----------
    weights : array of shape (S,)
    value : array of shape (S, Dv)
    projected_norms : array of shape (S,), optional
        Length of each value after the output projection.

    Returns
    -------
    Written

    Examples
    --------
    >>> found = written([0.5, 0.5], [[3.0, 4.0], [0.0, 0.0]])
    >>> found.norms, found.shares
    (array([2.5, 0. ]), array([1., 0.]))
    """
    row, values = np.asarray(weights, np.float64), np.asarray(value, np.float64)
    value_norms = np.linalg.norm(values, axis=1)
    output = row @ values
    length = output @ output
    shares = np.full(len(row), np.nan) if length == 0 else row * (values @ output) / length
    projected = None if projected_norms is None else row * np.asarray(projected_norms, np.float64)
    return Written(value_norms, row * value_norms, shares, output, projected)


def _score_steps(
    row: AttentionCall, head: int, batch: int, key: int, logsumexp: float
) -> ScoreSteps:
    """Return the steps of the only query of a call."""
    assert row.query is not None  # noqa: S101 - the call is live
    assert row.key is not None  # noqa: S101
    query = row.query[batch, head, 0].astype(np.float64)
    products = query * row.key[batch, _shared(row, head), key].astype(np.float64)
    product = float(products.sum())
    scaled = product * row.scale
    cap = row.soft_cap
    capped = scaled if cap is None else cap * float(np.tanh(scaled / cap))
    added = _bias(row, head, batch)
    bias = 0.0 if added is None else float(added[key])
    return ScoreSteps(products, row.rotary, product, scaled, capped, bias, capped + bias, logsumexp)


def _visible(row: AttentionCall, head: int, batch: int, mask: Any) -> NDArray[np.bool_]:
    if isinstance(mask, str):
        return np.asarray(row.visible(head, batch)[0])
    visible: NDArray[np.bool_] = np.ones(row.key_len, np.bool_) if mask is None else mask[0]
    added = _bias(row, head, batch)
    return np.asarray(visible if added is None else visible & (added != -np.inf))


def _bias(row: AttentionCall, head: int, batch: int) -> NDArray[np.floating] | None:
    if row.bias is None:
        return None
    shape = (row.batch, row.heads, 1, row.key_len)
    return np.asarray(np.broadcast_to(row.bias, shape)[batch, head, 0])


def _row_of_mask(mask: Any, call: AttentionCall, query: int) -> NDArray[np.bool_]:
    array = as_numpy("mask", mask)
    check_array("mask", array, BOOLS)
    expected = (call.query_len, call.key_len)
    if array.shape != expected:
        raise ValueError(f"mask must have shape (T, S) = {expected}; got {array.shape}")
    return np.asarray(array[[query]])


def _shared(call: AttentionCall, head: int) -> int:
    return head // (call.heads // call.kv_heads)


def _position(name: str, place: int | str, tokens: Sequence[str]) -> int:
    if not isinstance(place, str):
        return one_index(name, place, len(tokens))
    found = [at for at, token in enumerate(tokens) if token == place]
    if len(found) != 1:
        where = f"it is at {', '.join(map(str, found))}" if found else "there is none"
        raise ValueError(
            f"{name} must be a position or a token that occurs once; got {place!r}: {where}"
        )
    return found[0]
