"""What a capture stores, what it does not change, and its warnings."""

from __future__ import annotations

import threading

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

from attnpanel import capture, record  # noqa: E402

FUSED = (nn.TransformerEncoder, nn.TransformerEncoderLayer, nn.MultiheadAttention)


def bert(attention="sdpa"):
    config = transformers.BertConfig(
        vocab_size=61,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=20,
    )
    return transformers.BertModel._from_config(config, attn_implementation=attention).eval()


def run(model, tokens=7):
    with torch.no_grad():
        return model(torch.arange(tokens)[None])


class Plain(nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.inner = Inner(options)

    def forward(self, query, key, value):
        return self.inner(query, key, value)


class Inner(nn.Module):
    def __init__(self, options):
        super().__init__()
        self.options = options

    def forward(self, query, key, value):
        return F.scaled_dot_product_attention(query, key, value, **self.options)


# What is stored


def test_float16_halves_the_store_and_falls_back_beyond_its_range():
    model = Plain()
    x = torch.randn(1, 2, 5, 11)
    with capture(model, dtype="float16") as trace:
        model(x, x, x)
        model(x, x, x * 1e6)

    fits, beyond = trace.calls
    assert {a.dtype for a in (fits.query, fits.key, fits.value)} == {np.dtype("float16")}
    assert {a.dtype for a in (beyond.query, beyond.key, beyond.value)} == {np.dtype("float32")}
    # 2**-11 relative error of query and key, on scores of size 5.
    expected = (x @ x.transpose(-1, -2) * 11**-0.5).softmax(-1)[0, 1]
    np.testing.assert_allclose(fits.weights(head=1), expected.numpy(), rtol=0, atol=3e-3)


def test_values_can_be_left_out():
    model = Plain()
    with capture(model, values=False) as trace:
        model(*[torch.randn(1, 1, 5, 11)] * 3)

    assert trace.calls[0].value is None


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_models_of_other_precisions_are_stored_in_float32(dtype):
    x = torch.randn(1, 1, 5, 11, dtype=dtype)
    model = Plain()
    with capture(model) as trace:
        model(x, x, x)

    np.testing.assert_array_equal(trace.calls[0].query, x.float().numpy())


@pytest.mark.parametrize(
    "layers", ["encoder.layer.1.*", ["nothing", "*.1.attention.self"]], ids=["glob", "list"]
)
def test_layers_chooses_by_glob_and_keeps_the_position(layers):
    model = bert()
    with capture(model, layers=layers) as trace:
        run(model)

    assert [(c.layer, c.index) for c in trace.calls] == [("encoder.layer.1.attention.self", 1)]


@pytest.mark.parametrize(
    ("tokens", "stored"),
    [
        (list("abcde"), (tuple("abcde"),)),
        ([list("abcde"), ["b", "c"]], (tuple("abcde"), ("b", "c"))),
        (None, ()),
    ],
)
def test_tokens_are_stored_for_one_sequence_or_several(tokens, stored):
    model = Plain()
    with capture(model, tokens=tokens) as trace:
        model(*[torch.randn(1, 1, 5, 11)] * 3)

    assert trace.query_tokens == stored


@pytest.mark.parametrize(
    ("tokens", "rule"),
    [
        (["a"] * 12, r"got \[12\] labels, and the calls have 5 queries and 5 keys"),
        (torch.ones(5), "tokens must be strings; got an array of numbers"),
    ],
)
def test_labels_that_fit_no_call_are_an_error(tokens, rule):
    with (
        pytest.raises(ValueError, match=rule),
        capture(model := Plain(), tokens=tokens),
    ):
        model(*[torch.randn(1, 1, 5, 11)] * 3)


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ({"model": lambda x: x}, "torch.nn.Module"),
        ({"dtype": "int8"}, "float32, float16"),
        ({"store": "all"}, "qk, weights"),
        ({"tokens": "text"}, "sequence of strings"),
    ],
)
def test_a_wrong_argument_is_one_clear_error(arguments, rule):
    with pytest.raises(ValueError, match=rule), capture(**{"model": Plain(), **arguments}):
        pass


# What is not changed


