"""Plain functions of attention: correct ones, and some that are wrong, crash or can do little."""

import os

import numpy as np
import torch
from torch.nn.functional import scaled_dot_product_attention


def numpy_attention(query, key, value, *, mask=None, scale=1.0, is_causal=False):
    """Compute in float32 what is of 16 bits; queries without keys get zeros."""
    wide = np.result_type(query, np.float32)
    group = query.shape[1] // key.shape[1]
    q, k, v = (x.astype(wide) for x in (query, key, value))
    k, v = np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)
    scores = wide.type(scale) * (q @ k.swapaxes(-1, -2))
    if is_causal:
        mask = np.tril(np.ones(scores.shape[-2:], bool))
    if mask is not None:
        scores = np.where(mask, scores, -np.inf)
    peak = scores.max(axis=-1, keepdims=True)
    weights = np.exp(scores - np.where(np.isfinite(peak), peak, 0))
    total = weights.sum(axis=-1, keepdims=True)
    return (weights / np.where(total == 0, 1, total) @ v).astype(query.dtype)


def torch_attention(query, key, value, *, mask=None, scale=1.0, is_causal=False):
    return scaled_dot_product_attention(
        query, key, value, attn_mask=mask, scale=scale, is_causal=is_causal, enable_gqa=True
    )


def eager(query, key, value, *, mask=None, scale=1.0, bias=None):
    """Keep scores in the inputs' dtype; takes a bias, no groups of heads, no is_causal."""
    scores = scale * (query @ key.mT)
    if bias is not None:
        scores = scores + bias
    if mask is not None:
        scores = scores.masked_fill(mask.logical_not(), -torch.inf)
    return scores.softmax(-1) @ value


def without_keywords(query, key, value):
    return numpy_attention(query, key, value, scale=query.shape[-1] ** -0.5)


def float32_only(query, key, value, *, mask=None, scale=1.0, is_causal=False):
    if query.dtype != np.float32:
        raise NotImplementedError("float32 only")
    return numpy_attention(query, key, value, mask=mask, scale=scale, is_causal=is_causal)


def sixteen_bits_only(query, key, value, *, mask=None, scale=1.0, is_causal=False):
    """Take what flash-attn's kernels take."""
    if query.dtype not in (torch.float16, torch.bfloat16):
        raise RuntimeError("only float16 and bfloat16")
    return torch_attention(query, key, value, mask=mask, scale=scale, is_causal=is_causal)


def ignores_mask(query, key, value, *, mask=None, scale=1.0, is_causal=False):
    return numpy_attention(query, key, value, scale=scale, is_causal=is_causal)


def remembers(query, key, value, *, mask=None, scale=1.0, is_causal=False, seen={}):  # noqa: B006
    """Return what it computed for these addresses before."""
    at = (query.ctypes.data, key.ctypes.data, value.ctypes.data, query.shape, key.shape)
    if at not in seen:
        found = numpy_attention(query, key, value, mask=mask, scale=scale, is_causal=is_causal)
        seen[at] = found, query, key, value
    return seen[at][0]


def returns_a_list(query, key, value, *, mask=None, scale=1.0, is_causal=False):
    return torch_attention(query, key, value, mask=mask, scale=scale, is_causal=is_causal).tolist()


def raises(query, key, value, *, mask=None, scale=1.0, is_causal=False):
    raise KeyError("<script>alert(1)</script>")


def aborts_when_causal(query, key, value, *, mask=None, scale=1.0, is_causal=False):
    if is_causal and query.shape[2] > 5:
        os.abort()
    return numpy_attention(query, key, value, mask=mask, scale=scale, is_causal=is_causal)


class Model:
    """A callable object."""

    framework = "torch"

    def __call__(self, query, key, value, *, mask=None, scale=1.0, is_causal=False):
        return torch_attention(query, key, value, mask=mask, scale=scale, is_causal=is_causal)


model = Model()
NOT_CALLABLE = 3


