"""Attention in operators called as ``torch.ops``: recorded right, or named as left out."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

from attnpanel import capture, intervene, record  # noqa: E402

B, H, T, S, D = 2, 3, 5, 7, 8
aten = torch.ops.aten


class Plain(nn.Module):
    """An attention that is recorded, so that a trace is never empty."""

    def forward(self, x):
        return F.scaled_dot_product_attention(x, x, x)


class Model(nn.Module):
    def __init__(self, attend):
        super().__init__()
        self.plain, self.odd = Plain(), Odd(attend)

    def forward(self, q, k, v):
        return self.odd(self.plain(q), k, v)


class Odd(nn.Module):
    num_heads = H

    def __init__(self, attend):
        super().__init__()
        self.attend = attend

    def forward(self, q, k, v):
        return self.attend(q, k, v)


def tensors(queries=T):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(B, H, n, D, generator=generator) for n in (queries, S, S)]


def expected_weights(q, k, *, causal=False):
    scores = q @ k.mT / D**0.5
    if causal:
        scores = scores.masked_fill(torch.ones(T, S).tril() == 0, -torch.inf)
    return scores.softmax(-1).numpy()


def written_out(q, k, v):
    scores = aten.mul(aten.matmul(q, aten.transpose(k, -1, -2)), D**-0.5)
    return aten.matmul.default(aten.softmax.int(scores, -1), v)


OPERATORS = {
    "sdpa": aten.scaled_dot_product_attention,
    "sdpa, an overload": aten.scaled_dot_product_attention.default,
    "math kernel": lambda q, k, v: aten._scaled_dot_product_attention_math(q, k, v)[0],
    "kernel for CPUs": lambda q, k, v: aten._scaled_dot_product_flash_attention_for_cpu(q, k, v)[0],
    "torch's function": lambda q, k, v: torch._scaled_dot_product_attention_math(q, k, v)[0],
    "written out": written_out,
    "torch._softmax": lambda q, k, v: torch._softmax(q @ k.mT / D**0.5, -1, False) @ v,  # noqa: FBT003 - torch's signature
}


@pytest.mark.parametrize("attend", OPERATORS.values(), ids=OPERATORS)
def test_an_operator_is_what_the_function_of_its_name_is(attend):
    q, k, v = tensors()
    model = Model(attend).eval()
    plain = model(q, k, v)
    with torch.no_grad(), capture(model) as trace:
        output = model(q, k, v)

    np.testing.assert_array_equal(output, plain)
    weights = expected_weights(model.plain(q), k)
    # Sums of float32 products in another order.
    np.testing.assert_allclose(trace["odd"].weights(), weights, rtol=0, atol=1e-6)
    assert trace["odd"].query is not None


@pytest.mark.parametrize("name", ["math", "flash"])
def test_a_kernels_flag_and_mask_are_read(name):
    kernels = {
        "math": aten._scaled_dot_product_attention_math,
        "flash": aten._scaled_dot_product_flash_attention_for_cpu,
    }
    q, k, v = tensors()
    mask = torch.zeros(T, S).masked_fill(torch.ones(T, S).tril() == 0, -torch.inf)
    with torch.no_grad():
        for options in ((0.0, True), {"attn_mask": mask}):
            positional = options if isinstance(options, tuple) else ()
            if name == "math" and positional:
                positional = (None, *positional)
            named = options if isinstance(options, dict) else {}
            odd = Odd(lambda q, k, v, p=positional, n=named: kernels[name](q, k, v, *p, **n)[0])
            with capture(odd) as trace:
                odd(q, k, v)
            weights = expected_weights(q, k, causal=True)
            np.testing.assert_allclose(trace[0].weights(), weights, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["math kernel", "kernel for CPUs", "written out"])
def test_an_operators_heads_can_be_changed(name):
    q, k, v = tensors()
    model = Odd(OPERATORS[name]).eval()
    with torch.no_grad():
        plain = model(q, k, v)
        with intervene(model, head=1, scale=0):
            changed = model(q, k, v)

    np.testing.assert_array_equal(changed[:, 1], np.zeros_like(changed[:, 1]))
    np.testing.assert_array_equal(changed[:, [0, 2]], plain[:, [0, 2]])


@pytest.mark.slow  # torch.export alone takes more than a second
def test_an_exported_programs_attention_is_recorded():
    q, k, v = tensors()
    program = torch.export.export(Model(OPERATORS["sdpa"]), (q, k, v)).module()
    with torch.no_grad(), capture(program) as trace:
        program(q, k, v)

    assert len(trace) == 2
    weights = expected_weights(Plain()(q), k)
    np.testing.assert_allclose(trace[1].weights(), weights, rtol=0, atol=1e-6)


def fused_kernel(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    return F.scaled_dot_product_attention(query, key, value)


@pytest.fixture(scope="module")
def operator():
    return torch.library.custom_op(
        "attnpanel_tests::flash_attn",
        fused_kernel,
        mutates_args=(),
        schema="(Tensor q, Tensor k, Tensor v) -> Tensor",
    )


def test_an_attention_operator_that_cannot_be_read_is_named(operator):
    model = Model(operator).eval()
    with pytest.warns(UserWarning, match=r"not recorded of odd \(it calls .*flash_attn"):  # noqa: SIM117 - the order counts
        with torch.no_grad(), capture(model) as trace:
            model(*tensors())
    with pytest.warns(UserWarning, match="odd"):  # noqa: SIM117
        with torch.no_grad(), intervene(model, scale=0):
            model(*tensors())

    assert trace.layers == ("plain",)
    assert "odd" in trace.coverage.left_out


def test_an_operator_whose_call_is_reported_is_covered(operator):
    def attend(q, k, v):
        record(q, k, v)
        return operator(q, k, v)

    q, k, v = tensors()
    model = Model(attend).eval()
    with torch.no_grad(), capture(model) as trace:
        model(q, k, v)

    assert trace.coverage.complete
    weights = expected_weights(model.plain(q), k)
    np.testing.assert_allclose(trace["odd"].weights(), weights, rtol=0, atol=1e-6)


def flash(q, k, v):
    return aten._scaled_dot_product_flash_attention_for_cpu(q, k, v)[:2]


def halves(q, k, v):
    """Outputs of two parts of the keys, and the share of the weights that each has."""
    parts = [
        flash(q, x.contiguous(), y.contiguous())
        for x, y in zip(k.split(4, 2), v.split(4, 2), strict=True)
    ]
    outputs, sums = zip(*parts, strict=True)
    return outputs, torch.stack(sums).softmax(0)


def sink(q, k, v):
    output, total = flash(q, k, v)
    return output * (total - torch.logaddexp(total, torch.ones(H, 1))).exp()[..., None]


def gate_by_a_product(q, k, v):
    output, total = flash(q, k, v)
    return torch.einsum("bht,bhtd->bhtd", total.sigmoid(), output)


def parts_blended(q, k, v):
    (first, second), shares = halves(q, k, v)
    return first.lerp(second, shares[1][..., None])


def parts_stacked(q, k, v):
    outputs, shares = halves(q, k, v)
    return torch.einsum("nbhtd,nbht->bhtd", torch.stack(outputs), shares)


def weights_used_again(q, k, v):
    _, weights = aten._scaled_dot_product_attention_math(q, k, v)
    return (weights / 2) @ v


HANDED_OUT = {
    sink: "rescales its outputs",
    gate_by_a_product: "rescales its outputs",
    parts_blended: "rescales its outputs",
    parts_stacked: "rescales its outputs",
    weights_used_again: "in pieces",
}


@pytest.mark.parametrize("attend", HANDED_OUT)
def test_what_a_kernel_hands_out_of_its_scores_is_followed(attend):
    model = Model(attend).eval()
    with pytest.warns(UserWarning, match=rf"not recorded of odd \(.*{HANDED_OUT[attend]}"):  # noqa: SIM117 - the order counts
        with torch.no_grad(), capture(model) as trace:
            model(*tensors())
    with pytest.warns(UserWarning, match="not all attention of layer odd was changed"):  # noqa: SIM117
        with torch.no_grad(), intervene(model, layer="odd", hide_keys=1):
            model(*tensors())

    assert trace.layers == ("plain",)


def test_a_log_sum_exp_that_is_not_used_changes_nothing():
    q, k, v = tensors()
    model = Model(lambda q, k, v: flash(q, k, v)[0] * 2).eval()
    with torch.no_grad(), capture(model) as trace:
        model(q, k, v)

    weights = expected_weights(model.plain(q), k)
    np.testing.assert_allclose(trace["odd"].weights(), weights, rtol=0, atol=1e-6)
