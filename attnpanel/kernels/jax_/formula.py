"""The formula in jax.numpy, compiled by XLA; also returns weights and logsumexp."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from attnpanel.kernels.implementation import LEAKS_VALUES, Implementation, RawResult
from attnpanel.kernels.jax_.dot_product import jax_inputs
from attnpanel.kernels.reasons import unmet

if TYPE_CHECKING:
    from collections.abc import Callable

    from attnpanel.kernels.request import DType, Inputs, Request

NAME = "jax-formula"
DTYPES: tuple[DType, ...] = ("float64", "float32", "float16", "bfloat16")


@functools.cache
def compiled() -> Callable[..., Any]:
    """Return the formula under jax.jit: compiled once per set of shapes and options."""
    import jax
    import jax.numpy as jnp

    def attention(
        arrays: dict[str, Any], *, scale: float, temperature: float
    ) -> tuple[Any, Any, Any]:
        """Return output, weights and logsumexp.

        References
        ----------
        Vaswani et al., "Attention Is All You Need", 2017, eq. 1.
        """
        stored = arrays["query"].dtype
        working = jnp.promote_types(stored, jnp.float32)
        query, key, value = (arrays[name].astype(working) for name in ("query", "key", "value"))
        batch, heads, query_len, _ = query.shape
        # Query heads grouped by their key head: (B, Hkv, G, T, D).
        query = query.reshape(batch, key.shape[1], -1, query_len, query.shape[3])
        scores = jnp.einsum("bkgtd,bksd->bkgts", query * scale, key)
        scores = scores.reshape(batch, heads, query_len, key.shape[2])
        if "bias" in arrays:
            scores += arrays["bias"]
        if "mask" in arrays:
            scores = jnp.where(arrays["mask"], scores, -jnp.inf)
        peak = scores.max(axis=-1, keepdims=True)
        # -inf - -inf is nan: a row that sees no key is shifted by 0, so that each exp is 0.
        peak = jnp.where(jnp.isneginf(peak), 0, peak)
        weights = jnp.exp((scores - peak) / temperature)
        total = weights.sum(axis=-1, keepdims=True)
        logsumexp = jnp.log(total) + peak / temperature
        weights /= jnp.where(total == 0, 1, total)
        grouped = weights.reshape(*query.shape[:4], key.shape[2])
        output = jnp.einsum("bkgts,bksd->bkgtd", grouped, value)
        output = output.reshape(batch, heads, query_len, value.shape[3])
        return output.astype(stored), weights.astype(stored), logsumexp[..., 0]

    function: Callable[..., Any] = jax.jit(attention, static_argnames=("scale", "temperature"))
    return function


def unsupported(request: Request) -> list[str]:
    """Return the reasons why it can't run a request here; see :class:`Implementation`."""
    return unmet(NAME, request, devices=("cpu",), dtypes=DTYPES, packages=("jax",))


def prepare(inputs: Inputs, request: Request, *, threads: int = 1) -> Callable[[], RawResult]:
    """Copy the inputs; see :class:`Implementation`.

    `threads` has an effect only if JAX has not computed in this process before.
    """
    import jax

    # JAX has float64 only where it is enabled: here, for this thread and block.
    wide = request.dtype == "float64"
    with jax.enable_x64(wide):
        arrays = jax_inputs(inputs, request, causal=False, threads=threads)
    attention = compiled()

    def run() -> RawResult:
        with jax.enable_x64(wide):
            results = attention(arrays, scale=request.score_scale, temperature=request.temperature)
        output, weights, logsumexp = jax.block_until_ready(results)
        return RawResult(output, weights, logsumexp)

    return run


JAX_FORMULA = Implementation(
    name=NAME,
    framework="jax",
    source="Vaswani et al., “Attention Is All You Need”, 2017, eq. 1, in jax.numpy under jax.jit",
    devices=("cpu",),
    dtypes=DTYPES,
    returns=frozenset({"output", "weights", "logsumexp"}),
    empty_rows="zero",
    causal_align=None,
    scores_dtype="float32",
    compiles=True,
    limits=(
        "CPU here. Mask: True may attend; masked scores become −inf. Holds the whole (B, H, T, S). "
        "The number of threads is set when JAX starts in a process."
    ),
    unsupported=unsupported,
    prepare=prepare,
    weights_dtype="float32",
    hidden_leaks=LEAKS_VALUES,
    swallows=frozenset(),
    strided=True,
)