def float32_formula(query, key, value, *, mask=None, scale=1.0, bias=None, is_causal=False):
    """Compute in float32 whatever the inputs are, by torch's own operations; groups of heads."""
    wide = torch.promote_types(query.dtype, torch.float32)
    group = query.shape[1] // key.shape[1]
    k, v = (x.to(wide).repeat_interleave(group, dim=1) for x in (key, value))
    scores = scale * (query.to(wide) @ k.mT)
    if bias is not None:
        scores = scores + bias.to(wide)
    if is_causal:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    if mask is not None:
        scores = scores.masked_fill(mask.logical_not(), -torch.inf)
    seen = scores.detach().amax(dim=-1, keepdim=True).isfinite()
    weights = torch.where(seen, torch.where(seen, scores, 0).softmax(dim=-1), 0)
    return (weights @ v).to(query.dtype)


def scales_query_first(query, key, value, *, mask=None, scale=1.0, bias=None, is_causal=False):
    """Multiply the query by the scale in its own dtype, and compute the rest in float32."""
    given = {"mask": mask, "bias": bias, "is_causal": is_causal}
    return float32_formula(query * scale, key, value, **given)


def numpy_scales_query_first(query, key, value, *, mask=None, scale=1.0, is_causal=False):
    query = (query * np.result_type(query, np.float32).type(scale)).astype(query.dtype)
    return numpy_attention(query, key, value, mask=mask, is_causal=is_causal)


def divides_after(query, key, value, *, mask=None, scale=1.0, block=256, stored=False):
    """Read keys block by block; neither their maxima nor the running one are detached.

    Of 16 bits in float32, but for the weights if they are to be stored.
    """
    dtype = query.dtype
    if stored:
        query, key, value = (x.float() for x in (query, key, value))
    group = query.shape[1] // key.shape[1]
    k, v = (x.repeat_interleave(group, dim=1) for x in (key, value))
    scores = scale * (query @ k.mT)
    if mask is not None:
        scores = scores.masked_fill(mask.logical_not(), -torch.inf)
    peak = scores.new_full((*scores.shape[:3], 1), -torch.inf)
    output, total = 0, 0
    for part, values in zip(scores.split(block, dim=-1), v.split(block, dim=-2), strict=True):
        higher = torch.maximum(peak, part.amax(dim=-1, keepdim=True))
        kept, weights = torch.exp(peak - higher), torch.exp(part - higher)
        total = total * kept + weights.sum(dim=-1, keepdim=True)
        weights = weights.to(dtype).to(weights.dtype)
        output = output * kept + weights @ values
        peak = higher
    return (output / total).to(dtype)


def stores_weights(query, key, value, *, mask=None, scale=1.0):
    return divides_after(query, key, value, mask=mask, scale=scale, block=128, stored=True)


class _LargerKeyGradient(torch.autograd.Function):
    """The key as it is; its gradient 1 % too large."""

    @staticmethod
    def forward(_ctx, key):
        return key.clone()

    @staticmethod
    def backward(_ctx, gradient):
        return 1.01 * gradient


def wrong_key_gradient(query, key, value, **keywords):
    return float32_formula(query, _LargerKeyGradient.apply(key), value, **keywords)


def not_differentiable(query, key, value, **keywords):
    with torch.no_grad():
        return float32_formula(query, key, value, **keywords)


def jax_attention(query, key, value, *, mask=None, scale=1.0):
    import jax.numpy as jnp

    wide = jnp.promote_types(query.dtype, jnp.float32)
    group = query.shape[1] // key.shape[1]
    q, k, v = (jnp.asarray(x).astype(wide) for x in (query, key, value))
    k, v = jnp.repeat(k, group, axis=1), jnp.repeat(v, group, axis=1)
    scores = scale * (q @ k.swapaxes(-1, -2))
    seen = jnp.ones(scores.shape[-2:], bool) if mask is None else jnp.asarray(mask)
    some = seen.any(axis=-1, keepdims=True)
    scores = jnp.where(seen, scores, jnp.where(some, -jnp.inf, 0))
    peak = scores.max(axis=-1, keepdims=True)
    weights = jnp.where(seen, jnp.exp(scores - peak), 0)
    total = weights.sum(axis=-1, keepdims=True)
    return (weights / jnp.where(some, total, 1) @ v).astype(query.dtype)
