"""The reference, compared with 50-digit arithmetic."""

from dataclasses import replace

import mpmath
import numpy as np
import pytest

from attnpanel.bench.certify import reference as module
from attnpanel.bench.certify.cases import Case, make_inputs
from attnpanel.bench.certify.reference import reference, reference_weights
from attnpanel.kernels.request import Inputs, Request

NONE = Request(2, 6, 3, 5, 7, 11, 13)


def by_mpmath(request, inputs, at):
    """One output element and its row's log-sum-exp from the formula, in 50 digits."""
    batch, head, row, channel = at
    kv_head = head // (request.heads // request.kv_heads)
    with mpmath.workdps(50):
        query = [mpmath.mpf(float(x)) for x in inputs.query[batch, head, row]]
        scale = mpmath.mpf(request.score_scale)
        exps = []
        for j in range(request.key_len):
            dot = sum(
                q * mpmath.mpf(float(k))
                for q, k in zip(query, inputs.key[batch, kv_head, j], strict=True)
            )
            added = 0 if inputs.bias is None else mpmath.mpf(float(inputs.bias[head, row, j]))
            score = (scale * dot + added) / mpmath.mpf(request.temperature)
            visible = inputs.mask is None or inputs.mask[row, j]
            exps.append(mpmath.exp(score) if visible else mpmath.mpf(0))
        values = [mpmath.mpf(float(v)) for v in inputs.value[batch, kv_head, :, channel]]
        total = sum(exps)
        output = sum(e * v for e, v in zip(exps, values, strict=True)) / total
        return output, mpmath.log(total)


@pytest.mark.parametrize("at", [(0, 0, 0, 0), (1, 5, 4, 12), (1, 2, 3, 7)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_reference_equals_the_formula_to_the_precision_of_its_dtype(dtype, at):
    request = replace(NONE, dtype=dtype, mask="causal", bias=True, temperature=0.3)
    inputs = make_inputs(Case(request))

    right = reference(request, inputs)

    expected, total = by_mpmath(request, inputs, at)
    # float64 is judged in longdouble, which has 3 more digits on x86 and is float64 elsewhere.
    digits = float(np.finfo(right.output.dtype).eps)
    # Scores of up to 20 carry their rounding into the weights.
    with mpmath.workdps(50):
        assert abs(mpmath.mpf(str(right.output[at])) - expected) < 100 * digits
        assert abs(mpmath.mpf(str(right.logsumexp[at[:3]])) - total) < 100 * digits


def test_blocks_of_queries_make_no_difference(monkeypatch):
    request = replace(NONE, mask="window", window=2, bias=True)
    inputs = make_inputs(Case(request))
    whole, weights = reference(request, inputs), reference_weights(request, inputs, 1, 4)

    monkeypatch.setattr(module, "BLOCK_ROWS", 2)

    cut = reference(request, inputs)
    np.testing.assert_allclose(cut.output, whole.output, rtol=1e-13)
    np.testing.assert_allclose(cut.magnitude, whole.magnitude, rtol=1e-13)
    np.testing.assert_allclose(reference_weights(request, inputs, 1, 4), weights, rtol=1e-13)


def test_magnitude_and_value_sum_count_visible_values_only():
    # Equal scores, values -8, 4 and a hidden 100: weights 1/2, 1/2, 0, by hand.
    request = Request(1, 1, 1, 1, 3, 1, 1, mask="key_padding", pad_lens=(2,))
    value = np.array([-8.0, 4.0, 100.0], np.float32).reshape(1, 1, 3, 1)
    zeros = np.zeros((1, 1, 3, 1), np.float32)
    inputs = Inputs(zeros[:, :, :1], zeros, value, request.visible(), None)

    right = reference(request, inputs)

    assert right.output.item() == -2
    assert right.magnitude.item() == 6
    assert right.value_sum.item() == 12
    np.testing.assert_allclose(right.logsumexp.item(), np.log(2), rtol=1e-15)


def test_empty_rows_are_marked():
    request = replace(NONE, mask="key_padding", pad_lens=(3, 0))

    right = reference(request, make_inputs(Case(request)))

    np.testing.assert_array_equal(right.empty, np.arange(2)[:, None, None] == np.ones((2, 6, 5)))
    assert (right.output[1] == 0).all()
