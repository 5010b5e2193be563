"""Prices of variants: against the bench's own counts, masks cell by cell, and published numbers."""

from __future__ import annotations

import random

import numpy as np
import pytest

from attnpanel.attention.mask_rules import evaluate, names_in, parse
from attnpanel.bench.measure.flop_count import flops, minimal_bytes
from attnpanel.kernels.request import Request
from attnpanel.pages.variants.models import MODELS
from attnpanel.pages.variants.price import price
from attnpanel.pages.variants.table import (
    LAYOUTS,
    QUANTITIES,
    SIZES,
    VISIBILITIES,
)

LAYOUT = {row.name: row for row in LAYOUTS}
VISIBILITY = {row.name: row for row in VISIBILITIES}
KV_HEADS = {"multi": "heads", "grouped": "kv_heads", "single": None}
DTYPES = {2: "bfloat16", 4: "float32"}
# Who sees whom, by definition: query i, key j, both from 0.
SEES = {
    "causal": lambda i, j, _: j <= i,
    "window": lambda i, j, n: 0 <= i - j < n["window"],
    "kept": lambda i, j, n: j <= i and (j < n["kept"] or i - j < n["window"]),
    "sinks": lambda i, j, _: j <= i,
    "prefix": lambda i, j, n: j <= i or max(i, j) < n["prefix"],
    "documents": lambda i, j, n: j <= i and i // n["document"] == j // n["document"],
}


def random_sizes(seed: int) -> dict[str, int]:
    """Return small sizes of every kind."""
    rng = random.Random(seed)  # noqa: S311 - no secret
    sizes = {size.name: rng.randint(size.low, 23) for size in SIZES if size.high >= 23}
    kv_heads = rng.choice((1, 2, 3))
    return sizes | {
        "bytes": rng.choice((2, 4)),
        "kv_heads": kv_heads,
        "heads": kv_heads * rng.choice((1, 2, 5)),
        "q_latent": rng.choice((0, 7)),
    }


def test_every_formula_reads_sizes_counts_and_earlier_prices_only():
    sizes = {size.name for size in SIZES}
    for row in (*LAYOUTS, *VISIBILITIES):
        for text in row.counts.values():
            assert set(names_in(parse(text))) <= sizes
    known = sizes | {"projections", *LAYOUTS[0].counts, *VISIBILITIES[0].counts}
    for quantity in QUANTITIES:
        assert set(names_in(parse(quantity.formula))) <= known
        known.add(quantity.name)


@pytest.mark.parametrize("name", VISIBILITY)
@pytest.mark.parametrize("seed", range(12))
def test_visible_pairs_and_the_cache_are_those_of_the_mask(name, seed):
    sizes = random_sizes(seed)
    length = sizes["length"]
    mask = np.array([[SEES[name](i, j, sizes) for j in range(length)] for i in range(length)])
    counts = {
        count: evaluate(parse(text), sizes) for count, text in VISIBILITY[name].counts.items()
    }

    assert counts["pairs"] == mask.sum()
    assert counts["seen"] == mask[-1].sum()


@pytest.mark.parametrize("name", KV_HEADS)
@pytest.mark.parametrize("seed", range(12))
def test_attention_costs_what_the_bench_counts(name, seed):
    sizes = random_sizes(seed)
    length = sizes["length"]
    request = Request(
        batch=sizes["batch"],
        heads=sizes["heads"],
        kv_heads=sizes[KV_HEADS[name]] if KV_HEADS[name] else 1,
        query_len=length,
        key_len=length,
        head_dim=sizes["head_dim"],
        value_dim=sizes["head_dim"],
        dtype=DTYPES[sizes["bytes"]],
        mask="causal",
    )
    prefill = price(LAYOUT[name], VISIBILITY["causal"], sizes)

    assert prefill["prefill_flops"] == flops(request) * sizes["layers"]
    assert prefill["prefill_bytes"] == minimal_bytes(request) * sizes["layers"]

    window = price(LAYOUT[name], VISIBILITY["window"], sizes)
    seen = min(length, sizes["window"])
    decode = Request(
        **{**vars(request), "query_len": 1, "key_len": seen, "mask": "none"},
    )
    assert window["decode_flops"] == flops(decode) * sizes["layers"]
    assert window["decode_bytes"] == minimal_bytes(decode) * sizes["layers"]


@pytest.mark.parametrize(
    ("name", "expected"),
    # DeepSeek-AI, 2025 (arXiv 2505.09343), table 1: KV cache a token in BF16.
    [("deepseek-v3", 70_272), ("llama-3.1-405b", 516_096)],
)
def test_caches_are_the_published_ones(name, expected):
    model = next(model for model in MODELS if model.name == name)

    priced = price(LAYOUT[model.layout], VISIBILITY[model.visibility], model.sizes)

    assert priced["cache_per_token"] == expected