def patched_names():
    interface = transformers.modeling_utils.AttentionInterface
    return [vars(owner)["forward"] for owner in FUSED] + [vars(interface)["get_interface"]]


def active_modes():
    return torch.overrides._get_current_function_mode_stack()


def test_nothing_stays_patched():
    before = patched_names()
    model = bert()
    with capture(model):
        assert patched_names() != before
        run(model)

    assert patched_names() == before
    assert active_modes() == []


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_nothing_stays_patched_after_an_exception_inside_the_attention(attention):
    before = patched_names()
    model = bert(attention)
    # Three heads of keys for two of queries: fails inside the attention function.
    model.encoder.layer[1].attention.self.key = nn.Linear(24, 30)

    with pytest.raises(RuntimeError), capture(model) as trace:
        run(model)

    assert len(trace.calls) == 1
    assert patched_names() == before
    assert active_modes() == []
    assert run(bert(attention)) is not None


def test_no_warning_hides_the_exception_of_the_block():
    def fail():
        with capture(Plain()):
            raise KeyError("the user's own")

    with pytest.raises(KeyError):  # warnings are errors here
        fail()


def test_another_threads_forward_is_not_recorded():
    model = bert()
    encoder = nn.TransformerEncoderLayer(12, 4, 20, batch_first=True).eval()
    both = nn.ModuleList([model, encoder])

    def elsewhere():
        run(model, 2)
        with torch.no_grad():
            encoder(torch.randn(1, 5, 12))

    with capture(both) as trace:
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        run(model, 3)

    assert [call.query_len for call in trace.calls] == [3, 3]


def test_captures_in_two_threads_do_not_end_one_another():
    # Eager attention is intercepted by the patch alone.
    model = bert("eager")
    before = patched_names()
    inside, ended, counts = threading.Event(), threading.Event(), []

    def outlives():
        with capture(model) as trace:
            inside.set()
            ended.wait(60)
            run(model)
        counts.append(len(trace.calls))

    thread = threading.Thread(target=outlives)
    with capture(model) as trace:
        thread.start()
        inside.wait(60)
        run(model)
    ended.set()
    thread.join()

    assert len(trace.calls) == 2
    assert counts == [2]
    assert patched_names() == before


def test_nested_captures_each_see_the_calls_inside_them():
    model = bert()
    with capture(model) as outer:
        run(model)
        with capture(model, layers="*.0.*") as inner:
            run(model)
        run(model)

    assert len(outer.calls) == 6
    assert len(inner.calls) == 1


def test_nested_captures_of_a_multihead_attention_count_it_once_each():
    model = nn.MultiheadAttention(12, 4, batch_first=True).eval()
    x = torch.randn(2, 5, 12)
    with torch.no_grad(), capture(model) as outer, capture(model) as inner:
        model(x, x, x, need_weights=False)

    assert (len(outer.calls), len(inner.calls)) == (1, 1)


def test_a_mode_of_the_users_own_stays_in_force():
    model = nn.MultiheadAttention(12, 4, batch_first=True).eval()
    x = torch.randn(2, 5, 12)
    with torch.no_grad(), capture(model) as trace, torch.device("meta"):
        model(x, x, x)
        made = torch.zeros(1)

    assert made.device.type == "meta"
    assert len(trace.calls) == 1


def test_only_the_models_own_calls_are_recorded():
    model, other = Plain(), Plain()
    x = torch.randn(1, 1, 5, 11)
    with capture(model) as trace:
        other(x, x, x)
        model(x, x, x)

    assert len(trace.calls) == 1


def test_gradients_flow_as_without_capture():
    torch.manual_seed(23)
    model = nn.MultiheadAttention(12, 4, batch_first=True)
    x = torch.randn(2, 5, 12)
    model(x, x, x)[0].sum().backward()
    plain = model.in_proj_weight.grad.clone()
    model.zero_grad()

    with capture(model):
        model(x, x, x)[0].sum().backward()

    assert torch.equal(model.in_proj_weight.grad, plain)


# Warnings when nothing was captured


def test_a_model_that_never_ran_is_reported():
    with pytest.warns(UserWarning, match="Run the model inside the with block"), capture(Plain()):
        pass


