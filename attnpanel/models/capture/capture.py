"""``with capture(model) as trace``: record the attention of a PyTorch model while it runs."""

from __future__ import annotations

import warnings
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Literal

from attnpanel.attention.errors import MissingDependencyError
from attnpanel.attention.validation import (
    as_list,
    as_texts,
    check_choice,
    check_count,
    check_flag,
)
from attnpanel.models.capture.budget import Budget
from attnpanel.models.capture.patch_grid import PatchGrid
from attnpanel.models.intercept.batched_heads import check_folded_heads
from attnpanel.models.wrappers import module_of
from attnpanel.trace import Trace
from attnpanel.trace.picture import checked_grid

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import nn

    from attnpanel.models.capture.recorder import Recorder
    from attnpanel.trace.call import AttentionCall


@contextmanager
def capture(
    model: nn.Module | Any,
    *,
    layers: str | Sequence[str] = "*",
    dtype: Literal["float32", "float16"] = "float32",
    values: bool = True,
    store: Literal["qk", "weights"] = "qk",
    stitch: bool = True,
    folded_heads: int | None = None,
    max_bytes: int | None = None,
    tokens: Sequence[str] | Sequence[Sequence[str]] | None = None,
    tokenizer: Any = None,
    image: Any = None,
    grid: tuple[int, int] | None = None,
    outputs: bool = False,
) -> Iterator[Trace]:
    """Record the attention of a model while it runs, without changing what it computes.

    Recorded are Hugging Face models with any ``attn_implementation``,
    ``F.scaled_dot_product_attention`` in any module, ``nn.MultiheadAttention`` with everything
    built on it, and attention that a model writes out with ``@``, ``matmul``, ``bmm``, ``baddbmm``
    or ``einsum`` around a softmax or its exponentials. The trace stores queries, keys and masks and
    computes weights from them on request, before dropout. If the model returns weights of its own,
    the recomputed ones are compared with them on some rows; if they differ, the model's are stored.

    Only calls in this thread and in modules of `model` are recorded. Captures may be nested;
    each records the calls inside it. All patches are removed when the block ends, however it ends.

    Parameters
    ----------
    model : torch.nn.Module
        Or what holds one: a transformers pipeline, an NNsight model.
    layers : str or sequence of str, optional
        Glob patterns for the qualified names of the modules that compute attention, such as
        ``"encoder.layer.3.*"``. A model that is itself the attention has its class's name.
    dtype : {"float32", "float16"}, optional
        How queries, keys and values are stored. float16 takes half the memory and moves
        weights by about 2e-3; a call with numbers beyond its range (65504) is kept in float32.
    values : bool, optional
        False drops the values; outputs can then not be shown.
    store : {"qk", "weights"}, optional
        ``"qk"`` stores queries and keys, from which weights are computed on request, under any
        temperature and mask. ``"weights"`` stores the weights themselves, the model's own where it
        returns them: B·H·T·S numbers a call, at the model's temperature and mask only.
    stitch : bool, optional
        If True, the steps in which a model with a key/value cache generates are merged into one
        call a layer when the block ends: T by T, where T counts all tokens read. A step that does
        not continue the earlier keys (another text) begins another call. In a beam search each
        beam that runs at the end is a sequence of the batch, followed back through the beams it
        came from. If False, each step stays a call; the steps share their keys.
    folded_heads : int, optional
        Number of heads of a model that folds them into the batch, (B · H, T, D). Needed if the
        module that does so has no attribute with the number (`num_heads`, `n_head`, …).
    max_bytes : int, optional
        The most bytes to store at any time. Defaults to half of the memory that is free when the
        capture begins. If that leaves no room to merge the steps of a layer, they stay separate,
        with a warning.
    tokens : sequence of str, or one such sequence per batch entry, optional
        The token strings, for labels.
    tokenizer : tokenizer or processor, optional
        In place of `tokens`: names the ids that the model reads, those of a decoder and of
        generated tokens included.
    image : path, PIL image, array, tensor, a list with one a sequence, or True, optional
        The picture that the model sees, to show attention on it; stored at most 320 pixels a side.
        True stores what the model is given, its colours stretched. Without it the trace has the
        grid alone.
    grid : (rows, columns), optional
        How the tokens lie on it. By default found while the model runs, by the convolution that
        makes patches; in a language model, by the run of its image token. For a board or a maze,
        whose cells are the last tokens, no image is needed.
    outputs : bool, optional
        True also records what heads write after the output projection: the length of each key's
        value there, and the tokens whose logits each key and each row promotes most, of a model
        whose layers are added up and read by a final norm and an unembedding
        (:class:`attnpanel.HeadOutputs`). The logits cost
        about 2·d·V·min(S, Dv) operations a head. `tokenizer` names the tokens.

    Yields
    ------
    Trace
        Filled while the model runs. A call's index counts all attention calls of the model,
        including those that `layers` excludes.

    Raises
    ------
    ValueError
        If an argument breaks its rule; when the block ends, if `tokens` or `grid` fit no call.
    MissingDependencyError
        If PyTorch is not installed.
    CaptureBudgetError
        Inside the block, from the model's forward pass, before more than `max_bytes` are stored. A
        MemoryError; the earlier calls are in the trace.

    Warns
    -----
    UserWarning
        When the block ends, if a call could not be recorded or none was, or where `image` belongs
        is not known; says what to do.

    Examples
    --------
    >>> with capture(model) as trace:            # doctest: +SKIP
    ...     model(**inputs)
    >>> trace.calls[0].weights(head=0)           # doctest: +SKIP
    """
    try:
        import torch  # noqa: F401 - tried before what needs it
    except ImportError as error:
        raise MissingDependencyError("capture needs PyTorch: pip install torch") from error
    from attnpanel.models.capture.recorder import Recorder
    from attnpanel.models.intercept.compiled import compiled_patches
    from attnpanel.models.intercept.fused_modules import fused_module_patches
    from attnpanel.models.intercept.huggingface import huggingface_patches
    from attnpanel.models.intercept.session import recording
    from attnpanel.models.intercept.sliding_chunks import sliding_chunk_patches
    from attnpanel.models.intercept.torch_functions import make_handler
    from attnpanel.models.intercept.unseen_code import unseen_code_patches
    from attnpanel.models.read_tokens import ReadIds

    _check_outputs(outputs, values)
    model = module_of(model)
    grid = None if grid is None else checked_grid(grid)
    check_choice("dtype", dtype, ("float32", "float16"))
    check_choice("store", store, ("qk", "weights"))
    check_flag("values", values)
    check_flag("stitch", stitch)
    check_folded_heads(folded_heads)
    if max_bytes is not None:
        check_count("max_bytes", max_bytes)
    if tokens is not None and tokenizer is not None:
        raise ValueError("the tokens are named by tokens or by tokenizer; got both")
    recorder = Recorder(
        model,
        layers=as_texts("layers", layers),
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
        patches=PatchGrid(model, image, grid),
        outputs=outputs,
        tokenizer=tokenizer,
    )
    with ExitStack() as stack:
        for patch in (
            *fused_module_patches(),
            *huggingface_patches(),
            *sliding_chunk_patches(),
            *compiled_patches(),
            *unseen_code_patches(),
        ):
            stack.enter_context(patch.installed())
        if tokenizer is not None:
            read = ReadIds(model)
            stack.enter_context(read.watching())
        stack.enter_context(recording(recorder, make_handler()))
        try:
            yield recorder.trace
        finally:
            recorder.account()
            if stitch:
                recorder.stitch_steps()
            recorder.add_outputs()
    unknown = (
        "" if tokenizer is None else read.label(recorder.trace, tokenizer, recorder.merged_steps)
    )
    _check_labels(recorder.trace)
    misplaced = recorder.patches.describe(recorder.trace)
    for message in (*_warnings(recorder), *filter(None, [unknown, misplaced])):
        warnings.warn(message, UserWarning, stacklevel=3)


