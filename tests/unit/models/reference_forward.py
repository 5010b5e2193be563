"""Forward passes written out from a model's weights, with a hook to change attention.

Independent of the package: nothing of it, and of transformers only the weights, is used. All take
``attend(layer, scores, value)``, given the scores (B, H, T, S) of a layer, -inf where the model
hides a key, and the values (B, H, S, Dv), which returns the heads' outputs (B, H, T, Dv).
"""

from __future__ import annotations

import torch
from torch.nn import functional as F  # noqa: N812


def _heads(x, count):
    return x.unflatten(-1, (count, -1)).transpose(1, 2)  # (B, H, T, D)


def _joined(x):
    return x.transpose(1, 2).flatten(2)


def _hidden(mask, query_len, *, causal):
    """0 where a query sees a key, else -inf: (B, 1, T, S)."""
    seen = mask.bool()[:, None, None, :].expand(-1, 1, query_len, -1)
    if causal:
        seen = seen & torch.ones(query_len, mask.shape[1], dtype=torch.bool).tril()
    return torch.zeros(seen.shape).masked_fill(~seen, -torch.inf)


def bert(model, ids, mask, attend):
    """The last hidden state of a ``BertModel``: Devlin et al., 2019."""
    count = model.config.num_attention_heads
    made = model.embeddings
    x = made.word_embeddings(ids) + made.position_embeddings.weight[: ids.shape[1]]
    x = made.LayerNorm(x + made.token_type_embeddings.weight[0])
    for number, layer in enumerate(model.encoder.layer):
        own = layer.attention.self
        q, k, v = (_heads(part(x), count) for part in (own.query, own.key, own.value))
        scores = q @ k.mT / q.shape[-1] ** 0.5 + _hidden(mask, ids.shape[1], causal=False)
        after = layer.attention.output
        x = after.LayerNorm(x + after.dense(_joined(attend(number, scores, v))))
        x = layer.output.LayerNorm(x + layer.output.dense(F.gelu(layer.intermediate.dense(x))))
    return x


def gpt2(model, ids, mask, attend):
    """The last hidden state of a ``GPT2Model``: Radford et al., 2019."""
    count = model.config.n_head
    x = model.wte(ids) + model.wpe.weight[: ids.shape[1]]
    for number, layer in enumerate(model.h):
        own = layer.attn
        mixed = layer.ln_1(x) @ own.c_attn.weight + own.c_attn.bias
        q, k, v = (_heads(part, count) for part in mixed.chunk(3, dim=-1))
        scores = q @ k.mT / q.shape[-1] ** 0.5 + _hidden(mask, ids.shape[1], causal=True)
        x = x + _joined(attend(number, scores, v)) @ own.c_proj.weight + own.c_proj.bias
        inner = layer.ln_2(x) @ layer.mlp.c_fc.weight + layer.mlp.c_fc.bias
        x = x + F.gelu(inner, approximate="tanh") @ layer.mlp.c_proj.weight + layer.mlp.c_proj.bias
    return model.ln_f(x)


def llama(model, ids, mask, attend):
    """The last hidden state of a ``LlamaModel``: Touvron et al., 2023; RoPE, grouped heads."""
    heads, kv_heads = model.config.num_attention_heads, model.config.num_key_value_heads
    x = model.embed_tokens(ids)
    for number, layer in enumerate(model.layers):
        own, normed = layer.self_attn, _rms(x, layer.input_layernorm.weight)
        q = _rotated(_heads(own.q_proj(normed), heads))
        k = _rotated(_heads(own.k_proj(normed), kv_heads)).repeat_interleave(heads // kv_heads, 1)
        v = _heads(own.v_proj(normed), kv_heads).repeat_interleave(heads // kv_heads, 1)
        scores = q @ k.mT / q.shape[-1] ** 0.5 + _hidden(mask, ids.shape[1], causal=True)
        x = x + own.o_proj(_joined(attend(number, scores, v)))
        normed = _rms(x, layer.post_attention_layernorm.weight)
        gate = F.silu(layer.mlp.gate_proj(normed))
        x = x + layer.mlp.down_proj(gate * layer.mlp.up_proj(normed))
    return _rms(x, model.norm.weight)


def _rms(x, weight):
    return weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)


def _rotated(x):
    """Rotary positions, base 10000, in the halves' layout: Su et al., 2021."""
    half = x.shape[-1] // 2
    angle = torch.arange(x.shape[2])[:, None] * 10000.0 ** (-torch.arange(half) / half)
    one, other = x[..., :half], x[..., half:]
    cos, sin = angle.cos(), angle.sin()
    return torch.cat([one * cos - other * sin, other * cos + one * sin], dim=-1)


FORWARDS = {"bert": bert, "gpt2": gpt2, "llama": llama}
