"""npz and safetensors files with the documented keys, the recipes of vLLM and SGLang included."""

from __future__ import annotations

import json
import re
import sys
import types
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save, save_file

import attnpanel as ap
from attnpanel.trace.trace import TraceFileError

torch = pytest.importorskip("torch")
PAGE = Path(__file__).resolve().parents[4] / "docs" / "importing.md"
H, HKV, T, D = 6, 3, 5, 8
GENERATOR = np.random.default_rng(0)
QUERY = GENERATOR.standard_normal((1, H, T, D)).astype(np.float32)
KEY, VALUE = GENERATOR.standard_normal((2, 1, HKV, T, D)).astype(np.float32)
LETTERS = list("abcde")


def expected(**options):
    key, value = (np.repeat(array, H // HKV, axis=1) for array in (KEY, VALUE))
    return ap.attend(QUERY, key, value, **options)


@pytest.mark.parametrize("layout", ["BHTD", "BTHD"])
def test_an_npz_file_gives_its_layers_in_natural_order(tmp_path, layout):
    arrays = {"query": QUERY, "key": KEY, "value": VALUE}
    if layout == "BTHD":
        arrays = {name: array[0].swapaxes(0, 1) for name, array in arrays.items()}
    layers = {f"layer.{i}.{name}": array for i in (10, 9) for name, array in arrays.items()}
    np.savez(
        tmp_path / "a.npz", layout=layout, causal="top_left", scale=0.5, tokens=LETTERS, **layers
    )

    trace = ap.import_trace(tmp_path / "a.npz")

    assert trace.layers == ("layer.9", "layer.10")
    assert trace.query_tokens == (tuple(LETTERS),)
    wanted = expected(mask=np.tri(T, dtype=bool), scale=0.5)
    for call in trace:
        np.testing.assert_allclose(call.weights(), wanted.weights, atol=1e-6)
        np.testing.assert_allclose(call.attention(4).output, wanted.output[0, 4], atol=1e-5)


def test_a_safetensors_file_keeps_words_in_its_metadata(tmp_path):
    path = tmp_path / "a.safetensors"
    metadata = {"tokens": json.dumps(LETTERS), "0.causal": "bottom_right", "model": "mine"}
    save_file({"0.query": QUERY, "0.key": KEY}, path, metadata)

    for source in (path, str(path), path.read_bytes()):
        trace = ap.import_trace(source)
        assert (trace.model, trace.query_tokens[0][0]) == ("mine", "a")
        np.testing.assert_allclose(
            trace[0].weights(), expected(mask=np.tri(T, dtype=bool)).weights, atol=1e-6
        )


def test_bfloat16_is_read_bit_by_bit(tmp_path):
    from safetensors.torch import save_file as save_tensors

    tensor = torch.tensor(QUERY).bfloat16()
    save_tensors({"query": tensor, "key": tensor.clone()}, tmp_path / "a.safetensors")

    call = ap.import_trace(tmp_path / "a.safetensors")[0]

    np.testing.assert_array_equal(call.query, tensor.float().numpy())


def test_weights_masks_and_windows(tmp_path):
    mask = np.ones((T, T), bool)
    mask[:, 1] = False
    np.savez(
        tmp_path / "a.npz",
        **{"0.query": QUERY, "0.key": KEY, "0.mask": mask, "0.window": 2, "0.causal": "top_left"},
        **{"1.weights": np.full((H, T, T), 1 / T)},
    )

    first, second = ap.import_trace(tmp_path / "a.npz", LETTERS)

    near = np.tri(T, dtype=bool) & ~np.tri(T, k=-2, dtype=bool) & mask
    np.testing.assert_array_equal(first.visible(0), near)
    assert not second.live


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "it must hold at least one layer's arrays; got none"),
        ({"0.q": QUERY}, "keys must end in query, key, value"),
        ({"0.query": QUERY}, "'0' must have weights, or query and key; got ['query']"),
        ({"query": QUERY, "key": KEY[..., :3]}, "query and key must agree in B and D"),
        ({"query": QUERY, "key": KEY, "tokens": ["a"]}, "tokens must be one for each of 5"),
        ({"query": QUERY, "key": KEY, "causal": "yes"}, "causal must be one of none"),
        ({"query": QUERY, "key": KEY, "window": 0}, "window must be at least 1; got 0"),
        ({"query": np.array([{}]), "key": KEY}, "Object arrays cannot be loaded"),
    ],
)
def test_a_bad_file_is_one_error_with_its_name(tmp_path, arrays, message):
    np.savez(tmp_path / "bad.npz", **arrays)

    with pytest.raises(TraceFileError, match="^bad.npz: .*" + re.escape(message)):
        ap.import_trace(tmp_path / "bad.npz")


