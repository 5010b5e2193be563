"""Flash attention as a Pallas kernel of our own, in Pallas' interpreter on a CPU.

The interpreter computes a kernel's numbers with XLA, one program of the grid after the other: they
can be certified, and its times say nothing.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

from attnpanel.kernels.implementation import Implementation, RawResult
from attnpanel.kernels.jax_.dot_product import jax_inputs
from attnpanel.kernels.native_causal import is_top_left_causal
from attnpanel.kernels.reasons import unmet

if TYPE_CHECKING:
    from collections.abc import Callable

    from attnpanel.kernels.request import DType, Inputs, Request

NAME = "jax-pallas-flash"
DTYPES: tuple[DType, ...] = ("float32", "float16", "bfloat16")
BLOCK: Final = 64
# Scores of one call, of which a certificate makes dozens.
MAX_INTERPRETED: Final = 2**20


def attention_kernel(
    *refs: Any, query_len: int, key_len: int, scale: float, inverse_temperature: float,
    is_causal: bool, masked: bool, biased: bool,
) -> None:  # fmt: skip
    """Compute a block of queries of one head with an online softmax.

    `refs` are blocks of one head, without its axes: query (BLOCK, D), key (S', D), value (S', Dv),
    mask (BLOCK, S') and bias (BLOCK, S') where there are any, output (BLOCK, Dv) and log-sum-exp
    (BLOCK,), with lengths padded to whole blocks.

    References
    ----------
    Dao, "FlashAttention-2", 2023, algorithm 1.
    """
    import jax
    import jax.numpy as jnp
    from jax.experimental import pallas as pl

    query_ref, key_ref, value_ref, *others, output_ref, logsumexp_ref = refs
    mask_ref = others.pop(0) if masked else None
    bias_ref = others.pop(0) if biased else None
    first = pl.program_id(1) * BLOCK
    rows = first + jax.lax.broadcasted_iota(jnp.int32, (BLOCK, BLOCK), 0)
    query = query_ref[...]
    product = functools.partial(
        jnp.dot, preferred_element_type=jnp.float32, precision=jax.lax.Precision.HIGHEST
    )

    def step(number: Any, state: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        peak, total, summed = state
        start = number * BLOCK
        keys = start + jax.lax.broadcasted_iota(jnp.int32, (BLOCK, BLOCK), 1)
        visible = (rows < query_len) & (keys < key_len)
        if is_causal:
            visible &= keys <= rows
        if mask_ref is not None:
            visible &= mask_ref[:, pl.ds(start, BLOCK)]
        scores = product(query, key_ref[pl.ds(start, BLOCK), :].T) * scale
        if bias_ref is not None:
            scores += bias_ref[:, pl.ds(start, BLOCK)] * inverse_temperature
        scores = jnp.where(visible, scores, -jnp.inf)
        higher = jnp.maximum(peak, scores.max(axis=1))
        # -inf - -inf is nan: a row that has seen no key yet is shifted by 0.
        shift = jnp.where(jnp.isneginf(higher), 0, higher)
        weights = jnp.exp(scores - shift[:, None])
        kept = jnp.exp(peak - shift)
        # A weight of 0 times nan is nan: what no row of the block sees counts as 0.
        value = value_ref[pl.ds(start, BLOCK), :]
        value = jnp.where(visible.any(axis=0)[:, None], value, 0)
        summed = summed * kept[:, None] + product(weights.astype(value.dtype), value)
        return higher, total * kept + weights.sum(axis=1), summed

    nothing = (
        jnp.full(BLOCK, -jnp.inf, jnp.float32),
        jnp.zeros(BLOCK, jnp.float32),
        jnp.zeros((BLOCK, value_ref.shape[1]), jnp.float32),
    )
    blocks = key_ref.shape[0] // BLOCK
    if is_causal:
        blocks = jnp.minimum(blocks, pl.program_id(1) + 1)
    peak, total, summed = jax.lax.fori_loop(0, blocks, step, nothing)
    divisor = jnp.where(total == 0, 1, total)
    output_ref[...] = (summed / divisor[:, None]).astype(output_ref.dtype)
    logsumexp_ref[...] = peak + jnp.log(divisor)


@functools.cache
def compiled() -> Callable[..., Any]:
    """Return the attention under jax.jit: compiled once per set of shapes and options."""
    import jax
    import jax.numpy as jnp
    from jax.experimental import pallas as pl

    def attention(
        arrays: dict[str, Any], *, scale: float, temperature: float, is_causal: bool
    ) -> tuple[Any, Any]:
        query, key, value = (arrays[name] for name in ("query", "key", "value"))
        batch, heads, query_len, width = query.shape
        kv_heads, key_len, value_width = key.shape[1], key.shape[2], value.shape[3]
        group = heads // kv_heads
        padded = -(-query_len // BLOCK) * BLOCK, -(-key_len // BLOCK) * BLOCK

        def pad(array: Any, **axes: int) -> Any:
            ends = {{"rows": -2, "keys": -1}[axis]: length for axis, length in axes.items()}
            widths = [(0, 0)] * array.ndim
            for axis, length in ends.items():
                widths[axis] = (0, length - array.shape[axis])
            return jnp.pad(array, widths)

        given = [
            pad(query.reshape(-1, query_len, width), rows=padded[0]),
            pad(key.reshape(-1, key_len, width), rows=padded[1]),
            pad(value.reshape(-1, key_len, value_width), rows=padded[1]),
        ]
        specs = [
            pl.BlockSpec((None, BLOCK, width), lambda head, block: (head, block, 0)),
            pl.BlockSpec((None, padded[1], width), lambda head, _: (head // group, 0, 0)),
            pl.BlockSpec((None, padded[1], value_width), lambda head, _: (head // group, 0, 0)),
        ]
        if "mask" in arrays:
            mask = jnp.broadcast_to(arrays["mask"], (*arrays["mask"].shape[:2], query_len, key_len))
            batches, of_heads = mask.shape[:2]
            given.append(pad(mask, rows=padded[0], keys=padded[1]))

            def place(head: Any, block: Any) -> tuple[Any, ...]:
                entry, which = head // heads, head % heads
                return entry if batches > 1 else 0, which if of_heads > 1 else 0, block, 0

            specs.append(pl.BlockSpec((None, None, BLOCK, padded[1]), place))
        if "bias" in arrays:
            given.append(pad(arrays["bias"], rows=padded[0], keys=padded[1]))
            specs.append(
                pl.BlockSpec((None, BLOCK, padded[1]), lambda head, block: (head % heads, block, 0))
            )
        kernel = functools.partial(
            attention_kernel,
            query_len=query_len,
            key_len=key_len,
            scale=scale / temperature,
            inverse_temperature=1 / temperature,
            is_causal=is_causal,
            masked="mask" in arrays,
            biased="bias" in arrays,
        )
        output, logsumexp = pl.pallas_call(
            kernel,
            grid=(batch * heads, padded[0] // BLOCK),
            in_specs=specs,
            out_specs=[
                pl.BlockSpec((None, BLOCK, value_width), lambda head, block: (head, block, 0)),
                pl.BlockSpec((None, BLOCK), lambda head, block: (head, block)),
            ],
            out_shape=[
                jax.ShapeDtypeStruct((batch * heads, padded[0], value_width), query.dtype),
                jax.ShapeDtypeStruct((batch * heads, padded[0]), jnp.float32),
            ],
            interpret=True,
        )(*given)
        shape = (batch, heads, query_len)
        return (
            output[:, :query_len].reshape(*shape, value_width),
            logsumexp[:, :query_len].reshape(shape),
        )

    function: Callable[..., Any] = jax.jit(
        attention, static_argnames=("scale", "temperature", "is_causal")
    )
    return function


def unsupported(request: Request) -> list[str]:
    """Return the reasons why it can't run a request here; see :class:`Implementation`."""
    reasons = unmet(NAME, request, devices=("cpu",), dtypes=DTYPES, packages=("jax",))
    scores = request.batch * request.heads * request.query_len * request.key_len
    if scores > MAX_INTERPRETED:
        reasons.append(
            f"Pallas' interpreter is too slow for more than {MAX_INTERPRETED} scores; got {scores}"
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
        output, logsumexp = attention(
            arrays,
            scale=request.score_scale,
            temperature=request.temperature,
            is_causal=causal,
        )
        return RawResult(output.block_until_ready(), logsumexp=logsumexp.block_until_ready())

    return run


JAX_PALLAS = Implementation(
    name=NAME,
    framework="jax",
    source="Dao, “FlashAttention-2”, 2023, algorithm 1, as a Pallas kernel of our own",
    devices=("cpu",),
    dtypes=DTYPES,
    returns=frozenset({"output", "logsumexp"}),
    empty_rows="zero",
    causal_align="top_left",
    scores_dtype="float32",
    compiles=True,
    limits=(
        "Pallas' interpreter computes it on a CPU: certified, never timed, up to a million scores. "
        "Mask: True may attend, of any shape that broadcasts; its own causal option where that "
        "begins at the top left. No float64, no gradients."
    ),
    unsupported=unsupported,
    prepare=prepare,
    hidden_leaks=frozenset(),
    swallows=frozenset(),
    strided=True,
    interpreted_on=("cpu",),
)
