"""``with intervene(model, …)``: other attention in chosen heads, while the block runs."""

from __future__ import annotations

import warnings
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Literal

from attnpanel.errors import MissingDependencyError
from attnpanel.rules import check_number
from attnpanel.sources.capture_folded import check_folded_heads
from attnpanel.sources.intervene_change import Change, Intervention
from attnpanel.sources.intervene_masks import mask_rule
from attnpanel.sources.intervene_place import Heads, check_heads
from attnpanel.sources.intervene_scale import scale_rule
from attnpanel.sources.intervene_weights import weights_rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from attnpanel.sources.intervene_scale import ScaleRule
    from attnpanel.trace import Trace


@contextmanager
def intervene(
    model: nn.Module,
    *,
    layer: str | Sequence[str] = "*",
    head: Heads = None,
    temperature: float = 1.0,
    mask: Literal["causal", "window"] | NDArray[Any] | Tensor | None = None,
    window: int | None = None,
    hide_keys: int | Iterable[int] = (),
    hide_edges: Iterable[tuple[int, int]] = (),
    weights: Literal["uniform", "diagonal"] | Trace | NDArray[Any] | Tensor | None = None,
    scale: float | NDArray[Any] | Tensor = 1.0,
    folded_heads: int | None = None,
) -> Iterator[None]:
    """Change the attention of chosen heads of a model while it runs.

    With ``scores`` as the model computes them, a chosen head's output is
    ``scale * softmax(scores / temperature, over the keys that model and mask show) @ value``.
    All other heads stay as they are, bit for bit. What :func:`attnpanel.capture` sees can be
    changed, however the model computes it; a capture around or inside the block records the
    changed attention. Gradients flow. Only calls of this thread and of modules of `model` are
    changed, and nothing stays changed when the block ends, however it ends.

    Blocks may be nested: in one head, temperatures and scales multiply, masks hide together,
    and of several weights the innermost count.

    Parameters
    ----------
    model : torch.nn.Module
    layer : str or sequence of str, optional
        Globs over the qualified names of the modules that compute attention, such as
        ``"encoder.layer.3.*"``: the names that a trace's calls have.
    head : int, slice or iterable of int, optional
        Which heads, from 0. All by default. Arrays of masks and weights hold the chosen heads in
        the order given here.
    temperature : float, optional
        Divides the scores, above 0; 1 is the model's own, dimensionless.
    mask : {"causal", "window"} or bool array broadcastable to (B, heads, T, S), optional
        True where a query may attend to a key. It only hides: what the model hides stays hidden.
    window : int, optional
        With ``mask="window"``: a query sees keys fewer positions away than this.
    hide_keys : int or iterable of int, optional
        Positions of keys that no query sees.
    hide_edges : iterable of (int, int), optional
        Pairs (query, key) of positions in the sequence that are cut.
    weights : {"uniform", "diagonal"}, Trace or float array, optional
        Stand in place of the softmax's: ``"uniform"`` over all keys that are seen, ``"diagonal"``
        on the query's own position, those of the same layer and heads in a trace, or an array
        broadcastable to (B, heads, T, S).
    scale : float or float array broadcastable to (B, heads), optional
        Multiplies the head's output, before heads are put together; 0 knocks a head out. An array
        has a number for each sequence of the batch.
    folded_heads : int, optional
        As for :func:`attnpanel.capture`.

    Raises
    ------
    ValueError
        If an argument breaks its rule; or inside the block, from the model's forward, if a
        chosen call has no such head or other sizes than an array, or can't be changed; or when
        the block ends, if a chosen layer never mixed values in a way that `scale` can reach.
    MissingDependencyError
        If PyTorch is not installed.

    Warns
    -----
    UserWarning
        When the block ends and nothing was changed; says which layers ran.

    Notes
    -----
    A query that no longer sees any key has weights and output 0. Modules that torch would run
    fused (``nn.TransformerEncoder`` in evaluation) run step by step while one of their heads is
    changed: last bits of other heads may differ, and padded rows are not filled with zeros. So do
    models that went through ``torch.compile``.

    What ``torch.utils.checkpoint`` computes again in ``backward()``, inside the block or later, is
    changed as its forward pass was.

    Examples
    --------
    >>> with intervene(model, layer="encoder.layer.3.*", head=5, temperature=0.5):  # doctest: +SKIP
    ...     model(**inputs)
    """
    try:
        from torch import nn
    except ImportError as error:
        raise MissingDependencyError(
            'intervene needs PyTorch: pip install "attnpanel[torch]"'
        ) from error
    from attnpanel.sources.capture_compiled import compiled_calls
    from attnpanel.sources.capture_huggingface import attention_interface
    from attnpanel.sources.capture_session import changing
    from attnpanel.sources.capture_torch import fused_modules, make_watcher
    from attnpanel.sources.intervene_checkpoint import checkpoints

    if not isinstance(model, nn.Module):
        raise ValueError(f"model must be a torch.nn.Module; got {type(model).__name__}")  # noqa: TRY004 - one error type for wrong input
    check_folded_heads(folded_heads)
    intervention = Intervention(
        model,
        layers=[layer] if isinstance(layer, str) else layer,
        heads=check_heads(head),
        change=_change(
            temperature,
            scale_rule(scale),
            mask_rule(mask, window, hide_keys, hide_edges),
            weights_rule(weights),
        ),
        folded_heads=folded_heads,
    )
    with ExitStack() as stack:
        for patch in (*fused_modules(), *attention_interface(), *compiled_calls(), *checkpoints()):
            stack.enter_context(patch.installed())
        stack.enter_context(changing(intervention, make_watcher()))
        yield
    if missed := intervention.never_scaled():
        raise ValueError(
            f"scale can't reach the output of layer {missed[0]!r}: no product of its weights with "
            "values was seen; choose other layers"
        )
    if not intervention.calls:
        warnings.warn(_nothing_changed(intervention), UserWarning, stacklevel=3)


def _change(temperature: float, scale: ScaleRule | None, mask: Any, weights: Any) -> Change:
    check_number("temperature", temperature)
    if temperature <= 0:
        raise ValueError(f"temperature must be above 0; got {temperature!r}")
    change = Change(float(temperature), mask, weights, scale)
    if not change.reweighs and scale is None:
        raise ValueError(
            "an intervention must change something: temperature, mask, hide_keys, hide_edges, "
            "weights or scale"
        )
    if weights is not None and temperature != 1:
        raise ValueError("weights stand in place of the softmax's, so temperature must be 1")
    if weights is not None and weights.kind != "uniform" and mask is not None:
        raise ValueError("only weights='uniform' go with a mask: given weights stay as they are")
    return change


def _nothing_changed(intervention: Intervention) -> str:
    if intervention.others:
        names = ", ".join(dict.fromkeys(intervention.others[:3]))
        return (
            f"no attention was changed: layer={list(intervention.layers)} matches none of the "
            f"{len(intervention.others)} calls, whose layers are named {names}, …"
        )
    return (
        f"no attention of {type(intervention.model).__name__} was changed. Run the model inside "
        "the with block, in the same thread. What attnpanel.capture can't see can't be changed"
    )
