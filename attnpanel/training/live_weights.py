"""Weights of a run's model at some of its steps, as float16, for the page to compute with."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from attnpanel.models.live_model.packed_tensors import pack_tensors
from attnpanel.training.loop import KEYFRAMES, spread_steps

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from attnpanel.models.tiny_lm import TinyLM
    from attnpanel.training.settings import TrainingSettings
    from attnpanel.training.tasks import Task

# Of all steps of a run together. A model that does not fit twice is kept once, at its end: the
# largest settings give one of 9.6 MB.
MAX_BYTES: Final = 3_000_000
EPSILON: Final = 1e-5  # of torch.nn.LayerNorm


def weight_steps(settings: TrainingSettings, task: Task) -> set[int]:
    """Return the steps at which a run keeps weights: evenly spread keyframes, the last included.

    As many as fit into `MAX_BYTES`, or the last alone.
    """
    keyframes = sorted(spread_steps(settings.steps, KEYFRAMES))
    most = MAX_BYTES // weight_layout(settings, task)[1]
    if most < 2:
        return {settings.steps}
    stride = math.ceil((len(keyframes) - 1) / (most - 1))
    return {*keyframes[::stride], settings.steps}


def describe_model(settings: TrainingSettings, task: Task) -> dict[str, Any]:
    """Return ``DecoderDescription`` of js/types/live_model.d.ts."""
    tensors, size = weight_layout(settings, task)
    return {
        "layers": settings.layers,
        "heads": settings.heads if settings.attends else 0,
        "headDim": settings.d_model // settings.heads,
        "width": settings.d_model,
        "epsilon": EPSILON,
        "limit": task.length,
        "tensors": tensors,
        "bytes": size,
        "withoutEmbedding": [],
    }


def weight_layout(settings: TrainingSettings, task: Task) -> tuple[list[dict[str, Any]], int]:
    """Return the places of a model's arrays in its bytes, and the number of these bytes."""
    shapes = _shapes(settings, task)
    tensors, data = pack_tensors(
        {name: np.zeros(shape, _dtype(name)) for name, shape in shapes.items()}
    )
    return tensors, len(data)


def pack_weights(
    state: Mapping[str, NDArray[Any]], settings: TrainingSettings, task: Task
) -> bytes:
    """Return the arrays of a `TinyLM`'s state as `weight_layout` places them.

    Raises
    ------
    ValueError
        If an array is missing, has another shape, or a number that is not finite or, for float16,
        beyond 65504.
    """
    arrays = {}
    for name, shape in _shapes(settings, task).items():
        array, dtype = _read(state, name, settings), _dtype(name)
        if array.shape != shape:
            raise ValueError(f"{name} of this model must have the shape {shape}; got {array.shape}")
        largest = np.finfo(dtype).max
        if not (np.abs(array) <= largest).all():  # nan is not, either
            raise ValueError(f"a weight that the page computes with must be at most {largest:g}")
        arrays[name] = array.astype(dtype)
    return pack_tensors(arrays)[1]


def weights_of_file(data: bytes, settings: TrainingSettings, task: Task) -> bytes:
    """Return the weights in a run's safetensors file, which is not trusted, as `pack_weights` does.

    Raises
    ------
    ValueError
        If they are not such a file, or not of this model.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        state = load(data)
    except SafetensorError as error:
        raise ValueError(f"the weights are no safetensors file: {str(error)[:200]}") from error
    return pack_weights(state, settings, task)


def check_weights(data: bytes, settings: TrainingSettings, task: Task) -> bytes:
    """Return bytes that are a model's; they are not trusted.

    Raises
    ------
    ValueError
        If they have another length, or a number that is not finite.
    """
    tensors, size = weight_layout(settings, task)
    if len(data) != size:
        raise ValueError(f"the weights of this model must have {size} bytes; got {len(data)}")
    for tensor in tensors:
        count = math.prod(tensor["shape"])
        numbers = np.frombuffer(data, tensor["dtype"], count, tensor["at"])
        if not np.isfinite(numbers).all():
            raise ValueError(f"{tensor['name']} holds a number that is not finite")
    return data


def pack_model(
    model: TinyLM, settings: TrainingSettings, task: Task, tokens: NDArray[np.int64]
) -> tuple[float, bytes]:
    """Return a model's weights, and what their rounding changes.

    Parameters
    ----------
    model : TinyLM
    settings : TrainingSettings
    task : Task
    tokens : int64 array of shape (B, T)
        Sequences on which the change is measured.

    Returns
    -------
    error : float
        Largest difference of a next-token probability, 0 to 1.
    weights : bytes

    Raises
    ------
    ValueError
        If a weight is beyond float16's range.
    """
    import torch

    state = {name: tensor.detach().cpu().numpy() for name, tensor in model.state_dict().items()}
    packed = pack_weights(state, settings, task)
    rounded = copy.deepcopy(model)
    with torch.no_grad():
        for module in rounded.modules():
            if not isinstance(module, torch.nn.LayerNorm):
                for parameter in module.parameters(recurse=False):
                    parameter.copy_(parameter.half().to(parameter.dtype))
        ids = torch.from_numpy(tokens).to(next(model.parameters()).device)
        own, other = (torch.softmax(each(ids).double(), dim=-1) for each in (model, rounded))
    return float((own - other).abs().max()), packed


def _shapes(settings: TrainingSettings, task: Task) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a model's arrays by the names that JavaScript has."""
    width, words = settings.d_model, len(task.vocabulary)
    square: dict[str, tuple[int, ...]] = {"weight": (width, width)}
    norm: dict[str, tuple[int, ...]] = {"weight": (width,), "bias": (width,)}
    parts: dict[str, dict[str, tuple[int, ...]]] = {}
    for layer in range(settings.layers):
        if settings.attends:
            parts |= {f"{layer}.{part}": square for part in ("query", "key", "value", "output")}
            parts[f"{layer}.attention_norm"] = norm
        parts[f"{layer}.up"] = {"weight": (4 * width, width), "bias": (4 * width,)}
        parts[f"{layer}.down"] = {"weight": (width, 4 * width), "bias": (width,)}
        parts[f"{layer}.feed_forward_norm"] = norm
    parts |= {"norm": norm, "next_token": {"weight": (words, width)}}
    return {"words": (words, width), "positions": (task.length, width)} | {
        f"{part}.{kind}": shape for part, kinds in parts.items() for kind, shape in kinds.items()
    }


def _dtype(name: str) -> type[np.floating[Any]]:
    """Return how an array is stored: normalization is small, and would be a part of the error."""
    return np.float32 if "norm." in name else np.float16


_NAMES: Final = {
    "output": "attention.output",
    "attention_norm": "before_attention",
    "feed_forward_norm": "before_mlp",
    "up": "mlp.0",
    "down": "mlp.2",
}


def _read(state: Mapping[str, NDArray[Any]], name: str, settings: TrainingSettings) -> NDArray[Any]:
    """Return the array that a `TinyLM` has under another name."""
    width = settings.d_model
    layer, _, rest = name.partition(".")
    if not layer.isdigit():
        own = {"words": "tokens.weight", "positions": "positions.weight"}.get(name, name)
        part = slice(None)
    else:
        kind, _, suffix = rest.partition(".")
        which = ("query", "key", "value").index(kind) if kind in ("query", "key", "value") else -1
        inside = "attention.query_key_value" if which >= 0 else _NAMES[kind]
        own = f"blocks.{layer}.{inside}.{suffix}"
        part = slice(None) if which < 0 else slice(which * width, (which + 1) * width)
    if own not in state:
        raise ValueError(f"the weights of this model must have {own}")
    return state[own][part]