def _check_outputs(outputs: object, values: object) -> None:
    check_flag("outputs", outputs)
    if outputs and not values:
        raise ValueError("outputs=True must have values to read; got values=False")


def _token_rows(
    tokens: Sequence[str] | Sequence[Sequence[str]] | None,
) -> Sequence[Sequence[str]]:
    if tokens is None:
        return ()
    if isinstance(tokens, str):
        raise ValueError(f"tokens must be a sequence of strings; got the string {tokens[:80]!r}")  # noqa: TRY004 - one error type for wrong input
    if hasattr(tokens, "dtype"):
        raise ValueError(
            "tokens must be strings; got an array of numbers. "
            "tokenizer.convert_ids_to_tokens(ids) makes strings of one sequence"
        )
    rows = as_list("tokens", tokens)
    return [rows] if any(isinstance(token, str) for token in rows) else rows


def _check_labels(trace: Trace) -> None:
    """Raise ValueError if no row of labels fits a call."""
    rows = {len(row) for row in trace.query_tokens}
    calls = trace.calls
    # The last generated token is never an input of the model.
    longest = {call.key_len + 1 for call in calls if _may_generate(call)}
    lengths = {n for call in calls for n in (call.query_len, call.key_len)} | longest
    if rows and calls and rows.isdisjoint(lengths):
        found = sorted({(call.query_len, call.key_len) for call in calls})
        sizes = ", ".join(f"{queries} queries and {keys} keys" for queries, keys in found[:3])
        raise ValueError(
            f"tokens must label the queries or keys of a call; got {sorted(rows)} labels, and the "
            f"calls have {sizes}"
        )


