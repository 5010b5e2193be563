"""Caches and arrays of TransformerLens, nnsight, Inspectus and CircuitsVis, made here."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest

import attnpanel as ap
from attnpanel.trace.importers import IMPORTERS

torch = pytest.importorskip("torch")
H, HKV, T, D = 6, 3, 5, 8
LETTERS = list("abcde")


class Cache(dict):
    """As TransformerLens' ActivationCache: a mapping with the model."""

    model = None


def make_cache(*, batch=True, heads=HKV, causal=True, scale=D**-0.5, bias=0.0, rotated=False):
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(1, T, H, D, generator=generator)
    key, value = torch.randn(2, 1, T, heads, D, generator=generator)
    every = key.repeat_interleave(H // heads, dim=2)
    scores = torch.einsum("bthd,bshd->bhts", query, every) * scale + bias
    if causal:
        scores = scores.masked_fill(~torch.ones(T, T).tril().bool(), -torch.inf)
    arrays = {
        "q": query,
        "k": key,
        "v": value,
        "attn_scores": scores,
        "pattern": scores.softmax(-1),
    }
    if rotated:
        arrays |= {"rot_q": query, "rot_k": key, "q": query * 2, "k": key + 1}
    cache = Cache(
        {
            f"blocks.{i}.attn.hook_{n}": a if batch else a[0]
            for i in (0, 1)
            for n, a in arrays.items()
        }
    )
    cache["blocks.0.hook_resid_pre"] = query
    return cache


def pattern_of(cache):
    pattern = cache["blocks.0.attn.hook_pattern"]
    return pattern.reshape(1, H, T, T).numpy()


@pytest.mark.parametrize(
    "options",
    [{}, {"batch": False}, {"heads": H}, {"causal": False}, {"scale": 1.0}, {"rotated": True}],
    ids=str,
)
def test_a_cache_of_transformerlens_is_live_and_has_its_pattern(options):
    cache = make_cache(**options)
    cfg = SimpleNamespace(use_attn_scale=False, attn_scale=1.0, attention_dir="causal")
    if options.get("scale"):
        cache.model = SimpleNamespace(cfg=cfg)

    trace = ap.import_trace(cache, LETTERS)

    assert trace.layers == ("blocks.0.attn", "blocks.1.attn")
    assert all(call.live for call in trace)
    np.testing.assert_allclose(trace[0].weights(), pattern_of(cache), atol=1e-6)


def test_what_the_queries_do_not_explain_keeps_the_pattern():
    cache = make_cache(bias=torch.arange(T).float())

    trace = ap.import_trace(cache, LETTERS)

    assert not trace[0].live
    np.testing.assert_array_equal(trace[0].weights(), pattern_of(cache))


def test_a_cache_without_patterns_needs_the_rule():
    cache = make_cache()
    wanted = pattern_of(cache)
    only = Cache({name: a for name, a in cache.items() if name.endswith(("hook_q", "hook_k"))})

    with pytest.raises(ValueError, match=r"blocks.0.attn has queries and keys but no pattern"):
        ap.import_trace(only)
    trace = ap.import_trace(only, LETTERS, causal="bottom_right")
    np.testing.assert_allclose(trace[0].weights(), wanted, atol=1e-6)
    only.model = SimpleNamespace(
        cfg=SimpleNamespace(positional_embedding_type="alibi", attention_dir="causal")
    )
    with pytest.raises(ValueError, match="must have hook_pattern: alibi adds to the scores"):
        ap.import_trace(only)


def test_a_cache_of_patterns_alone_holds_weights():
    cache = Cache({n: a for n, a in make_cache().items() if n.endswith("pattern")})

    assert not ap.import_trace(cache, LETTERS)[0].live


@pytest.mark.parametrize("wrap", [lambda output: output, lambda o: SimpleNamespace(value=o)])
def test_saved_outputs_of_nnsight(wrap):
    weights = torch.rand(1, H, T, T).softmax(-1)
    saved = {f"h.{i}.attn": wrap((torch.rand(1, T, H * D), weights)) for i in range(2)}

    trace = ap.import_trace(saved, LETTERS, format="nnsight")

    assert trace.layers == ("h.0.attn", "h.1.attn")
    np.testing.assert_array_equal(trace[1].weights(), weights.numpy())


def test_nnsight_of_a_model_without_weights_is_told_what_to_do():
    with pytest.raises(
        ValueError, match=r"output of h must have one tensor .* got shapes \[\(1, 5"
    ):
        ap.import_trace({"h": (torch.rand(1, T, H * D), None)})


@pytest.mark.parametrize("name", ["inspectus", "circuitsvis"])
@pytest.mark.parametrize("shape", [(T, T), (H, T, T), (2, H, T, T)])
def test_arrays_as_other_viewers_take_them(name, shape):
    weights = torch.rand(shape).softmax(-1)

    trace = ap.import_trace(weights, LETTERS, format=name)

    assert len(trace) == (2 if len(shape) == 4 else 1)
    np.testing.assert_array_equal(trace[-1].weights(-1), weights.reshape(-1, T, T)[-1].numpy())


@pytest.mark.parametrize("source", [np.ones((2, 2)), [np.ones((2, 2))], {}, "mine.txt", None])
def test_a_source_that_tells_nothing_needs_a_format(source):
    with pytest.raises(
        ValueError, match=r"source must be of a kind that its type tells.*inspectus"
    ):
        ap.import_trace(source)


def test_an_unknown_format_is_named():
    with pytest.raises(ValueError, match=re.escape("format must be one of auto, npz, safetensors")):
        ap.import_trace({}, format="pickle")


def test_each_row_of_importers_is_described_in_the_document(root):
    page = (root / "docs" / "importing.md").read_text().lower()

    assert [row.name for row in IMPORTERS if row.name not in page] == []
