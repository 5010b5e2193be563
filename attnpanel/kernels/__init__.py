"""Implementations of attention, one per file, measured against the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnpanel.kernels.javascript.node_kernel import JAVASCRIPT_NODE
from attnpanel.kernels.javascript.wasm_kernel import JAVASCRIPT_WASM
from attnpanel.kernels.jax_.dot_product import JAX_NN
from attnpanel.kernels.jax_.formula import JAX_FORMULA
from attnpanel.kernels.jax_.pallas import JAX_PALLAS
from attnpanel.kernels.numpy_.int8_scores import INT8_SCORES
from attnpanel.kernels.numpy_.naive import NAIVE
from attnpanel.kernels.numpy_.online import ONLINE
from attnpanel.kernels.numpy_.row_blocked import ROW_BLOCKED
from attnpanel.kernels.onnx_runtime import ONNX_ATTENTION
from attnpanel.kernels.torch_.compiled_eager import COMPILED_EAGER
from attnpanel.kernels.torch_.eager import EAGER
from attnpanel.kernels.torch_.flex import FLEX, FLEX_COMPILED
from attnpanel.kernels.torch_.multihead import MULTIHEAD
from attnpanel.kernels.torch_.ring import RING
from attnpanel.kernels.torch_.sdpa import SDPA, SDPA_CUDNN, SDPA_EFFICIENT, SDPA_FLASH, SDPA_MATH
from attnpanel.kernels.triton_.flash import TRITON_FLASH
from attnpanel.kernels.wgpu_online import WGPU_ONLINE

if TYPE_CHECKING:
    from attnpanel.kernels.implementation import Implementation

# All implementations, in the order of the tables; a new one is one file and one row.
IMPLEMENTATIONS: tuple[Implementation, ...] = (
    NAIVE,
    ROW_BLOCKED,
    ONLINE,
    INT8_SCORES,
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
    JAVASCRIPT_WASM,
    ONNX_ATTENTION,
    JAX_NN,
    JAX_FORMULA,
    JAX_PALLAS,
    TRITON_FLASH,
    WGPU_ONLINE,
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
