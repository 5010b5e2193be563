"""Changes that reach nothing or fit nothing are warnings or errors, none is wrong."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional as F  # noqa: E402, N812

from attnpanel import Trace, capture, intervene  # noqa: E402
from tests.unit.models.intervene.attention_routes import (  # noqa: E402
    BAND,
    Attention,
    B,
    D,
    H,
    S,
    T,
    Two,
    assert_close,
    einsum,
    matmul,
    sdpa,
    tensors,
)


def test_weights_that_are_no_softmax_of_their_scores_are_not_changed_wrongly():
    def muted(q, k, v):
        power = (q @ k.mT).exp() * BAND
        return (power / power.sum(-1, keepdim=True)) @ v

    model = Attention(muted)

    with (
        pytest.raises(ValueError, match=r"layer 'Attention' cannot be changed: its weights are"),
        intervene(model, temperature=2.0),
    ):
        model(*tensors())


def test_nothing_changed_is_a_warning_that_names_the_layers():
    model, inputs = Two(), tensors()

    with (
        pytest.warns(UserWarning, match=r"matches none of the 2 calls.*named first, second"),
        intervene(model, layer="encoder.*", scale=0),
    ):
        model(*inputs)
    with (
        pytest.warns(UserWarning, match=r"no attention of Two was changed. Run the model inside"),
        intervene(model, scale=0),
    ):
        pass


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ({}, "an intervention must change something"),
        ({"temperature": 0}, "temperature must be above 0; got 0"),
        ({"temperature": float("nan")}, "temperature must be finite"),
        ({"scale": "0"}, "scale must be a number; got '0'"),
        (
            {"scale": np.array([1, 2])},
            r"scale must be .* a float array.*; got int64 of shape \(2,\)",
        ),
        ({"scale": np.array([0, np.nan])}, "scale must be finite throughout"),
        ({"mask": "causl"}, "mask must be one of causal, window; got 'causl'"),
        ({"mask": "window"}, "mask='window' and window go together; got 'window' and None"),
        ({"mask": np.zeros((T, S))}, "mask must be 'causal', 'window' or a bool array"),
        ({"hide_keys": -1}, "hide_keys must be an integer from 0"),
        ({"hide_edges": [3]}, r"hide_edges must hold pairs \(query, key\); got 3"),
        ({"weights": "flat"}, "weights must be one of uniform, diagonal; got 'flat'"),
        ({"weights": [[1, 0]]}, "weights must be 'uniform', 'diagonal', a Trace or a float array"),
        ({"weights": "uniform", "temperature": 2}, "temperature must be 1"),
        ({"weights": "diagonal", "mask": "causal"}, "a mask needs weights=None or 'uniform'"),
        ({"scale": 0, "head": -1}, "head must be an integer from 0"),
        ({"scale": 0, "head": []}, "head must name at least one head"),
    ],
)
def test_an_argument_outside_its_rule_is_refused_before_anything_runs(asked, complaint):
    with pytest.raises(ValueError, match=complaint), intervene(Attention(sdpa), **asked):
        pass


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ({"scale": 0, "head": 3}, r"head must be in 0\.\.2 in layer 'Attention'; got 3"),
        ({"scale": np.zeros(2)}, r"scale must broadcast to .* = \(2, 3\).*; got shape \(2,\)"),
        ({"mask": np.ones((4, S), bool)}, r"mask must broadcast to .* = \(2, 3, 5, 7\)"),
        ({"weights": np.ones((4, S))}, r"weights must broadcast to .* = \(2, 3, 5, 7\)"),
        ({"weights": Trace()}, "the trace must have layer 'Attention'; it has none"),
    ],
)
@pytest.mark.parametrize("route", [sdpa, einsum], ids=lambda route: route.__name__)
def test_arguments_that_do_not_fit_a_call_raise_from_the_forward_pass(route, asked, complaint):
    model = Attention(route)

    with pytest.raises(ValueError, match=complaint), intervene(model, **asked):
        model(*tensors())


def test_dropout_falls_on_the_changed_weights_as_on_the_models_own():
    model = Attention(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, dropout_p=0.5))
    q, k, v = tensors()

    torch.manual_seed(1)
    with intervene(model, weights="uniform"):
        during = model(q, k, torch.ones_like(v))

    # Each of 7 keys is dropped or counts 2/7: sums are multiples of 2/7 and differ.
    steps = during * S / 2
    assert_close(steps, steps.round())
    assert len(steps.round().unique()) > 2


@pytest.mark.parametrize("route", [sdpa, matmul], ids=lambda route: route.__name__)
def test_arrays_hold_heads_in_the_order_that_is_asked_for(route):
    model, inputs = Attention(route), tensors()
    weights = np.stack([np.eye(T, S), np.full((T, S), 0.5), np.zeros((T, S))])
    mask = np.stack([np.eye(T, S, dtype=bool), np.ones((T, S), dtype=bool)])

    for asked in ({"weights": weights}, {"mask": mask}):
        ((name, array),) = asked.items()
        order = [2, 0, 1][: len(array)]
        with intervene(model, head=order, **asked):
            together = model(*inputs)
        for at, head in enumerate(order):
            with intervene(model, head=head, **{name: array[at]}):
                assert_close(model(*inputs)[:, head], together[:, head])


def test_numpys_integers_name_heads():
    model, inputs = Attention(sdpa), tensors()

    with intervene(model, head=np.int64(2), scale=0):
        during = model(*inputs)

    assert [bool(during[:, head].any()) for head in range(H)] == [True, True, False]
    for truth in (True, np.True_):
        with pytest.raises(ValueError, match="head must be"), intervene(model, head=truth, scale=0):
            pass


def einsum_of_a_list(weights, v):
    return torch.einsum("bhqk,bhkd->bhqd", [weights, v])


def matmul_by_names(weights, v):
    return torch.matmul(input=weights, other=v)


@pytest.mark.parametrize("mix", [einsum_of_a_list, matmul_by_names])
def test_a_head_is_knocked_out_however_its_product_is_spelled(mix):
    model, inputs = Attention(lambda q, k, v: mix((q @ k.mT).softmax(-1), v)), tensors()
    plain = model(*inputs)

    with intervene(model, head=1, scale=0):
        during = model(*inputs)

    assert not during[:, 1].any()
    assert torch.equal(during[:, ::2], plain[:, ::2])


def test_a_scale_that_reaches_no_output_is_an_error():
    def mixed_by_sums(q, k, v):
        return ((q @ k.mT).softmax(-1)[..., None] * v[:, :, None]).sum(-2)

    model, inputs = Attention(mixed_by_sums), tensors()

    with (
        pytest.raises(
            ValueError, match="scale cannot be applied to the output of layer 'Attention'"
        ),
        intervene(model, scale=0),
    ):
        model(*inputs)
    with intervene(model, temperature=0.5):
        model(*inputs)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_nested_tensors_are_refused_with_a_clear_message():
    model, parts = Attention(sdpa), [torch.ones(length, H, D) for length in (T, 3)]
    ragged = torch.nested.nested_tensor(parts, layout=torch.jagged).transpose(1, 2)

    with (
        pytest.raises(ValueError, match=r"'Attention' cannot be changed: .* nested tensors"),
        intervene(model, scale=0),
    ):
        model(ragged, ragged, ragged)


def test_heads_come_last_of_the_axes_before_queries():
    model, (q, k, v) = Attention(matmul), tensors()
    windows = [x.unflatten(0, (1, B)) for x in (q, k, v)]

    with intervene(model, head=2, scale=0), capture(model) as trace:
        during = model(*windows)

    assert not during[:, :, 2].any()
    assert during[:, :, :2].any(-1).all()
    assert (trace.calls[0].batch, trace.calls[0].heads) == (B, H)
