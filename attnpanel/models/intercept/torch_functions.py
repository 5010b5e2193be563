"""Handle every torch function that a model calls: find attention, change it and record it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from attnpanel.models.intercept.call import running_modules
from attnpanel.models.intercept.eager_changes import ChangingTracker
from attnpanel.models.intercept.flex import apply_to_flex
from attnpanel.models.intercept.multihead import run_multi_head_attention
from attnpanel.models.intercept.operator_calls import (
    operator_types,
    python_function,
    sdpa_arguments,
    unread_attention,
)
from attnpanel.models.intercept.sdpa import apply_to_sdpa
from attnpanel.models.intercept.session import (
    follow_outputs,
    interventions,
    is_active,
    knock_outs,
    note_ids,
    note_linear,
    note_part,
    note_patches,
    note_rotation,
    note_use,
    owns,
    record_call,
    recorders,
    streams,
    transform_reason,
)
from attnpanel.models.intercept.torch_operators import operators
from attnpanel.models.intercept.tracked_scores import ScoreUse

if TYPE_CHECKING:
    from collections.abc import Callable

    from attnpanel.models.intercept.session import Handler

# Kinds of functions of which rotary position embeddings are made.
ROTATION_KINDS = ("negate", "join", "complex", "halve")


def make_handler() -> Handler:
    """Make the handler of a function mode, with an eager tracker of its own."""
    import torch
    from torch.nn import functional

    tracker = ChangingTracker(owns)
    known = operators()
    noted = _layers() | known["window"] | known["convolution"] | known["embedding"]
    write = torch.Tensor.__setitem__
    types = operator_types()
    fused: dict[Any, Callable[..., Any]] = {
        functional.scaled_dot_product_attention: apply_to_sdpa,
        getattr(torch.ops.higher_order, "flex_attention", None): apply_to_flex,
    }

    def handle(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not is_active():
            return func(*args, **kwargs)
        result = run(func, args, kwargs)
        # Tuples may be named, such as what max and topk return.
        if func is write or type(result) is torch.Tensor or isinstance(result, (tuple, list)):
            _follow(func, args, kwargs, result)
        return result

    def run(called: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        func = python_function(called) if type(called) in types else called
        if func is functional.multi_head_attention_forward:
            return run_multi_head_attention(args, kwargs)
        apply = fused.get(func)
        if apply is not None:
            result, read = apply(args, kwargs, called(*args, **kwargs))
            record_call(read)
            tracker.follow_fused(_inputs(args, kwargs), result)
            return result
        if (name := unread_attention(func)) is not None:
            result = _run_kernel(name, called, args, kwargs)
            tracker.follow_fused(_inputs(args, kwargs), result)
            return result
        if func in noted:
            _note(func, args, kwargs)
        if interventions():
            args, kwargs = tracker.change_arguments(func, args, kwargs)
        result = called(*args, **kwargs)
        _track(tracker, func, args, kwargs, result)
        return tracker.change_result(func, args, kwargs, result) if interventions() else result

    return handle


def _inputs(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """Return the query, key and value that a function was called with."""
    named = (kwargs.get(name) for name in ("query", "key", "value")[len(args) :])
    return (*args[:3], *named)


def _run_kernel(
    name: str, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Run an operator that computes attention; record it, or note that it cannot be read."""
    result = func(*args, **kwargs)
    read = sdpa_arguments(func, args, kwargs)
    if read is None:
        reason = f"it calls {name}, whose weights cannot be read"
        note_use(ScoreUse(0, 0, 0, running_modules(), met_values=True, reason=reason))
        return result
    output, record = apply_to_sdpa(*read, result[0])
    record_call(record)
    return result if output is result[0] else (output, *result[1:])


@cache
def _layers() -> frozenset[Any]:
    import torch

    return operators()["layer"] | {torch.matmul, torch.Tensor.__matmul__}


@cache
def _rotations() -> dict[Any, str]:
    """Map the functions of a rotary position embedding to their kind."""
    known = operators()
    return {func: kind for kind in ROTATION_KINDS for func in known[kind]}


def _note(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Note a linear layer, what an embedding reads, and the window or patches of a convolution."""
    known = operators()
    if func in known["embedding"]:
        note_ids(args)
        return
    if func in known["convolution"]:
        note_patches(args, kwargs)
    if func in _layers():
        note_linear(args)
    if func in known["window"] or (func in known["convolution"] and _has_computed_weight(args)):
        note_part("window")


def _has_computed_weight(args: tuple[Any, ...]) -> bool:
    """Whether a convolution's weights are no parameter."""
    from torch.nn import Parameter

    weight = args[1] if len(args) > 1 else None
    base = getattr(weight, "_base", None)
    return weight is not None and not isinstance(weight if base is None else base, Parameter)


def _follow(
    func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], result: Any
) -> None:
    """Note which sequence a result belongs to, and what it holds of knocked-out heads."""
    if interventions():
        knock_outs().follow(func, args, kwargs, result)
    follow_outputs(func, args, kwargs, result)
    try:
        streams().follow(func, args, kwargs, result)
        streams().axes.follow(func, args, result)
    except (TypeError, RuntimeError):  # the model must not stop; lengths tell, too
        pass


def _track(
    tracker: ChangingTracker,
    func: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    result: Any,
) -> None:
    """Let the tracker see a function; an error in the tracker must not stop the model."""
    try:
        read = tracker.observe(func, args, kwargs, result)
    except Exception as error:  # noqa: BLE001 - meta and traced tensors, odd shapes and dtypes
        modules = running_modules()
        for recorder in recorders():
            recorder.skip(modules, transform_reason() or f"{type(error).__name__}: {error}")
        return
    if func in (kinds := _rotations()):
        note_rotation(kinds[func], args, result)
    if read is not None:
        record_call(read)
