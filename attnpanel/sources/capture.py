"""``with capture(model) as trace``: the attention of a PyTorch model as it runs, unchanged."""

from __future__ import annotations

import warnings
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Literal

from attnpanel.errors import MissingDependencyError
from attnpanel.rules import check_choice, check_count
from attnpanel.sources.capture_budget import Budget
from attnpanel.sources.capture_folded import check_folded_heads
from attnpanel.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import nn

    from attnpanel.sources.capture_recorder import Recorder


@contextmanager
def capture(
    model: nn.Module,
    *,
    layers: str | Sequence[str] = "*",
    dtype: Literal["float32", "float16"] = "float32",
    values: bool = True,
    store: Literal["qk", "weights"] = "qk",
    stitch: bool = True,
    folded_heads: int | None = None,
    max_bytes: int | None = None,
    tokens: Sequence[str] | Sequence[Sequence[str]] | None = None,
) -> Iterator[Trace]:
    """Record the attention of a model while it runs, without changing what it computes.

    Seen are Hugging Face models with any ``attn_implementation``,
    ``F.scaled_dot_product_attention`` in any module, ``nn.MultiheadAttention`` with everything
    built on it, and attention that a model writes out by ``@``, ``matmul``, ``bmm``, ``baddbmm``
    or ``einsum`` around a softmax or its exponentials. Recorded are queries, keys and masks; the
    trace computes weights from them when asked, as they are before dropout. Where the model
    gives weights of its own, the recomputed ones are compared with them on some rows, and if
    they differ, the model's own are stored.

    Only calls of this thread and of modules of `model` are recorded. Captures may be nested;
    each sees the calls inside it. Nothing stays patched when the block ends, however it ends.

    Parameters
    ----------
    model : torch.nn.Module
    layers : str or sequence of str, optional
        Globs over the qualified names of the modules that compute attention, such as
        ``"encoder.layer.3.*"``. A model that is itself the attention has its class's name.
    dtype : {"float32", "float16"}, optional
        How queries, keys and values are stored. float16 takes half the memory and moves
        weights by about 2e-3; a call with numbers beyond its range (65504) is kept in float32.
    values : bool, optional
        False leaves the values out; outputs can then not be shown.
    store : {"qk", "weights"}, optional
        ``"qk"`` keeps queries and keys, from which weights are computed when asked, under any
        temperature and mask. ``"weights"`` keeps the weights themselves, the model's own where it
        makes them: B·H·T·S numbers a call, which are what they are.
    stitch : bool, optional
        True makes one call a layer of what a model with a key/value cache generates step by
        step, when the block ends: a picture of T by T, T being all tokens that were read. What
        does not go on from the keys before (a beam that is swapped, another text) begins another
        call. False keeps each step as a call; they share their keys.
    folded_heads : int, optional
        How many heads a model has that folds them into the batch, (B · H, T, D). Needed where the
        module that does so has no attribute that names the number (`num_heads`, `n_head`, …).
    max_bytes : int, optional
        The most to store, at any time. Defaults to half of the memory that is free when the
        capture begins. Where it leaves no room to make one picture of the steps of a layer, they
        stay as they are, and a warning says so.
    tokens : sequence of str, or one such sequence per batch entry, optional
        The token strings, for labels.

    Yields
    ------
    Trace
        Filled while the model runs. A call's index counts the model's attention calls,
        including those that `layers` leaves out.

    Raises
    ------
    ValueError
        If an argument breaks its rule.
    MissingDependencyError
        If PyTorch is not installed.
    CaptureBudgetError
        Inside the block, from the model's forward, before more than `max_bytes` are stored. A
        MemoryError; the calls before it are in the trace.

    Warns
    -----
    UserWarning
        When the block ends and a call could not be recorded, or none was; says what to do.

    Examples
    --------
    >>> with capture(model) as trace:            # doctest: +SKIP
    ...     model(**inputs)
    >>> trace.calls[0].weights(head=0)           # doctest: +SKIP
    """
    try:
        from torch import nn
    except ImportError as error:
        raise MissingDependencyError(
            'capture needs PyTorch: pip install "attnpanel[torch]"'
        ) from error
    from attnpanel.sources.capture_compiled import compiled_calls
    from attnpanel.sources.capture_huggingface import attention_interface
    from attnpanel.sources.capture_recorder import Recorder
    from attnpanel.sources.capture_session import recording
    from attnpanel.sources.capture_torch import fused_modules, make_watcher

    if not isinstance(model, nn.Module):
        raise ValueError(f"model must be a torch.nn.Module; got {type(model).__name__}")  # noqa: TRY004 - one error type for wrong input
    check_choice("dtype", dtype, ("float32", "float16"))
    check_choice("store", store, ("qk", "weights"))
    check_folded_heads(folded_heads)
    if max_bytes is not None:
        check_count("max_bytes", max_bytes)
    recorder = Recorder(
        model,
        layers=[layers] if isinstance(layers, str) else layers,
        half=dtype == "float16",
        values=values,
        weights=store == "weights",
        folded_heads=folded_heads,
        budget=Budget(max_bytes),
        trace=Trace(
            query_tokens=_token_rows(tokens),
            source="capture",
            model=type(getattr(model, "_orig_mod", model)).__name__,  # not torch.compile's wrapper
        ),
    )
    with ExitStack() as stack:
        for patch in (*fused_modules(), *attention_interface(), *compiled_calls()):
            stack.enter_context(patch.installed())
        stack.enter_context(recording(recorder, make_watcher()))
        try:
            yield recorder.trace
        finally:
            if stitch:
                recorder.join_steps()
    for message in _warnings(recorder):
        warnings.warn(message, UserWarning, stacklevel=3)


def _token_rows(
    tokens: Sequence[str] | Sequence[Sequence[str]] | None,
) -> Sequence[Sequence[str]]:
    if not tokens:
        return ()
    if isinstance(tokens, str):
        raise ValueError(f"tokens must be a sequence of strings; got the text {tokens[:80]!r}")  # noqa: TRY004 - one error type for wrong input
    flat = [token for token in tokens if isinstance(token, str)]
    return [flat] if flat else tokens


def _warnings(recorder: Recorder) -> Iterator[str]:
    """Say what a person should know when a capture ends."""
    for reason, layer in recorder.left_out.items():
        yield f"attention of layer {layer!r}, and maybe others, was not recorded: {reason}"
    if recorder.unjoined:
        yield (
            f"the steps of layer {recorder.unjoined[0]!r}, and maybe others, are kept one by one: "
            f"max_bytes={recorder.budget.max_bytes:,} leaves no room to make one picture of them"
        )
    if recorder.trace.calls or recorder.left_out:
        return
    if recorder.unwanted:
        names = ", ".join(dict.fromkeys(recorder.unwanted[:3]))
        yield (
            f"no attention was captured: layers={list(recorder.layers)} matches none of the "
            f"{len(recorder.unwanted)} calls, whose layers are named {names}, …"
        )
        return
    yield (
        f"no attention of {recorder.trace.model} was captured. Run the model inside the with "
        "block, in the same thread. Attention in a torch.jit script or computed by flash-attn or "
        "xformers is not seen: load a Hugging Face model with attn_implementation='sdpa', call "
        "F.scaled_dot_product_attention, or tell of it by attnpanel.record(query, key, value)"
    )
