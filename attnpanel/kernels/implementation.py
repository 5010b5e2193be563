"""What every implementation of attention declares, what it can't run, and how it is run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from attnpanel.kernels.request import DType, Request
    from attnpanel.rules import EmptyRows

Returned = Literal["output", "weights", "logsumexp"]


@dataclass(frozen=True, eq=False)
class RawResult:
    """What an implementation returns, in its framework's own arrays, on its own device.

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
class Implementation:
    """One way to compute attention.

    Attributes
    ----------
    name : str
        ``framework-variant``, unique: ``"torch-sdpa-flash"``.
    framework : str
        ``"numpy"``, ``"torch"``, ``"javascript"``, ``"onnxruntime"``, ``"jax"``.
    source : str
        The formula's citation, or the API that is called.
    devices : tuple of str
        Types of device it can run on, in torch's words.
    dtypes : tuple of str
    returns : frozenset of str
        Which of ``"output"``, ``"weights"``, ``"logsumexp"`` come back.
    empty_rows : {"zero", "uniform", "nan"}
        What it gives, by itself, to a query that may see no key.
    causal_align : {"top_left", "bottom_right"} or None
        The alignment of its own causal option; None where it has none and takes a mask.
    scores_dtype : {"float32", "storage"}
        Where 16-bit inputs keep their scores and weights: float32, or the 16 bits themselves.
        The certificate judges the latter as a class of its own.
    compiles : bool
        Whether the first call compiles; that time is kept apart.
    limits : str
        In words, what it can't run and what its mask means; for tables and tooltips.
    unsupported : function of a Request to a list of str
        Empty where it can run the request here; else the reasons, each a sentence in words that
        stands alone in a skip, a table and a tooltip. Never raises.
    prepare : function of Inputs, Request and ``threads=`` to a function without arguments
        Converts and moves the inputs, compiles nothing, and returns what is timed: each call
        computes the attention anew from the same inputs and returns a RawResult. It changes
        neither the NumPy inputs nor the process' thread settings.
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
