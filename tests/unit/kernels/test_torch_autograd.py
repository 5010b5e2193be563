"""Gradients of the PyTorch implementations by autograd."""

from dataclasses import replace

import numpy as np
import pytest

from attnpanel.kernels import find_implementation
from attnpanel.kernels.implementation import RawResult
from attnpanel.kernels.request import Inputs, Request
from attnpanel.kernels.torch_.autograd import by_autograd
from attnpanel.kernels.torch_.inputs import torch_failures, torch_inputs

pytest.importorskip("torch")

REQUEST = Request(1, 1, 1, 1, 2, 1, 1, scale=1.0)


def inputs_of(request, **arrays):
    given = {"query": [[[[0.0]]]], "key": [[[[1.0], [-1.0]]]], "value": [[[[2.0], [4.0]]]]}
    given = {name: np.array(x, np.float32) for name, x in given.items()} | arrays
    return Inputs(mask=request.visible(), **({"bias": None} | given))


@pytest.mark.parametrize("name", ["torch-eager", "torch-sdpa-math", "torch-sdpa-flash"])
def test_gradients_are_those_worked_out_by_hand(name):
    # P = (1/2, 1/2) and O = 3. dP - delta = (2 - 3, 4 - 3), so dS = (-1/2, 1/2);
    # dQ = -1/2 - 1/2, dK = dS q = 0, dV = P.
    inputs = inputs_of(REQUEST)
    before = inputs.query.copy()
    backward = find_implementation(name).gradients
    call = backward.prepare(inputs, REQUEST, np.ones((1, 1, 1, 1), np.float32))
    for raw in (call(), call()):
        np.testing.assert_array_equal(raw.query.numpy().ravel(), [-1.0])
        np.testing.assert_array_equal(raw.key.numpy().ravel(), [0.0, 0.0])
        np.testing.assert_array_equal(raw.value.numpy().ravel(), [0.5, 0.5])
        assert raw.bias is None
    np.testing.assert_array_equal(inputs.query, before)


def test_gradient_of_the_bias_is_summed_over_the_batch():
    request = replace(REQUEST, batch=3, bias=True)
    inputs = inputs_of(request, bias=np.zeros((1, 1, 2), np.float32))
    inputs = replace(
        inputs, **{n: np.repeat(getattr(inputs, n), 3, axis=0) for n in ("query", "key", "value")}
    )
    backward = find_implementation("torch-eager").gradients
    raw = backward.prepare(inputs, request, np.ones((3, 1, 1, 1), np.float32))()
    np.testing.assert_array_equal(raw.bias.numpy(), [[[-1.5, 1.5]]])


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("torch-flex", "FlexAttention does not support backward on CPU"),
        ("torch-flex-compiled", "has no backward on a CPU"),
        ("torch-ring", "don't support automatic differentiation"),
    ],
)
def test_a_kernel_without_a_backward_says_so(name, reason):
    (found,) = find_implementation(name).gradients.unsupported(REQUEST)
    assert reason in found


def test_any_refusal_is_a_reason_but_lack_of_memory():
    def prepare_to_raise(error):
        def prepare(inputs, request, *, threads=1):
            torch_inputs(inputs, request)

            def run():
                raise error

            return run

        return by_autograd(prepare)

    found = prepare_to_raise(ValueError("no such shape")).unsupported(REQUEST)
    assert found == ["torch gives no gradients: no such shape"]
    assert prepare_to_raise(torch_failures()[0]("full")).unsupported(REQUEST) == []


def test_an_output_without_a_graph_is_refused():
    def prepare(inputs, request, *, threads=1):
        output = torch_inputs(inputs, request).value.detach()
        return lambda: RawResult(output[:, :, :1])

    (found,) = by_autograd(prepare).unsupported(REQUEST)
    assert "does not require grad" in found
