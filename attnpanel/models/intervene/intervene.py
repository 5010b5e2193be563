"""``with intervene(model, …)``: change the attention of chosen heads while the block runs."""

from __future__ import annotations

import warnings
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Literal

from attnpanel.attention.errors import MissingDependencyError
from attnpanel.attention.validation import as_texts, check_count, check_number
from attnpanel.models.intercept.batched_heads import check_folded_heads
from attnpanel.models.intervene.intervention import AttentionChange, Intervention
from attnpanel.models.intervene.masks import mask_rule
from attnpanel.models.intervene.scale import scale_rule
from attnpanel.models.intervene.target import Heads, as_numbers, check_heads
from attnpanel.models.intervene.weights import weights_rule
from attnpanel.models.wrappers import module_of
from attnpanel.trace.coverage import list_layers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from attnpanel.models.intervene.scale import ScaleRule
    from attnpanel.trace import Trace


@contextmanager
def intervene(
    model: nn.Module,
    *,
    layer: str | Sequence[str] = "*",
    head: Heads = None,
    passes: int | Iterable[int] | None = None,
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

    With ``scores`` as the model computes them, a chosen head's output becomes
    ``scale * softmax(scores / temperature, over the keys that model and mask show) @ value``.
    All other heads stay bit-identical. Whatever :func:`attnpanel.capture` can record can be
    changed, however the model computes it; a capture around or inside the block records the
    changed attention. Gradients flow. Only calls in this thread and in modules of `model` are
    changed, and nothing stays changed when the block ends, however it ends.

    Blocks may be nested: in one head, temperatures and scales multiply, masks hide together,
    and of several `weights` the innermost ones apply.

    Parameters
    ----------
    model : torch.nn.Module
    layer : str or sequence of str, optional
        Glob patterns for the qualified names of the modules that compute attention, such as
        ``"encoder.layer.3.*"``: the layer names in a trace.
    head : int, slice or iterable of int, optional
        Which heads, from 0. All by default. Arrays for `mask` and `weights` hold the chosen heads
        in the order given here.
    passes : int or iterable of int, optional
        Which calls of each layer, counted from 0 in the block. All by default. A shared layer, such
        as ALBERT's, has one a pass, a layer that generates one a step: as in a trace's ``(layer,
        pass)``.
    temperature : float, optional
        Divides the scores; above 0, dimensionless. 1 is the model's own.
    mask : {"causal", "window"} or bool array broadcastable to (B, heads, T, S), optional
        True where a query may attend to a key. Keys that the model hides stay hidden.
    window : int, optional
        With ``mask="window"``: a query sees keys fewer than this many positions away.
    hide_keys : int or iterable of int, optional
        Positions of keys that no query sees.
    hide_edges : iterable of (int, int), optional
        Pairs (query, key) of positions in the sequence whose weight becomes 0.
    weights : {"uniform", "diagonal"}, Trace or float array, optional
        Replace the softmax's weights: ``"uniform"`` over all visible keys, ``"diagonal"`` on the
        query's own position, those of the same layer and heads in a trace, or an array
        broadcastable to (B, heads, T, S).
    scale : float or float array broadcastable to (B, heads), optional
        Multiplies the head's output, before the heads are concatenated; 0 knocks a head out. An
        array has a number for each sequence of the batch.
    folded_heads : int, optional
        As for :func:`attnpanel.capture`.

    Raises
    ------
    ValueError
        If an argument breaks its rule; or inside the block, from the model's forward pass, if a
        chosen call has no such head, does not fit an array, or cannot be changed; or when the block
        ends, if in a chosen layer no product with the values was found that `scale` can change.
    MissingDependencyError
        If PyTorch is not installed.

    Warns
    -----
    UserWarning
        When the block ends and nothing was changed; says which layers ran. Or if some of a chosen
        layer's attention was not, if it changes its weights again after the softmax, or if a head
        scaled by 0 left its module with another output than 0: names the layers. Or if `hide_keys`,
        `hide_edges` or `passes` are beyond every call.

    Notes
    -----
    A query that no longer sees any key has weights and output 0. Modules that torch would run
    fused (``nn.TransformerEncoder`` in evaluation) run step by step while one of their heads is
    changed: the last bits of other heads may differ, and padded rows are not filled with zeros. The
    same holds for models that went through ``torch.compile``.

    What ``torch.utils.checkpoint`` computes again in ``backward()``, inside the block or later, is
    changed as in its forward pass.

    Examples
    --------
    >>> with intervene(model, layer="encoder.layer.3.*", head=5, temperature=0.5):  # doctest: +SKIP
    ...     model(**inputs)
    """
    try:
        import torch  # noqa: F401 - tried before what needs it
    except ImportError as error:
        raise MissingDependencyError("intervene needs PyTorch: pip install torch") from error
    model = module_of(model)
    check_folded_heads(folded_heads)
    intervention = Intervention(
        model,
        layers=as_texts("layer", layer),
        heads=check_heads(head),
        passes=_check_passes(passes),
        change=_check_change(
            temperature,
            scale_rule(scale),
            mask_rule(mask, window, hide_keys, hide_edges),
            weights_rule(weights),
        ),
        folded_heads=folded_heads,
    )
    with applied(intervention):
        yield
    beyond = (intervention.hidden.beyond_all_calls(), intervention.passes_beyond_all_calls())
    others = (_leaking(list(intervention.leaking)), _altered(list(intervention.altered)))
    for message in filter(None, (*beyond, *others)):
        warnings.warn(message, UserWarning, stacklevel=3)
    if unreached := intervention.unreached_layers():
        warnings.warn(_unreached(unreached), UserWarning, stacklevel=3)
    elif not intervention.call_counts:
        warnings.warn(_nothing_changed(intervention), UserWarning, stacklevel=3)


@contextmanager
def applied(intervention: Intervention) -> Iterator[None]:
    """Apply an intervention to this thread's calls; without a warning of what it did not reach.

    Raises
    ------
    ValueError
        When the block ends, if its scale has reached no output of a layer.
    """
    from attnpanel.models.intercept.checkpoint import checkpoint_patches
    from attnpanel.models.intercept.compiled import compiled_patches
    from attnpanel.models.intercept.fused_modules import fused_module_patches
    from attnpanel.models.intercept.huggingface import huggingface_patches
    from attnpanel.models.intercept.session import intervening
    from attnpanel.models.intercept.torch_functions import make_handler
    from attnpanel.models.intercept.unseen_code import unseen_code_patches

    patches = (
        *fused_module_patches(),
        *huggingface_patches(),
        *compiled_patches(),
        *checkpoint_patches(),
        *unseen_code_patches(),
    )
    with ExitStack() as stack:
        for patch in patches:
            stack.enter_context(patch.installed())
        stack.enter_context(intervening(intervention, make_handler()))
        yield
    if unscaled := intervention.unscaled_layers():
        raise ValueError(
            f"scale cannot be applied to the output of layer {unscaled[0]!r}: no product of its "
            "weights with values was found; choose other layers"
        )


def _check_passes(passes: int | Iterable[int] | None) -> tuple[int, ...] | None:
    """Return the chosen passes in order; None for all."""
    if passes is None:
        return None
    numbers = as_numbers(passes)
    for number in numbers:
        check_count("passes", number)
    if not numbers:
        raise ValueError("passes must name at least one pass; got none")
    return tuple(sorted(set(numbers)))


def _check_change(
    temperature: float, scale: ScaleRule | None, mask: Any, weights: Any
) -> AttentionChange:
    check_number("temperature", temperature)
    if temperature <= 0:
        raise ValueError(f"temperature must be above 0; got {temperature!r}")
    change = AttentionChange(float(temperature), mask, weights, scale)
    if not change.changes_weights and scale is None:
        raise ValueError(
            "an intervention must change something: temperature, mask, hide_keys, hide_edges, "
            "weights or scale"
        )
    if weights is not None and temperature != 1:
        raise ValueError("weights replace the softmax's, so temperature must be 1")
    if weights is not None and weights.kind != "uniform" and mask is not None:
        raise ValueError("a mask needs weights=None or 'uniform': other weights are used as given")
    return change


def _unreached(layers: tuple[str, ...]) -> str:
    return (
        f"not all attention of layer {list_layers(list(layers))} was changed: it is computed in "
        "pieces, or in a form that an intervention cannot reach, so that the outputs are neither "
        "the model's own nor those of the change that was asked for"
    )


def _leaking(layers: list[str]) -> str:
    if not layers:
        return ""
    return (
        f"a head scaled by 0 leaves layer {list_layers(layers)} with another output than 0: the "
        "layer adds to its heads what is not their weights times values, which stays as it was"
    )


def _altered(layers: list[str]) -> str:
    if not layers:
        return ""
    return (
        f"layer {list_layers(layers)} changes its weights after the softmax, where the block has "
        "changed them: its outputs, of other heads too, are those of weights that are neither"
    )


def _nothing_changed(intervention: Intervention) -> str:
    if intervention.other_layers:
        names = ", ".join(dict.fromkeys(intervention.other_layers[:3]))
        return (
            f"no attention was changed: layer={list(intervention.layers)} matches none of the "
            f"{len(intervention.other_layers)} calls, whose layers are named {names}, …"
        )
    return (
        f"no attention of {type(intervention.model).__name__} was changed. Run the model inside "
        "the with block, in the same thread. What attnpanel.capture cannot record cannot be changed"
    )
