"""What is known about a tensor on its way from ``query @ key.T`` to attention weights.

Masks and biases, in whatever operations they are written, need not be understood one by one: they
are the softmax's input minus what query and key give.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import Tensor, nn

    from attnpanel.models.intercept.batch_rows import Rows
    from attnpanel.models.intervene.eager import EagerIntervention
    from attnpanel.trace.call import Kind

Stage = Literal[
    "scores", "log", "exp", "sum", "weights", "derived", "summands", "numerator", "output"
]
_numbers = count()
MAX_CALL_NUMBER = 2048  # whole numbers that float16 holds
# Why a softmax of queries and keys gave no call.
NO_VALUES = "its weights met no product with values"
IN_PIECES = "it computes attention in pieces, such as chunks, bands or a low rank"
OTHER_ORDER = "it keeps its weights in another order of axes than queries and keys last"
A_POSITION = "at each position it attends to something else than positions, such as layers"
REORDERED = "it changes the order of the queries or keys"
SOME_QUERIES = "it computes the weights of some of its queries only"
CHANNELS = "its weights are between channels, not between positions"
REPEATED = "it mixes its values by the same weights several times"
RESCALED = "it rescales its outputs by something computed from the scores"
PICKED = "it picks values by the largest of its scores, which is no product of weights with values"
# Scores below this are masked: masks write 0 or subtract 1e9, in float32.
MASKED = -1e8
# Rounding error of sums in the precision of the scores, relative to the numbers summed.
ROUNDING = {"float64": 1e-10, "float32": 1e-5, "float16": 2e-3, "bfloat16": 1.6e-2}
# The same of weights that are recomputed from queries and keys, relative to the largest in a row.
RECOMPUTED = {"float64": 1e-3, "float32": 1e-3, "float16": 5e-2, "bfloat16": 0.3}


@dataclass(eq=False)
class ScoreUse:
    """What a model does with one product of queries and keys; shared by all that is made of it.

    Attributes
    ----------
    query_len, key_len, numel : int
        T and S, and how many scores or weights there are.
    modules : tuple of torch.nn.Module
        Where it was normalised, or met values; empty if it was not.
    recorded : bool
        Whether a call was made of it.
    met_values : bool
        Whether something else was computed of its weights than a call.
    reason : str
        Why no call was made of it.
    in_pieces : bool
        Whether it was multiplied with something else made of scores.
    written : bool
        Whether its weights were changed in place.
    intervened : bool
        Whether an intervention has changed its weights.
    reordered : bool
        Whether the module has changed the order of the queries or keys.
    """

    query_len: int
    key_len: int
    numel: int
    modules: tuple[nn.Module, ...] = ()
    recorded: bool = False
    met_values: bool = False
    reason: str = NO_VALUES
    in_pieces: bool = False
    written: bool = False
    intervened: bool = False
    reordered: bool = False


@dataclass(frozen=True, eq=False)
class Dropout:
    """A dropout of attention weights that may have changed them.

    Attributes
    ----------
    probability : float
    before, after : tensors of shape (…, T, S)
        Aliases of what went in and came out.
    version : int
        How often the latter had been changed in place by then.
    """

    probability: float
    before: Tensor
    after: Tensor
    version: int

    def untouched(self) -> bool:
        """Whether nothing was written since into what came out."""
        return version(self.after) == self.version


@dataclass(frozen=True, eq=False)
class TrackedTensor:
    """Scores, exponentials or weights of an attention that a model writes out.

    Tensors are held as aliases, so that tracking does not keep the tracked tensor itself alive.

    Attributes
    ----------
    query, key : tensors of shape (…, T, D), (…, S, D)
    scale : float
        What the product has been multiplied by.
    use : ScoreUse
    bias : tensor of shape (…, T, S), or None
        What has been added to the product.
    soft_cap : float or None
        Set by a tanh, and multiplied with the scores since: the scores are
        ``soft_cap * tanh(scale * product / soft_cap)`` instead of ``scale * product``.
    stage : Stage
        "log" is a log-softmax; "derived" anything else that was computed from scores; "summands"
        weights times values, not summed yet; "numerator" the product of exponentials with values,
        and "output" that of weights.
    added : tensor of shape (…, T, S), or None
        From the softmax on: the bias, and less than -1e8 where masked; None where there is neither.
    trusted : bool
        Whether scale, bias and mask reproduce the softmax's input.
    weights : tensor of shape (…, T, S), or None
        The softmax's result.
    nonlinear : bool
        Whether another function than a softmax, which is not linear, has been applied.
    mixes_heads : bool
        Whether weights of several heads have been mixed.
    dropout : Dropout or None
        The dropout that may have changed the weights.
    several_channels : bool
        Whether D is above 1: a product of positions and frequencies is no score.
    value : tensor of shape (…, S, Dv), or None
        What exponentials were multiplied with.
    reordered : bool
        Whether columns have changed places since the softmax.
    scored : bool
        False for a softmax of something else than products of queries and keys.
    kind : {"self", "cross"} or None
        Whether query and key come from one sequence, where that is known.
    sequence_len : int or None
        The length of the queries' sequence, where it is known.
    rows : tuple of (int, int)
        The sequences of a batch that the query holds, where they are known.
    keys_added : int
        How many keys that are learned follow those of a sequence.
    logits : tensor of shape (…, T, S), or None
        The softmax's input, while an intervention is active and has not been applied.
    intervention : EagerIntervention or None
        What interventions have done to the weights, and will do to the outputs.
    """

    query: Tensor
    key: Tensor
    scale: float
    use: ScoreUse
    bias: Tensor | None = None
    soft_cap: float | None = None
    stage: Stage = "scores"
    added: Tensor | None = None
    trusted: bool = True
    weights: Tensor | None = None
    nonlinear: bool = False
    mixes_heads: bool = False
    dropout: Dropout | None = None
    several_channels: bool = True
    value: Tensor | None = None
    reordered: bool = False
    scored: bool = True
    kind: Kind | None = None
    sequence_len: int | None = None
    rows: Rows = ()
    keys_added: int = 0
    logits: Tensor | None = None
    intervention: EagerIntervention | None = None

    @property
    def grouped(self) -> bool:
        """Whether groups of query heads share a key, which gives two axes of heads."""
        query, key = self.query.shape, self.key.shape
        return len(query) == len(key) == 5 and any(key[i] == 1 < query[i] for i in (1, 2))


def unscored_weights(weights: Tensor, *, reason: str = "") -> TrackedTensor:
    """Follow weights (…, T, S), or scores, that no query (…, T, D) and key (…, S, D) give.

    Query and key are of one channel in their place: another number for each call, so that none
    seems to continue the keys of an earlier one. With a `reason` they are scores of which no call
    can be made.
    """
    *lead, query_len, key_len = weights.shape
    return TrackedTensor(
        weights.new_zeros(*lead, query_len, 1),
        weights.new_full((*lead, key_len, 1), next(_numbers) % MAX_CALL_NUMBER),
        1.0,
        ScoreUse(
            query_len,
            key_len,
            weights.numel(),
            in_pieces=bool(reason),
            reason=reason or NO_VALUES,
        ),
        stage="derived",
        trusted=False,
        nonlinear=not reason,
        scored=bool(reason),
    )


def scale_scores(
    tracked: TrackedTensor, factor: Any, result: Tensor, *, inverse: bool
) -> TrackedTensor:
    """Multiply the scale by a factor, or the query by one factor a row."""
    import torch

    if isinstance(factor, torch.Tensor):
        factor = factor.detach()
        if factor.numel() != 1:
            rows = tracked.query.shape[:-1]
            a_row = factor.shape[-1] == 1 and all(
                size in {1, own}
                for size, own in zip(factor.shape[-2::-1], rows[::-1], strict=False)
            )
            capped = tracked.soft_cap is not None
            if capped or not a_row or factor.dim() > tracked.query.dim():
                return replace(tracked, trusted=False)
            times = 1 / factor if inverse else factor
            bias = None if tracked.bias is None else tracked.bias.reshape(result.shape) * times
            query = (tracked.query * times).to(tracked.query.dtype)
            return replace(tracked, query=query, bias=bias)
    number = float(factor)
    if number == 0:
        return replace(tracked, trusted=False)
    times = 1 / number if inverse else number
    return replace(
        tracked,
        scale=tracked.scale * times,
        bias=None if tracked.bias is None else tracked.bias * times,
        # tanh is odd, so the sign stays with the scale.
        soft_cap=None if tracked.soft_cap is None else tracked.soft_cap * abs(times),
    )


def add_to_scores(
    tracked: TrackedTensor, other: Any, result: Tensor, *, negative: bool
) -> TrackedTensor:
    """Add a tensor to the bias; one number for a whole row changes no weight and is ignored."""
    import torch

    if not isinstance(other, torch.Tensor) or other.dim() == 0 or other.shape[-1] == 1:
        return tracked
    added = (-other.detach() if negative else other.detach()).expand_as(result)
    # The scores may have been regrouped since the bias was added.
    bias = added if tracked.bias is None else tracked.bias.reshape(result.shape) + added
    return replace(tracked, bias=bias)


def explain_logits(tracked: TrackedTensor, logits: Tensor) -> TrackedTensor | None:
    """Separate mask and bias, and check whether they reproduce the softmax's input.

    Returns
    -------
    TrackedTensor or None
        None if the softmax's input is not of the size of the scores.
    """
    import torch

    products = (tracked.query.to(logits.dtype) @ tracked.key.to(logits.dtype).mT) * tracked.scale
    if products.numel() != logits.numel():
        return None
    products = products.reshape(logits.shape)
    if tracked.soft_cap is not None:
        products = tracked.soft_cap * (products / tracked.soft_cap).tanh()
    added = (logits - products).float()
    masked = logits <= max(MASKED, torch.finfo(logits.dtype).min / 2)
    size = torch.where(masked, 0, (products.abs() + logits.abs()).float()).amax(-1, keepdim=True)
    limit = ROUNDING[precision(tracked.key)] * size + 1e-30

    def is_zero(difference: Tensor) -> bool:
        # Models may subtract a row's largest score: shifting a whole row changes no weight.
        shift = torch.where(masked, -torch.inf, difference).amax(-1, keepdim=True)
        shifted = difference - shift.nan_to_num(neginf=0)
        return bool((torch.where(masked, 0, shifted).abs() <= limit).all())

    no_bias = is_zero(added)
    trusted = tracked.trusted and (
        no_bias
        or (
            tracked.bias is not None and is_zero(added - tracked.bias.reshape(logits.shape).float())
        )
    )
    if no_bias and not bool(masked.any()):
        return replace(tracked, added=None, trusted=trusted)
    hidden = torch.where(logits.isneginf(), -torch.inf, torch.finfo(torch.float32).min).float()
    added = torch.where(masked, hidden, torch.zeros_like(added) if no_bias else added)
    return replace(tracked, added=added, trusted=trusted)


def explained_weights(tracked: TrackedTensor) -> Tensor:
    """Compute the softmax of the scores that query, key, scale, cap and bias explain."""
    import torch

    dtype = torch.promote_types(tracked.key.dtype, torch.float32)
    scores = (tracked.query.to(dtype) @ tracked.key.to(dtype).mT) * tracked.scale
    if tracked.soft_cap is not None:
        scores = tracked.soft_cap * (scores / tracked.soft_cap).tanh()
    if tracked.added is not None:
        scores = scores.reshape(tracked.added.shape) + tracked.added
    return scores.softmax(-1)


def rows_agree(weights: Tensor, expected: Tensor, tolerance: float) -> bool:
    """Whether weights differ by no more than a share of the largest weight in their row.

    An absolute tolerance would let pass any change of a long row, whose weights are all small.
    """
    expected = expected.float()
    limit = tolerance * expected.abs().amax(-1, keepdim=True) + 1e-30
    difference = (weights.float() - expected).abs()
    same = (difference <= limit) | (weights.isnan() & expected.isnan())
    return bool(same.all())


def version(tensor: Tensor) -> int:
    """Return how often a tensor was changed in place; tensors of inference mode do not count."""
    return -1 if tensor.is_inference() else tensor._version  # noqa: SLF001 - no public way


def precision(tensor: Tensor) -> str:
    """Return the name of a tensor's dtype, such as ``"float32"``."""
    return str(tensor.dtype).removeprefix("torch.")
