"""What a capture reports, its budget, and calls that a model records itself."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from attnpanel import capture, record  # noqa: E402
from tests.unit.models.capture.small_models import (  # noqa: E402
    active_modes,
    bert,
    run,
)
from tests.unit.models.sdpa_model import Plain  # noqa: E402


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
