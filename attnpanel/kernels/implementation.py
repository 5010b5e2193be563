"""The interface of an implementation: what it supports, and how it is run."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from attnpanel.attention.validation import EmptyRows
    from attnpanel.kernels.request import DType, Request

Returned = Literal["output", "weights", "logsumexp"]
# What a key that no query may attend to can hold: in its key or its value.
HiddenContent = Literal["key nan", "key inf", "value nan", "value inf"]
# What a visible nan or inf is in: a score, by its query, key or bias, or a value.
NonFinite = Literal["scores", "values"]
# A weight of 0 times nan or inf is nan; where scores are masked by addition, so is a score.
LEAKS_VALUES: Final[frozenset[HiddenContent]] = frozenset({"value nan", "value inf"})
LEAKS_ALL: Final[frozenset[HiddenContent]] = frozenset(get_args(HiddenContent))


@dataclass(frozen=True, eq=False)
class RawResult:
    """Result of an implementation, as arrays of its framework on its device.

    Attributes
    ----------
    output : array of shape (B, H, T, Dv)
    weights : array of shape (B, H, T, S), or None
    logsumexp : array of shape (B, H, T), or None
        In nats.
    """

    output: Any
    weights: Any = None
    logsumexp: Any = None


@dataclass(frozen=True, eq=False)
class RawGradients:
    """Gradients of one attention call, as arrays of its framework on its device.

    Attributes
    ----------
    query : array of shape (B, H, T, D)
    key : array of shape (B, Hkv, S, D)
    value : array of shape (B, Hkv, S, Dv)
    bias : array of shape (H, T, S), or None
        Summed over the batch, which shares the bias; None if the request has none.
    """

    query: Any
    key: Any
    value: Any
    bias: Any = None


@dataclass(frozen=True, eq=False)
class GradientCall:
    """One prepared call of a forward and a backward pass; called, it makes both.

    Attributes
    ----------
    forward : callable
        Computes the attention, and returns a RawResult and a function that computes its gradients,
        RawGradients, from what was kept, as often as it is called.
    only : callable, optional
        Takes ``"query"``, ``"key"``, ``"value"`` or ``"bias"``, and computes the gradient of that
        input alone, of which a call is told beforehand.
    """

    forward: Callable[[], tuple[RawResult, Callable[[], RawGradients]]]
    only: Callable[[str], Any] | None = None

    def __call__(self) -> RawGradients:
        """Compute the attention and its gradients."""
        _, backward = self.forward()
        return backward()


@dataclass(frozen=True, eq=False)
class Backward:
    """How an implementation computes gradients.

    Attributes
    ----------
    source : str
        The API that is called.
    unsupported : callable
        Takes a Request and returns a list of reasons why its gradients can't be computed here,
        besides those of the forward pass; empty if they can. Never raises.
    prepare : callable
        Takes Inputs, a Request, the output's gradient, a NumPy array of shape (B, H, T, Dv) rounded
        to the request's dtype, in any layout (where one number stands for all, a device should see
        that, too), and ``threads=``. Returns a GradientCall, which computes the attention and its
        gradients from the same inputs at each call.
    deterministic_on : tuple of str
        Types of device on which two calls give the same bits.
    through_maximum : bool
        Whether the maximum that is subtracted from the scores may be differentiated, too, as by
        autograd through a formula: what it receives is 0 but for rounding.
    """

    source: str
    unsupported: Callable[[Request], list[str]]
    prepare: Callable[..., GradientCall]
    deterministic_on: tuple[str, ...] = ()
    through_maximum: bool = False


@dataclass(frozen=True, eq=False)
class Implementation:
    """One way to compute attention.

    Attributes
    ----------
    name : str
        ``framework-variant``, unique: ``"torch-sdpa-flash"``.
    framework : str
        ``"numpy"``, ``"torch"``, ``"javascript"``, ``"onnxruntime"``, ``"jax"``,
        ``"triton"``.
    source : str
        Citation of the formula, or the API that is called.
    devices : tuple of str
        Types of device it can run on, by torch's names.
    dtypes : tuple of str
    returns : frozenset of str
        Which of ``"output"``, ``"weights"``, ``"logsumexp"`` it returns.
    empty_rows : {"zero", "uniform", "nan"}
        Its own result for a query that may see no key.
    causal_align : {"top_left", "bottom_right"} or None
        Alignment of its own causal option; None if it has none and takes a mask.
    scores_dtype : {"float32", "storage"}
        Where scores and weights of 16-bit inputs are kept: in float32, or in the inputs' 16 bits.
    compiles : bool
        Whether the first call of a shape compiles, or is traced as if it did; that time is measured
        separately.
    limits : str
        What it can't run and what its mask means, in words; for tables and tooltips.
    unsupported : callable
        Takes a Request and returns a list of reasons why it can't run here, empty if it can. Each
        reason is a sentence that stands alone in a skip, a table and a tooltip. Never raises.
    prepare : callable
        Takes Inputs, a Request and ``threads=``; converts and moves the inputs, compiles nothing,
        and returns the function that is timed. Each call of that function computes the attention
        from the same inputs and returns a RawResult. It changes neither the NumPy inputs nor the
        thread settings of the process.
    weights_dtype : {"float32", "storage"}
        Whether the weights of 16-bit inputs are rounded to 16 bits before the product with the
        values, as flash kernels do. Scores in 16 bits imply it.
    scaled_query_dtype : {"float32", "storage"}
        Whether 16-bit queries are multiplied by the scale and rounded to 16 bits again.
    hidden_leaks : frozenset of {"key nan", "key inf", "value nan", "value inf"} or None
        What makes the output non-finite when a key that no query may attend to holds it, such as
        the uninitialised tail of a key-value cache. Empty if nothing does; None if not declared.
    swallows : frozenset of {"scores", "values"} or None
        Whose nan and inf need not show in the output of a query that uses them, in every shape.
        Empty if all do; None if not declared.
    reads_in_place : frozenset of str
        Dtypes in which a prepared call reads the arrays it was prepared with, so that it sees
        changes made to them in between. In other dtypes it may have copied them.
    strided : bool
        Whether it claims inputs that are not contiguous.
    adjacent_strided : bool
        Whether it claims such inputs if the channels of a token are adjacent in memory: heads that
        are stored after tokens, or a slice of a longer cache.
    context : callable, optional
        Returns a context manager that is entered before calls are timed. A call must give the same
        result without it.
    gradients : Backward, optional
        How gradients of query, key, value and bias are computed; None if they aren't.
    interpreted_on : tuple of str
        Types of device on which an interpreter computes its numbers, which are certified; its time
        there says nothing, so it gets none.
    graded : str
        What it computes instead of attention to rounding, such as quantised scores, in words. It
        is then graded, not passed, and timed apart; empty if it is held to rounding.
    """

    name: str
    framework: str
    source: str
    devices: tuple[str, ...]
    dtypes: tuple[DType, ...]
    returns: frozenset[Returned]
    empty_rows: EmptyRows
    causal_align: Literal["top_left", "bottom_right"] | None
    scores_dtype: Literal["float32", "storage"]
    compiles: bool
    limits: str
    unsupported: Callable[[Request], list[str]]
    prepare: Callable[..., Callable[[], RawResult]]
    weights_dtype: Literal["float32", "storage"] = "storage"
    scaled_query_dtype: Literal["float32", "storage"] = "float32"
    hidden_leaks: frozenset[HiddenContent] | None = None
    swallows: frozenset[NonFinite] | None = None
    reads_in_place: frozenset[DType] = frozenset()
    strided: bool = False
    adjacent_strided: bool = False
    context: Callable[[], AbstractContextManager[object]] = nullcontext
    gradients: Backward | None = None
    interpreted_on: tuple[str, ...] = ()
    graded: str = ""
