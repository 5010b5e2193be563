"""`jax.nn.dot_product_attention`, compiled by XLA for the CPU."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.kernels.implementation import LEAKS_VALUES, Implementation, RawResult
from attnpanel.kernels.native_causal import is_top_left_causal
from attnpanel.kernels.reasons import unmet

if TYPE_CHECKING:
    from collections.abc import Callable

    from attnpanel.kernels.request import DType, Inputs, Request

NAME = "jax-nn"
DTYPES: tuple[DType, ...] = ("float32", "bfloat16")
# Environment variable from which XLA reads the number of threads of its CPU client.
THREADS_VARIABLE = "PJRT_NPROC"


def cpu_device(threads: int) -> Any:
    """Return JAX's CPU; start its client with this many threads if there is none yet.

    XLA reads the number once, when the client starts, from an environment variable, which is
    restored at once.
    """
    import jax

    before = os.environ.get(THREADS_VARIABLE)
    os.environ[THREADS_VARIABLE] = str(threads)
    try:
        return jax.devices("cpu")[0]
    finally:
        if before is None:
            del os.environ[THREADS_VARIABLE]
        else:
            os.environ[THREADS_VARIABLE] = before


@functools.cache
def compiled() -> Callable[..., Any]:
    """Return the attention under jax.jit: compiled once per set of shapes and options."""
    import jax

    def attention(
        arrays: dict[str, Any], *, scale: float, temperature: float, is_causal: bool
    ) -> Any:
        # JAX's layout is (B, T, H, D), and it adds the bias after the scale.
        query, key, value = (arrays[name].swapaxes(1, 2) for name in ("query", "key", "value"))
        bias = arrays.get("bias")
        output = jax.nn.dot_product_attention(
            query,
            key,
            value,
            None if bias is None else bias[None] / temperature,
            arrays.get("mask"),
            scale=scale / temperature,
            is_causal=is_causal,
            implementation="xla",
        )
        return output.swapaxes(1, 2)

    function: Callable[..., Any] = jax.jit(
        attention, static_argnames=("scale", "temperature", "is_causal")
    )
    return function


def jax_inputs(inputs: Inputs, request: Request, *, causal: bool, threads: int) -> dict[str, Any]:
    """Copy the inputs to JAX's CPU in the request's dtype; without the mask if it is causal."""
    import jax
    import jax.numpy as jnp

    arrays = {name: getattr(inputs, name) for name in ("query", "key", "value")}
    arrays = {name: array.astype(jnp.dtype(request.dtype)) for name, array in arrays.items()}
    if inputs.bias is not None:
        # Scores are in float32 for all inputs, so the bias keeps its precision.
        working = np.float64 if request.dtype == "float64" else np.float32
        arrays["bias"] = inputs.bias.astype(working)
    if inputs.mask is not None and not causal:
        arrays["mask"] = inputs.mask[(None,) * (4 - inputs.mask.ndim)]
    return jax.device_put(arrays, cpu_device(threads))  # type: ignore[no-any-return]


def unsupported(request: Request) -> list[str]:
    """Return the reasons why it can't run a request here; see :class:`Implementation`."""
    reasons = unmet(NAME, request, devices=("cpu",), dtypes=DTYPES, packages=("jax",))
    if request.dtype == "float64":
        reasons.append(f"{NAME}: its softmax is in float32 whatever the inputs are")
    if request.dtype == "float16":
        reasons.append(f"{NAME} asks for products of float16 that XLA lacks on a CPU")
    if request.value_dim != request.head_dim:
        reasons.append(
            f"{NAME} takes values as wide as keys; got value_dim {request.value_dim} "
            f"and head_dim {request.head_dim}"
        )
    return reasons


def prepare(inputs: Inputs, request: Request, *, threads: int = 1) -> Callable[[], RawResult]:
    """Copy the inputs; see :class:`Implementation`.

    `threads` has an effect only if JAX has not computed in this process before.
    """
    causal = is_top_left_causal(inputs, request)
    arrays = jax_inputs(inputs, request, causal=causal, threads=threads)
    attention = compiled()

    def run() -> RawResult:
        output = attention(
            arrays,
            scale=request.score_scale,
            temperature=request.temperature,
            is_causal=causal,
        )
        return RawResult(output.block_until_ready())

    return run


JAX_NN = Implementation(
    name=NAME,
    framework="jax",
    source="jax.nn.dot_product_attention(implementation='xla') under jax.jit",
    devices=("cpu",),
    dtypes=DTYPES,
    returns=frozenset({"output"}),
    empty_rows="uniform",
    causal_align="top_left",
    scores_dtype="float32",
    compiles=True,
    limits=(
        "CPU here, where XLA lacks its float16; no float64, its softmax is in float32; values as "
        "wide as keys. Mask: True may attend; masked scores become a large negative number; its "
        "own causal mask where that begins at the top left. The number of threads is set when JAX "
        "starts in a process."
    ),
    unsupported=unsupported,
    prepare=prepare,
    hidden_leaks=LEAKS_VALUES,
    swallows=frozenset(),
    strided=True,
)
