"""What a capture stores, and its warnings."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from attnpanel import capture  # noqa: E402
from tests.unit.models.capture.small_models import (  # noqa: E402
    bert,
    run,
)
from tests.unit.models.sdpa_model import Plain  # noqa: E402


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