def test_a_glob_that_matches_nothing_names_what_there_was():
    model = bert()
    with (
        pytest.warns(UserWarning, match=r"encoder\.layer\.0\.attention\.self"),
        capture(model, layers="decoder.*"),
    ):
        run(model)


def test_nan_in_the_keys_is_reported_and_the_model_continues():
    model = Plain()
    x = torch.randn(1, 1, 5, 11)
    with pytest.warns(UserWarning, match="must be finite") as told, capture(model) as trace:
        output = model(x, x * torch.nan, x)

    assert torch.equal(output, model(x, x * torch.nan, x))
    assert trace.calls == ()
    assert len(told) == 1


def test_a_meta_tensor_is_reported_and_the_model_continues():
    model = Plain()
    with pytest.warns(UserWarning, match="meta device"), capture(model):
        assert model(*[torch.randn(1, 1, 5, 11, device="meta")] * 3).shape == (1, 1, 5, 11)


def test_weights_of_nan_stay_nan_if_the_model_returns_them():
    model = bert("eager")
    with torch.no_grad():
        model.encoder.layer[1].attention.self.key.weight.fill_(torch.nan)
    with capture(model) as trace:
        run(model)

    first, second = trace.calls
    assert first.live
    assert np.isnan(second.weights(0)).all()


@pytest.mark.parametrize(("batch", "length"), [(0, 5), (2, 0)])
def test_an_empty_batch_or_sequence_is_reported_and_the_model_continues(batch, length):
    model = Plain()
    x = torch.randn(batch, 3, length, 11)
    with pytest.warns(UserWarning, match="none of them empty"), capture(model) as trace:
        assert model(x, x, x).shape == x.shape

    assert trace.calls == ()


def test_one_token_sees_itself():
    model = bert()
    with capture(model) as trace:
        run(model, 1)

    assert [call.weights(3).tolist() for call in trace.calls] == [[[1.0]]] * 2


def test_a_models_second_run_is_in_the_same_trace():
    model = bert()
    with capture(model) as trace:
        run(model, 3)
        run(model, 3)

    assert [(call.index, call.query_len) for call in trace.calls] == [(i, 3) for i in range(4)]


def test_a_capture_can_be_entered_once():
    model = bert()
    once = capture(model)
    with once:
        run(model)
    with pytest.raises((RuntimeError, AttributeError)), once:
        pass

    assert active_modes() == []


def test_a_model_may_capture_itself():
    """Re-entry: a capture that starts inside the forward pass of a captured model."""

    class Curious(nn.Module):
        def __init__(self):
            super().__init__()
            self.plain = Plain()

        def forward(self, x):
            with capture(self.plain) as self.seen:
                return self.plain(x, x, x)

    model = Curious()
    with capture(model) as trace:
        model(torch.randn(1, 2, 5, 11))

    assert (len(trace.calls), len(model.seen.calls)) == (1, 1)
    assert active_modes() == []


def test_a_torch_script_is_reported_with_advice():
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        model = torch.jit.trace(Plain(), [torch.randn(1, 1, 5, 11)] * 3)
    x = torch.randn(1, 1, 5, 11)
    with pytest.warns(UserWarning, match=r"torch\.jit .* attnpanel\.record"), capture(model):
        model(x, x, x)


# Storing weights instead of queries and keys


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_weights_can_be_stored_in_place_of_queries_and_keys(attention, dtype):
    model = bert(attention)
    with capture(model) as live:
        run(model)
    # Per layer 4 heads of 7 by 7 weights, and values of 4 heads with 6 channels.
    size = 2 * (4 * 7 * 7 + 4 * 7 * 6) * np.dtype(dtype).itemsize
    arriving = 2 * 4 * 7 * 6 * np.dtype(dtype).itemsize
    with capture(model, store="weights", dtype=dtype, max_bytes=size + arriving) as trace:
        run(model)

    for call, other in zip(trace.calls, live.calls, strict=True):
        assert (call.live, call.recorded_weights.dtype) == (False, np.dtype(dtype))
        atol = 1e-6 if dtype == "float32" else 1e-3
        np.testing.assert_allclose(call.weights(3), other.weights(3), rtol=0, atol=atol)
        with pytest.raises(ValueError, match="temperature 1"):
            call.weights(3, temperature=2.0)