def test_a_window_stops_the_cache_from_growing():
    mistral = next(model for model in MODELS if model.name == "mistral-7b")
    sizes = mistral.sizes

    windowed = price(LAYOUT["grouped"], VISIBILITY["window"], sizes)
    causal = price(LAYOUT["grouped"], VISIBILITY["causal"], sizes)

    assert windowed["cache"] == 4096 * windowed["cache_per_token"]
    assert causal["cache"] == 8 * windowed["cache"]  # of 32,768 tokens


def test_projections_are_the_weights_of_transformers_modules():
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from transformers import DeepseekV3Config, LlamaConfig
    from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3Attention
    from transformers.models.llama.modeling_llama import LlamaAttention

    sizes = random_sizes(3) | {"heads": 6, "kv_heads": 2, "d_model": 24, "head_dim": 8}
    sizes |= {"latent": 10, "rope": 4, "q_latent": 14}
    shared = {"hidden_size": 24, "num_attention_heads": 6}
    latent = DeepseekV3Config(
        **shared,
        kv_lora_rank=10,
        q_lora_rank=14,
        qk_rope_head_dim=4,
        qk_nope_head_dim=8,
        v_head_dim=8,
    )
    with torch.device("meta"):
        modules = {
            "multi": LlamaAttention(LlamaConfig(**shared, num_key_value_heads=6, head_dim=8), 0),
            "grouped": LlamaAttention(LlamaConfig(**shared, num_key_value_heads=2, head_dim=8), 0),
            "single": LlamaAttention(LlamaConfig(**shared, num_key_value_heads=1, head_dim=8), 0),
            "latent": DeepseekV3Attention(latent, 0),
        }
        no_query_latent = DeepseekV3Config(**{**latent.to_dict(), "q_lora_rank": None})
        plain_queries = DeepseekV3Attention(no_query_latent, 0)

    def projections(module):
        return sum(part.numel() for name, part in module.named_parameters() if "norm" not in name)

    for name, module in modules.items():
        assert evaluate(parse(LAYOUT[name].counts["weights"]), sizes) == projections(module)
    weights = parse(LAYOUT["latent"].counts["weights"])
    assert evaluate(weights, sizes | {"q_latent": 0}) == projections(plain_queries)


def test_projections_add_their_products_and_their_weights():
    sizes = random_sizes(5)
    layout, visibility = LAYOUT["grouped"], VISIBILITY["causal"]

    alone = price(layout, visibility, sizes)
    both = price(layout, visibility, sizes, projections=True)

    weights = 2 * sizes["d_model"] * (sizes["heads"] + sizes["kv_heads"]) * sizes["head_dim"]
    tokens = sizes["length"] * sizes["batch"]
    assert both["prefill_flops"] - alone["prefill_flops"] == 2 * weights * tokens * sizes["layers"]
    # The weights once; of each token: x, q, k and v, the attention's output, and what it becomes.
    heads, kv_heads, depth = sizes["heads"], sizes["kv_heads"], sizes["head_dim"]
    moved = 2 * sizes["d_model"] + 2 * heads * depth + 2 * kv_heads * depth
    more = (weights + moved * sizes["batch"]) * sizes["bytes"] * sizes["layers"]
    assert both["decode_bytes"] - alone["decode_bytes"] == more


def test_models_are_as_transformers_has_them():
    pytest.importorskip("transformers")
    from transformers import DeepseekV3Config, GPT2Config, MistralConfig

    by_name = {model.name: model for model in MODELS}
    gpt2, mistral, deepseek = GPT2Config(), MistralConfig(), DeepseekV3Config()
    expected = {
        "gpt-2": {
            "layers": gpt2.n_layer,
            "d_model": gpt2.n_embd,
            "heads": gpt2.n_head,
            "head_dim": gpt2.n_embd // gpt2.n_head,
            "length": gpt2.n_positions,
        },
        "mistral-7b": {
            "layers": mistral.num_hidden_layers,
            "d_model": mistral.hidden_size,
            "heads": mistral.num_attention_heads,
            "kv_heads": mistral.num_key_value_heads,
            "window": mistral.sliding_window,
        },
        "deepseek-v3": {
            "layers": deepseek.num_hidden_layers,
            "d_model": deepseek.hidden_size,
            "heads": deepseek.num_attention_heads,
            "latent": deepseek.kv_lora_rank,
            "rope": deepseek.qk_rope_head_dim,
            "q_latent": deepseek.q_lora_rank,
            "head_dim": deepseek.v_head_dim,
        },
    }
    for name, sizes in expected.items():
        assert {size: by_name[name].own[size] for size in sizes} == sizes
    assert deepseek.qk_nope_head_dim == deepseek.v_head_dim  # one head_dim stands for both


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_a_model_keeps_the_bounds_and_its_heads_divide(model):
    for size in SIZES:
        assert size.low <= model.sizes[size.name] <= size.high
    assert model.sizes["heads"] % model.sizes["kv_heads"] == 0
    assert model.layout in LAYOUT
    assert model.visibility in VISIBILITY
