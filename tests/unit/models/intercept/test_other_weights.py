"""Weights that are not one softmax meeting the values: the model's own are recorded, or none."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

from attnpanel import capture, intervene  # noqa: E402

B, H, T, S, D = 2, 4, 5, 7, 11
# The model's own float32 numbers, stored as float32; a softmax is recomputed in another order.
ATOL = 1e-6
GATE = torch.tensor([1.0, 0.0, 1.0, 0.5]).view(1, H, 1, 1)
MIX = torch.softmax(torch.randn(H, H, generator=torch.Generator().manual_seed(1)), -1)
HEADS = nn.Linear(H, H, bias=False)
ONE_ROW = torch.ones(T, S)
ONE_ROW[3] = 0.25


class Attention(nn.Module):
    """One attention, from scores to weights as a rule has it, then mixed as another has it."""

    def __init__(self, weigh, mix=torch.matmul):
        super().__init__()
        self.num_heads, self.weigh, self.mix, self.used = H, weigh, mix, None

    def forward(self, q, k, v):
        self.used = self.weigh(q @ k.mT / D**0.5)
        return self.mix(self.used, v)


def inputs():
    made = torch.Generator().manual_seed(5)
    return [torch.randn(B, H, length, D, generator=made) for length in (T, S, S)]


def captured(model, **options):
    """The trace, after a check that capturing changed no bit."""
    parts = inputs()
    torch.manual_seed(0)
    plain = model(*parts)
    torch.manual_seed(0)
    with capture(model, **options) as trace:
        during = model(*parts)
    torch.testing.assert_close(during, plain, rtol=0, atol=0)
    return trace


def weights_of(call):
    heads = range(call.heads)
    return np.stack([[call.weights(head, batch) for head in heads] for batch in range(call.batch)])


def sparsemax(scores):
    ordered = scores.sort(-1, descending=True).values
    total, count = ordered.cumsum(-1), torch.arange(1, scores.shape[-1] + 1)
    support = (1 + count * ordered > total).sum(-1, keepdim=True)
    return (scores - (total.gather(-1, support - 1) - 1) / support).clamp(min=0)


def zeroed_in_place(scores):
    weights = scores.softmax(-1)
    weights[:, :, 3] = 0  # one row, which a look at some rows may miss
    return weights


def zeroed_through_a_view(scores):
    weights = scores.softmax(-1)
    weights[:, 1].mul_(0.5)
    return weights


def renormalised(scores):
    weights = scores.softmax(-1) * (scores > 0)
    return weights / weights.sum(-1, keepdim=True).clamp(min=1e-9)


def top_two(scores):
    kept = scores.topk(2, -1)
    return torch.zeros_like(scores).scatter(-1, kept.indices, kept.values.softmax(-1))


def stick_breaking(scores):
    beyond = F.logsigmoid(-scores)
    return (F.logsigmoid(scores) + beyond.cumsum(-1) - beyond).exp()


# Rule: whether the weights are those that query and key give.
def retention(scores):  # RetNet's, in parallel
    decayed = scores * 0.9 ** torch.arange(S).flip(0)
    return decayed / decayed.abs().sum(-1, keepdim=True).clamp(min=1)


RULES = {
    "log_softmax exp": (lambda s: s.log_softmax(-1).exp(), True),
    "less its logsumexp": (lambda s: (s - s.logsumexp(-1, keepdim=True)).exp(), True),
    "soft cap": (lambda s: (3 * torch.tanh(s / 3)).softmax(-1), True),
    "gumbel": (lambda s: F.gumbel_softmax(s, tau=0.7, dim=-1), False),
    "softmax over queries": (lambda s: s.softmax(-2), False),
    "sigmoid": (torch.sigmoid, False),
    "relu over length": (lambda s: F.relu(s) / S, False),
    "squared relu": (lambda s: F.relu(s).square(), False),
    "power": (lambda s: (s * s) / (s * s).sum(-1, keepdim=True), False),
    "divided by its sum": (lambda s: s.tril() / s.tril().sum(-1, keepdim=True), False),
    "retention": (retention, False),
    "sparsemax": (sparsemax, False),
    "stick breaking": (stick_breaking, False),
    "top two": (top_two, False),
    "heads mixed after": (lambda s: torch.einsum("gh,bhts->bgts", MIX, s.softmax(-1)), False),
    "heads mixed before": (lambda s: torch.einsum("gh,bhts->bgts", MIX, s).softmax(-1), False),
    "heads mixed by a layer": (
        lambda s: HEADS(s.softmax(-1).permute(0, 2, 3, 1)).permute(0, 3, 1, 2),
        False,
    ),
    "head mask": (lambda s: F.dropout(s.softmax(-1) * GATE, 0.0), False),
    "head mask after dropout": (
        lambda s: F.dropout(s.softmax(-1), 0.5, training=False) * GATE,
        False,
    ),
    "renormalised": (lambda s: F.dropout(renormalised(s), 0.1, training=False), False),
    "threshold": (lambda s: F.threshold(s.softmax(-1), 0.1, 0.0), False),
    "one row changed": (lambda s: s.softmax(-1) * ONE_ROW, False),
    "one row in place": (zeroed_in_place, False),
    "one head through a view": (zeroed_through_a_view, False),
    "dropout in evaluation": (lambda s: F.dropout(s.softmax(-1), 0.5, training=False), True),
}


@pytest.mark.parametrize("rule", RULES)
def test_the_weights_recorded_are_those_that_mixed_the_values(rule):
    weigh, live = RULES[rule]
    model = Attention(weigh).eval()

    (call,) = captured(model).calls

    assert call.live == live
    np.testing.assert_allclose(weights_of(call), model.used.detach().numpy(), rtol=0, atol=ATOL)


def weights_on_the_right(weights, v):
    return (v.mT @ weights.mT).mT


def weights_second_in_an_einsum(weights, v):
    return torch.einsum("bhsd,bhts->bhtd", v, weights)


@pytest.mark.parametrize("mix", [weights_on_the_right, weights_second_in_an_einsum])
def test_the_side_of_the_product_that_weights_stand_on_makes_no_difference(mix):
    for weigh, live in (RULES["soft cap"], RULES["sigmoid"]):
        model = Attention(weigh, mix).eval()

        (call,) = captured(model).calls

        assert call.live == live
        np.testing.assert_allclose(weights_of(call), model.used.numpy(), rtol=0, atol=ATOL)
        np.testing.assert_array_equal(call.value, inputs()[2].numpy())


def test_a_softmax_that_is_divided_by_its_sum_after_the_values_is_one():
    def mix(power, v):
        return (power @ v) / power.sum(-1, keepdim=True)

    model = Attention(lambda s: (s - s.amax(-1, keepdim=True)).exp(), mix)

    (call,) = captured(model).calls

    own = model.used / model.used.sum(-1, keepdim=True)
    assert call.live
    np.testing.assert_allclose(weights_of(call), own.numpy(), rtol=0, atol=ATOL)


def softmax(scores):
    return scores.softmax(-1)


DROPOUTS = {
    "changed before": (lambda s: F.dropout(s.softmax(-1) * GATE, 0.5), lambda s: softmax(s) * GATE),
    "unchanged": (lambda s: F.dropout(s.softmax(-1), 0.5), softmax),
    "in place": (lambda s: F.dropout(s.softmax(-1), 0.5, inplace=True), softmax),
    "sigmoid": (lambda s: F.dropout(s.sigmoid(), 0.5), torch.sigmoid),
    "relu": (lambda s: F.dropout(F.relu(s), 0.5), torch.relu),
}


@pytest.mark.parametrize("rule", DROPOUTS)
def test_a_dropout_at_work_is_no_part_of_the_weights(rule):
    weigh, before = DROPOUTS[rule]

    (call,) = captured(Attention(weigh)).calls

    q, k, _ = inputs()
    own = before(q @ k.mT / D**0.5)
    np.testing.assert_allclose(weights_of(call), own.numpy(), rtol=0, atol=ATOL)


def test_a_dropout_of_scores_is_part_of_the_weights():
    model = Attention(lambda s: F.dropout(s, 0.5).softmax(-1))

    (call,) = captured(model).calls

    np.testing.assert_allclose(weights_of(call), model.used.numpy(), rtol=0, atol=ATOL)


@pytest.mark.parametrize(
    "change",
    [lambda w: w * GATE, torch.tril, torch.Tensor.tril_, lambda w: w / w.sum(-1, keepdim=True)],
)
@pytest.mark.parametrize("inplace", [False, True])
def test_weights_changed_after_a_dropout_at_work_are_left_out_with_a_warning(change, inplace):
    model = Attention(lambda s: change(F.dropout(s.softmax(-1), 0.5, inplace=inplace)))

    with pytest.warns(UserWarning, match=r"Attention \(its weights are changed after a dropout"):
        trace = captured(model)

    assert trace.calls == ()
    assert "call eval()" in trace.coverage.left_out["Attention"]


def by_sums(weights, v):
    return (weights[..., None] * v[:, :, None]).sum(-2)


def in_halves(weights, v):
    return weights[..., :3] @ v[..., :3, :] + weights[..., 3:] @ v[..., 3:, :]


def half_of_the_heads(weights, v):
    return torch.cat([weights[:, :2] @ v[:, :2], weights[:, 2:] @ v[:, 2:]], 1)


def through_another_matrix(weights, v):
    return weights @ (torch.softmax(v @ v.mT, -1) @ weights.mT @ weights @ v)


def rescaled(weights, v):
    return (weights @ v) / weights.sum(-1, keepdim=True)


PIECES = {
    "by sums": (lambda s: s.softmax(-1), by_sums),
    "in halves": (lambda s: s.softmax(-1), in_halves),
    "half of the heads": (lambda s: s.softmax(-1), half_of_the_heads),
    "through another matrix": (lambda s: s.softmax(-1), through_another_matrix),
    "rescaled": (torch.sigmoid, rescaled),
    "a key cut off": (lambda s: s.softmax(-1)[..., 1:], lambda w, v: w @ v[:, :, 1:]),
}


@pytest.mark.parametrize("kind", PIECES)
def test_attention_in_pieces_is_left_out_and_named(kind):
    model = Attention(*PIECES[kind])

    with pytest.warns(UserWarning, match="attention was not recorded of Attention"):
        trace = captured(model)

    assert trace.calls == ()
    assert set(trace.coverage.left_out) == {"Attention"}
    assert not trace.coverage.complete


def test_an_intervention_on_attention_in_pieces_says_that_it_reached_not_all():
    with (
        pytest.warns(UserWarning, match="not all attention of layer Attention was changed"),
        intervene(model := Attention(*PIECES["a key cut off"]), mask="causal"),
    ):
        model(*inputs())


@pytest.mark.parametrize("kind", ["in halves", "half of the heads"])
def test_a_scale_that_pieces_do_not_get_is_refused(kind):
    model = Attention(*PIECES[kind])

    with (
        pytest.raises(ValueError, match="no product of its weights with values was found"),
        intervene(model, scale=0),
    ):
        model(*inputs())


def test_a_head_with_other_weights_can_be_scaled_and_not_otherwise_changed():
    model = Attention(torch.sigmoid)
    plain = model(*inputs())

    with intervene(model, head=1, scale=0):
        during = model(*inputs())
    with (
        pytest.raises(ValueError, match="only scale can be changed"),
        intervene(model, head=1, temperature=0.5),
    ):
        model(*inputs())

    assert not during[:, 1].any()
    torch.testing.assert_close(during[:, [0, 2, 3]], plain[:, [0, 2, 3]], rtol=0, atol=0)


LONG = 4096  # keys: a uniform row's weights are 2.4e-4


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    "change",
    [lambda w: w * GATE.to(w.dtype), lambda w: w.clamp(max=w.amax(-1, keepdim=True) / 2)],
    ids=["head mask", "clamp"],
)
def test_a_change_of_small_weights_is_one(change, dtype):
    model = Attention(lambda s: change(F.dropout(s.softmax(-1), 0.1, training=False))).eval()
    made = torch.Generator().manual_seed(5)
    q, k, v = (0.1 * torch.randn(1, H, n, D, generator=made).to(dtype) for n in (2, LONG, LONG))
    with torch.no_grad(), capture(model) as trace:
        model(q, k, v)

    used = model.used.float().numpy()
    np.testing.assert_allclose(weights_of(trace[0]), used, rtol=0, atol=1e-2 * used.max())


def test_a_small_number_added_to_all_weights_is_a_change():
    model = Attention(lambda s: s.softmax(-1) + 5e-4).eval()

    (call,) = captured(model).calls

    np.testing.assert_allclose(weights_of(call), model.used.numpy(), rtol=0, atol=ATOL)


def test_a_changed_row_that_a_dropout_at_work_hides_is_told():
    with (
        pytest.warns(UserWarning, match="changes its weights after the softmax"),
        intervene(
            model := Attention(lambda s: F.dropout(s.softmax(-1), 0.5).tril()), temperature=2
        ),
    ):
        model(*inputs())


def test_a_score_of_no_key_is_one_of_the_weights():
    def weigh(scores):
        return torch.cat([scores, torch.ones(B, H, T, 1)], -1).softmax(-1)

    (call,) = captured(Attention(weigh, lambda w, v: w @ F.pad(v, (0, 0, 0, 1)))).calls

    own = weigh(inputs()[0] @ inputs()[1].mT / D**0.5)
    np.testing.assert_allclose(weights_of(call), own.numpy(), rtol=0, atol=ATOL)


def test_what_a_product_is_added_to_is_no_part_of_a_head_that_is_knocked_out():
    def mix(weights, v):
        rest = v[:, :, :T].flatten(0, 1)
        return torch.baddbmm(rest, weights.flatten(0, 1), v.flatten(0, 1)).view(B, H, T, D)

    with (
        pytest.warns(UserWarning, match="leaves layer Attention with another output than 0"),
        intervene(model := Attention(lambda s: s.softmax(-1), mix), scale=0),
    ):
        output = model(*inputs())

    torch.testing.assert_close(output, inputs()[2][:, :, :T], rtol=0, atol=0)