# The budget


def test_a_capture_beyond_its_budget_raises_first_and_keeps_its_calls():
    model, x = Plain(), torch.randn(1, 2, 5, 11)
    # Query, key and value of 110 numbers, four bytes each: 1,320.
    with capture(model, max_bytes=2000) as trace:
        model(x, x, x)
        with pytest.raises(MemoryError, match=r"max_bytes=2,000 .*holds 1,320.* needs 1,320"):
            model(x, x, x)

    assert len(trace.calls) == 1


def test_what_fits_the_budget_exactly_is_stored():
    model, x = Plain(), torch.randn(1, 2, 5, 11)
    with capture(model, max_bytes=660, dtype="float16") as trace:
        model(x, x, x)

    assert len(trace.calls) == 1


def test_by_default_half_of_the_free_memory_may_be_stored(monkeypatch):
    monkeypatch.setattr("attnpanel.models.capture.budget.free_bytes", lambda: 2000)
    model, x = Plain(), torch.randn(1, 2, 5, 11)
    with pytest.raises(MemoryError, match="max_bytes=1,000"), capture(model):
        model(x, x, x)


# Calls reported by record()


class Told(torch.nn.Module):
    """Attention by a kernel that cannot be intercepted."""

    def forward(self, query, key, value, **options):
        record(query, key, value, **options)
        return value


def test_a_call_that_record_reports_is_in_the_trace():
    torch.manual_seed(3)
    query, key, value = (
        torch.randn(2, heads, length, 11) for heads, length in ((6, 5), (3, 7), (3, 7))
    )
    model = Told()
    with capture(model) as trace:
        model(query, key, value, causal="bottom_right", scale=0.3)

    (call,) = trace.calls
    assert (call.layer, call.causal, call.kv_heads) == ("Told", "bottom_right", 3)
    # Head 4 reads key head 2; the last of 5 queries sees all 7 keys.
    scores = 0.3 * query[1, 4] @ key[1, 2].T
    scores = scores.masked_fill(torch.ones(5, 7).triu(3).bool(), -torch.inf)
    expected = scores.softmax(-1).numpy()
    np.testing.assert_allclose(call.weights(4, 1), expected, rtol=0, atol=1e-6)


def test_without_a_capture_recording_does_nothing():
    assert Told()(None, None, "untouched") == "untouched"


@pytest.mark.parametrize(
    ("shapes", "rule"),
    [
        ([(2, 5, 11)] * 3, "axes"),
        ([(2, 4, 5, 11), (2, 3, 7, 11), (2, 3, 7, 11)], "multiple of Hkv"),
        ([(2, 3, 5, 11), (2, 3, 7, 11), (2, 3, 6, 11)], "key and value in Hkv"),
    ],
)
def test_a_call_whose_shapes_disagree_is_refused(shapes, rule):
    model = Told()
    tensors = [torch.zeros(shape) for shape in shapes]
    with pytest.raises(ValueError, match=rule), capture(model):
        model(*tensors)


def test_blocks_may_end_in_another_order_than_they_began():
    model = bert()
    first, second = capture(model), capture(model)
    outer = first.__enter__()
    run(model)
    other = second.__enter__()
    first.__exit__(None, None, None)
    run(model)
    second.__exit__(None, None, None)
    run(model)

    assert (len(outer.calls), len(other.calls)) == (2, 2)
    assert torch.overrides._get_current_function_mode_stack() == []


def test_a_users_own_mode_outlives_a_block_that_began_before_it():
    class Counting(torch.overrides.TorchFunctionMode):
        calls = 0

        def __torch_function__(self, func, types, args=(), kwargs=None):
            self.calls += 1
            return func(*args, **(kwargs or {}))

    block, counting = capture(bert()), Counting()
    block.__enter__()
    with counting:
        with pytest.warns(UserWarning, match="no attention"):
            block.__exit__(None, None, None)
        torch.zeros(3).sum()

    assert counting.calls
    assert torch.overrides._get_current_function_mode_stack() == []
