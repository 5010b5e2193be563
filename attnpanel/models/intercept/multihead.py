"""Read and change the attention inside ``F.multi_head_attention_forward``."""

from __future__ import annotations

from types import FunctionType
from typing import TYPE_CHECKING, Any

from attnpanel.models.intercept.call import InterceptedCall, running_modules
from attnpanel.models.intercept.eager_call import offset_before
from attnpanel.models.intercept.matmul import Product
from attnpanel.models.intercept.sdpa import apply_to_sdpa
from attnpanel.models.intercept.session import (
    follow_outputs,
    function_mode,
    interventions,
    knock_outs,
    record_call,
    streams,
)
from attnpanel.models.intervene.eager import EagerIntervention, eager_intervention

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from attnpanel.trace.call import Kind


# The first parameters of ``F.multi_head_attention_forward``, none of which has a default.
NAMES = (
    *("query", "key", "value", "embed_dim_to_check", "num_heads"),
    *("in_proj_weight", "in_proj_bias", "bias_k", "bias_v", "add_zero_attn"),
)


class _MultiHeadHandler:
    """Handle the torch functions inside one ``F.multi_head_attention_forward``.

    With need_weights=False that is one SDPA call. With need_weights=True torch computes
    ``softmax((query * scale) @ key.T + mask) @ value`` step by step.
    """

    def __init__(self, heads: int, kind: Kind, keys_added: int) -> None:
        self.heads, self.kind, self.keys_added = heads, kind, keys_added
        self.intervention: EagerIntervention | None = None
        self.read_sdpa: Callable[[], InterceptedCall] | None = None
        self.query: Tensor | None = None
        self.key: Tensor | None = None
        self.value: Tensor | None = None
        self.mask: Tensor | None = None
        self.weights: Tensor | None = None
        self.scale = 1.0
        # The last linear layer, which reads the heads' outputs.
        self.projection: tuple[tuple[Any, ...], dict[str, Any], Any] = ((), {}, None)
        self._product: tuple[Any, ...] = (None, None, 1.0)

    def handle(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Run one torch function of the body, and follow what it makes of knocked-out heads."""
        from torch.nn import functional

        result = self._run(func, args, kwargs)
        if func is functional.linear:
            self.projection = args, kwargs, result
        if interventions():
            knock_outs().follow(func, args, kwargs, result)
        return result

    def _run(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run one torch function of the body, and keep what is part of the attention."""
        import torch
        from torch.nn import functional

        intervention = self.intervention
        scaling = intervention if func is torch.bmm and intervention is not None else None
        if scaling is not None and not scaling.plan.scales_output:
            scaling = None
        if scaling is not None:
            args = (scaling.scale_weights(args[0]), *args[1:])
        result = func(*args, **kwargs)
        if scaling is not None:
            result = scaling.zero_knocked_out(result, Product(*args))
        if func is functional.scaled_dot_product_attention:
            found = apply_to_sdpa(args, kwargs, result, self.kind, self.keys_added)
            result, self.read_sdpa = found
        elif func in {torch.Tensor.mul, torch.Tensor.__mul__}:
            self._product = (result, *args)
        elif func in {torch.bmm, torch.baddbmm} and self.query is None:
            self._keep_scores(args)
        elif func is functional.softmax:
            self.intervention = eager_intervention(
                running_modules(),
                args[0],
                heads=self.heads,
                kind=self.kind,
                keys_added=self.keys_added,
            )
            if self.intervention is not None:
                result = self.intervention.change_weights(args[0], result)
            self.weights = result
        elif func is torch.bmm and self.weights is not None:
            self.value = args[1]
        return result

    def _keep_scores(self, args: tuple[Any, ...]) -> None:
        *mask, query, key = args
        self.mask = mask[0] if mask else None
        self.query, self.key = query, key.transpose(-2, -1)
        product, unscaled, scale = self._product
        if product is query:
            self.query, self.scale = unscaled, float(scale)

    def read_call(self) -> InterceptedCall:
        """Make the call, with the heads that torch folds into the batch on an axis of their own."""
        if self.read_sdpa is not None:
            return self.read_sdpa()
        if self.query is None or self.key is None or self.value is None or self.weights is None:
            raise ValueError("F.multi_head_attention_forward must compute attention in known steps")

        def split(folded: Tensor) -> Tensor:
            return folded.reshape(-1, self.heads, *folded.shape[1:])

        shared = self.mask is None or self.mask.shape[0] == 1
        call = InterceptedCall(
            running_modules(),
            split(self.query),
            split(self.key),
            split(self.value),
            mask=self.mask if self.mask is None or shared else split(self.mask),
            scale=self.scale,
            kind=self.kind,
            weights=split(self.weights),
            q_offset=offset_before(self.keys_added, self.query, self.key),
        )
        return call if self.intervention is None else self.intervention.call_to_record(call)


def run_multi_head_attention(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run the body of ``F.multi_head_attention_forward`` with a handler for its steps."""
    import torch
    from torch.nn import functional

    by_position = _by_position(args, kwargs)
    query, key, _, _, heads = by_position[:5]
    _, _, bias_key, _, add_zeros = by_position[5:10]
    handler = _MultiHeadHandler(heads, _kind(query, key), (bias_key is not None) + add_zeros)
    body = _without_dispatch(functional.multi_head_attention_forward)
    with function_mode(handler.handle):
        result = body(*args, **kwargs)
    record_call(handler.read_call)
    follow_outputs(functional.linear, *handler.projection)
    follow_outputs(torch.Tensor.view, (handler.projection[-1],), {}, result[0])
    return result


def _by_position(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    return (*args, *(kwargs[name] for name in NAMES[len(args) :]))


def _kind(query: Tensor, key: Tensor) -> Kind:
    same = _same_tensor(query, key) or streams().kind(query, key) == "self"
    return "self" if same else "cross"


def _same_tensor(left: Tensor, right: Tensor) -> bool:
    return left is right or (
        left.data_ptr() == right.data_ptr()
        and left.shape == right.shape
        and left.stride() == right.stride()
    )


def _without_dispatch(function: Callable[..., Any]) -> Callable[..., Any]:
    """Copy a torch function without its check for an active function mode.

    With the check, the whole function is handed to the mode and its steps stay hidden: a handler
    runs without its mode, and with the mode pushed the function would hand itself over again.
    """
    names = {**function.__globals__, "has_torch_function": lambda _: False}
    return FunctionType(
        function.__code__, names, function.__name__, function.__defaults__, function.__closure__
    )