def test_files_of_other_kinds_are_told_what_they_are(tmp_path):
    ap.toy_trace().save(tmp_path / "trace.safetensors")

    with pytest.raises(TraceFileError, match=r"is a trace of attnpanel: read it with Trace\.load"):
        ap.import_trace(tmp_path / "trace.safetensors")
    with pytest.raises(TraceFileError, match=r"^the content: "):
        ap.import_trace(b"PK\x03\x04 and nothing more")
    with pytest.raises(TraceFileError, match=r"^the content: "):
        ap.import_trace(save({"query": QUERY, "key": KEY})[:-9])


def flat_arrays():
    """Query, key and value as a server's layer is handed them: tokens × (heads · channels)."""
    return [torch.tensor(array[0]).transpose(0, 1).flatten(1) for array in (QUERY, KEY, VALUE)]


def recipe(title):
    """Return the first Python block below a heading of the page."""
    section = PAGE.read_text().split(f"## {title}\n")[1]
    return re.search(r"```python notest\n(.*?)```", section, re.DOTALL)[1]


def test_the_recipe_for_vllm_is_short_and_gives_what_was_computed(tmp_path, monkeypatch):
    """https://github.com/vllm-project/vllm/issues/11365"""

    class Attention(torch.nn.Module):
        layer_name, num_heads, num_kv_heads, head_size = "model.layers.0.self_attn.attn", H, HKV, D
        impl, sliding_window = SimpleNamespace(scale=0.25), None

        def forward(self, query, *_key_and_value):
            return query

    model = torch.nn.Sequential(Attention())

    class LLM:
        def __init__(self, *_, enforce_eager, enable_prefix_caching):
            assert enforce_eager
            assert not enable_prefix_caching

        def apply_model(self, function):
            function(model)

        def generate(self, *_):
            flat = [
                torch.tensor(array[0]).transpose(0, 1).flatten(1) for array in (QUERY, KEY, VALUE)
            ]
            for step in (slice(0, 3), slice(3, 4), slice(4, 5)):
                model[0](*(array[step] for array in flat))

    vllm = types.ModuleType("vllm")
    vllm.LLM, vllm.SamplingParams = LLM, lambda **_: None
    monkeypatch.setitem(sys.modules, "vllm", vllm)
    monkeypatch.chdir(tmp_path)
    source = recipe("vLLM")
    exec(source, {})  # noqa: S102 - our own page

    trace = ap.import_trace("vllm.npz", LETTERS)

    assert len([line for line in source.splitlines() if line.strip()]) <= 26
    assert trace.layers == ("model.layers.0.self_attn.attn",)
    wanted = expected(mask=np.tri(T, dtype=bool), scale=0.25)
    np.testing.assert_allclose(trace[0].weights(), wanted.weights, atol=1e-6)


def test_the_recipe_for_sglang_is_short_and_gives_what_was_computed(tmp_path):
    """The hook runs as SGLang's hook_manager registers it."""
    layer = torch.nn.Identity()
    vars(layer).update(
        layer_id=2, tp_q_head_num=H, tp_k_head_num=HKV, tp_v_head_num=HKV,
        scaling=0.25, logit_cap=0.0, sliding_window_size=-1,
    )  # fmt: skip
    source, space = recipe("SGLang"), {}
    exec(source, space)  # noqa: S102 - our own page
    hook = space["factory"]({"path": tmp_path / "sglang.npz"})
    flat = flat_arrays()
    for _prompt in range(2):  # the second begins anew
        for step, extend in ((slice(0, 3), True), (slice(3, 4), False), (slice(4, 5), False)):
            mode = SimpleNamespace(is_extend=lambda extend=extend: extend)
            batch = SimpleNamespace(forward_mode=mode)
            hook(layer, (*(array[step] for array in flat), batch), None)

    trace = ap.import_trace(tmp_path / "sglang.npz", LETTERS)

    assert len([line for line in source.splitlines() if line.strip()]) <= 22
    wanted = expected(mask=np.tri(T, dtype=bool), scale=0.25)
    np.testing.assert_allclose(trace[0].weights(), wanted.weights, atol=1e-6)
