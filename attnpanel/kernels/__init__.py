"""Implementations of attention, one a file, to be measured against the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnpanel.kernels.javascript_node import JAVASCRIPT_NODE
from attnpanel.kernels.jax_attention import JAX_NN
from attnpanel.kernels.jax_formula import JAX_FORMULA
from attnpanel.kernels.numpy_naive import NAIVE
from attnpanel.kernels.numpy_online import ONLINE
from attnpanel.kernels.numpy_row_blocked import ROW_BLOCKED
from attnpanel.kernels.onnxruntime_attention import ONNX_ATTENTION
from attnpanel.kernels.torch_compiled_eager import COMPILED_EAGER
from attnpanel.kernels.torch_eager import EAGER
from attnpanel.kernels.torch_flex import FLEX, FLEX_COMPILED
from attnpanel.kernels.torch_multihead import MULTIHEAD
from attnpanel.kernels.torch_ring import RING
from attnpanel.kernels.torch_sdpa import SDPA, SDPA_CUDNN, SDPA_EFFICIENT, SDPA_FLASH, SDPA_MATH

if TYPE_CHECKING:
    from attnpanel.kernels.implementation import Implementation

# Every implementation there is, in the order tables show them; each file here has its row.
IMPLEMENTATIONS: tuple[Implementation, ...] = (
    NAIVE,
    ROW_BLOCKED,
    ONLINE,
    EAGER,
    COMPILED_EAGER,
    MULTIHEAD,
    SDPA,
    SDPA_MATH,
    SDPA_FLASH,
    SDPA_EFFICIENT,
    SDPA_CUDNN,
    FLEX,
    FLEX_COMPILED,
    RING,
    JAVASCRIPT_NODE,
    ONNX_ATTENTION,
    JAX_NN,
    JAX_FORMULA,
)


def find_implementation(name: str) -> Implementation:
    """Return the implementation of this name.

    Raises
    ------
    ValueError
        If there is none; the message lists the names there are.
    """
    for implementation in IMPLEMENTATIONS:
        if implementation.name == name:
            return implementation
    names = ", ".join(implementation.name for implementation in IMPLEMENTATIONS)
    raise ValueError(f"an implementation must be one of {names}; got {name!r}")