def _may_generate(call: AttentionCall) -> bool:
    """Whether a call may be of a model that generates: it does not see all that comes later."""
    sees_all = call.causal == "none" and (call.mask is None or bool(call.mask[..., 0, -1].any()))
    return call.kind == "self" and not (call.live and call.bias is None and sees_all)


def _warnings(recorder: Recorder) -> Iterator[str]:
    """Yield the warnings to show when a capture ends."""
    coverage = recorder.trace.coverage
    assert coverage is not None  # noqa: S101 - set when the block ends
    for phrase in coverage.reasons():
        yield (
            f"attention was not recorded of {phrase}; trace.coverage has every layer, and "
            "attnpanel.record(weights=…, value=…) in the module hands its weights over"
        )
    if recorder.unstitched:
        yield (
            f"the steps of layer {recorder.unstitched[0]!r}, and maybe others, were not merged: "
            f"max_bytes={recorder.budget.max_bytes:,} leaves no room for the merged call"
        )
    if recorder.unwritten:
        yield recorder.unwritten
    if recorder.trace.calls or coverage.left_out:
        return
    if recorder.excluded_layers:
        names = ", ".join(dict.fromkeys(recorder.excluded_layers[:3]))
        yield (
            f"no attention was captured: layers={list(recorder.layers)} matches none of the "
            f"{len(recorder.excluded_layers)} calls, whose layers are named {names}, …"
        )
        return
    sdpa = "load it with attn_implementation='sdpa', " if _takes_sdpa(recorder.model) else ""
    foreign = ", ".join(dict.fromkeys(recorder.audit.foreign))
    yield (
        f"no attention of {recorder.trace.model} was captured"
        + (f": what ran belongs to {foreign}, outside its modules" if foreign else "")
        + ". Run the model inside the with block, in the same thread. Attention in a torch.jit "
        "script or computed by flash-attn or xformers is not captured: "
        f"{sdpa}capture the module that was scripted, call "
        "F.scaled_dot_product_attention, or report it with attnpanel.record(query, key, value) "
        "or record(weights=…, value=…)"
    )


def _takes_sdpa(model: nn.Module) -> bool:
    """Whether transformers would load this model with another attention than it has."""
    config = getattr(model, "config", None)
    other = getattr(config, "_attn_implementation", "sdpa") != "sdpa"
    return other and bool(getattr(model, "_supports_sdpa", False))
