"""Outputs of attention modules that nnsight saved.

``saved = {name: model.transformer.h[i].attn.output.save() …}``: each is a tensor of weights, or the
module's whole output, which has the weights beside other tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from attnpanel.attention.as_numpy import as_floats
from attnpanel.trace.trace import Trace

ROW_SUM_TOLERANCE = 0.02  # weights in bfloat16


def is_saved(source: Any) -> bool:
    """Whether it is a mapping or list of saved outputs: proxies with a value, or tuples."""
    entries = _entries(source)
    return bool(entries) and all(
        isinstance(entry, tuple) or type(entry).__module__.startswith("nnsight")
        for entry in entries.values()
    )


def read_saved(source: Any, tokens: Any = (), *, key_tokens: Any = None) -> Trace:
    """Make a trace of saved weights, or of the outputs of attention modules.

    Raises
    ------
    ValueError
        If an output holds no weights (B, H, T, S): the model must be loaded with
        ``attn_implementation="eager"``.
    """
    entries = _entries(source)
    weights = {name: _weights(name, entry) for name, entry in entries.items()}
    return Trace.from_weights(weights, tokens, key_tokens=key_tokens, source="nnsight")


def _entries(source: Any) -> dict[str, Any]:
    if isinstance(source, Mapping):
        return {str(name): entry for name, entry in source.items()}
    if isinstance(source, list | tuple):
        return {f"layer.{i}": entry for i, entry in enumerate(source)}
    return {}


def _weights(name: str, entry: Any) -> Any:
    value = getattr(entry, "value", entry)  # a proxy of nnsight before 0.5
    parts = value if isinstance(value, list | tuple) else (value,)
    parts = [part for part in parts if hasattr(part, "shape")]
    fitting = [part for part in parts if len(part.shape) == 4 and _is_softmax(name, part)]
    if len(fitting) != 1:
        shapes = [tuple(part.shape) for part in parts]
        raise ValueError(
            f"the output of {name} must have one tensor of weights (B, H, T, S) whose rows sum to "
            f"1; got shapes {shapes}. Load the model with attn_implementation='eager'"
        )
    return fitting[0]


def _is_softmax(name: str, tensor: Any) -> bool:
    numbers = as_floats(name, tensor)
    sums = numbers.sum(axis=-1, dtype=np.float32)
    return bool((numbers >= 0).all() and (np.abs(sums - 1) < ROW_SUM_TOLERANCE).all())
