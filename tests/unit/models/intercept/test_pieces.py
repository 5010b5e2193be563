"""Outputs that are not all of an attention: left out and named, unless the calls are whole."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

from attnpanel import capture, intervene  # noqa: E402

B, H, T, D = 2, 4, 12, 8
# Sums of float32 products in another order.
ATOL = 1e-5
HALF = T // 2
attention = F.scaled_dot_product_attention


def weigh(q, k):
    return (q @ k.mT / D**0.5).softmax(-1)


class Layer(nn.Module):
    """Attention as a function of q, k and v computes it; returns output and weights."""

    num_heads = H

    def __init__(self, attend):
        super().__init__()
        self.attend, self.query = attend, nn.Linear(D, D)

    def forward(self, x):
        output, self.used = self.attend(self.query(x), x.sin(), x.cos())
        return output


class Model(nn.Module):
    """One layer that is recorded, so that a trace is never empty, and the one in question."""

    def __init__(self, attend):
        super().__init__()
        self.plain, self.odd = Layer(lambda q, k, v: (attention(q, k, v), None)), Layer(attend)

    def forward(self, x):
        return self.odd(self.plain(x))


def ran(attend):
    torch.manual_seed(0)
    model, x = Model(attend), 1.5 * torch.randn(B, H, T, D)
    with torch.no_grad():
        plain = model(x)
        with capture(model) as trace:
            during = model(x)
    torch.testing.assert_close(during, plain, rtol=0, atol=0, equal_nan=True)
    return trace, model.odd.used


def one_query_apart(q, k, v):  # a global token
    rest = attention(q, k, v, attn_mask=torch.ones(T, T, dtype=torch.bool).tril(2).triu(-2))
    return torch.cat([weigh(q[:, :, :1], k) @ v, rest[:, :, 1:]], 2), None


def one_query_written_over(q, k, v):
    output = weigh(q, k) @ v
    output[:, :, :1] = weigh(2 * q[:, :, :1], k) @ v
    return output, None


def two_chosen_by_position(q, k, v):
    even = torch.arange(T)[:, None] % 2 == 0
    return torch.where(even, attention(q, k, v), attention(2 * q, k, v)), None


def two_parts_of_the_keys(q, k, v):  # merged by their log-sum-exp
    outputs, sizes = [], []
    for keys, values in zip(k.chunk(2, 2), v.chunk(2, 2), strict=True):
        scores = q @ keys.mT / D**0.5
        outputs.append(scores.softmax(-1) @ values)
        sizes.append(scores.logsumexp(-1, keepdim=True))
    total = torch.logaddexp(*sizes)
    shares = [(size - total).exp() for size in sizes]
    return outputs[0] * shares[0] + outputs[1] * shares[1], None


def gate_of_scores(q, k, v):
    scores = q @ k.mT / D**0.5
    return (scores.softmax(-1) @ v) * scores.amax(-1, keepdim=True).sigmoid(), None


def some_queries_placed(q, k, v):
    chosen, output = torch.tensor([1, 4, 5]), torch.zeros(B, H, T, D)
    output[:, :, chosen] = attention(q[:, :, chosen], k, v)
    return output, None


def some_queries_added(q, k, v):
    chosen, output = torch.tensor([1, 4, 5]), torch.zeros(B, H, T, D)
    return output.index_add(2, chosen, weigh(q[:, :, chosen], k) @ v), None


def a_solved_low_rank(q, k, v):
    marks, middle = q[:, :, ::3], k[:, :, ::3]
    inverse = weigh(marks, middle) + torch.eye(4)
    return weigh(q, middle) @ torch.linalg.solve(inverse, weigh(marks, k) @ v), None


def twice(q, k, v):
    weights = weigh(q, k)
    return weights @ (weights @ v), None


def by_agents(q, k, v):
    agents = q[:, :, ::3]
    return attention(q, agents, attention(agents, k, v)), None


def keys_in_another_order(q, k, v):  # as a hash puts them into buckets
    order = k.sum(-1, keepdim=True).argsort(2).expand_as(k)
    return weigh(q, k.gather(2, order)) @ v.gather(2, order), None


def keys_flipped(q, k, v):
    return attention(q, k.flip(2), v.flip(2)), None


def neighbours(q, k, v):
    near = (torch.arange(T)[:, None] + torch.arange(-1, 2)).clamp(0, T - 1)
    weights = (q[:, :, :, None] * k[:, :, near]).sum(-1).softmax(-1)
    return (weights[..., None] * v[:, :, near]).sum(-2), None


def heads_apart_without_a_softmax(q, k, v):
    weights = F.relu(q @ k.mT) / T
    return torch.cat(
        [w @ x for w, x in zip(weights.split(1, 1), v.split(1, 1), strict=True)], 1
    ), None


def sparse(q, k, v):
    rows = [
        torch.sparse.mm(torch.sparse.softmax((a @ b.T).to_sparse(), 1), c)
        for a, b, c in zip(q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1), strict=True)
    ]
    return torch.stack(rows).view_as(q), None


def heads_among_the_queries(q, k, v):  # of keys that all heads share
    weights = weigh(q.reshape(B, H * T, D), k[:, 0])
    return (weights @ v[:, 0]).view(B, H, T, D), None


def between_channels(q, k, v):  # XCiT
    weights = (q.mT @ k).softmax(-1)
    return (weights @ v.mT).mT, None


def softmax_under_vmap(q, k, v):
    return torch.vmap(lambda scores: scores.softmax(-1))(q @ k.mT) @ v, None


def relu_times_values_by_element(q, k, v):
    weights = F.relu(q @ k.mT) / T
    return (weights[..., None] * v[:, :, None]).sum(3), None


def one_padded_block(q, k, v):  # as LongT5 computes a short text
    q, k, v = (F.pad(x, (0, 0, 0, 4))[:, None] for x in (q, k, v))
    return (weigh(q, k) @ v)[:, 0, :, :T], None


def blocks_and_heads_in_the_batch(q, k, v):  # in an order that nobody can tell
    q, k, v = (x.unflatten(2, (2, HALF)).flatten(0, 2) for x in (q, k, v))
    return torch.bmm(torch.bmm(q, k.mT).softmax(-1), v).view(B, H, T, D), None


def keys_by_an_index_of_all(q, k, v):
    weights = weigh(q, k[:, :, torch.arange(T)])
    return weights @ v, weights


def gate_of_a_layer_without_parameters(q, k, v):
    return attention(q, k, v) * torch.sigmoid(q @ torch.ones(D, 1)), weigh(q, k)


def heads_mixed_by_a_matrix_as_wide_as_a_sequence(q, k, v):
    weights = weigh(q[:, :, :H], k[:, :, :H])
    mix = torch.eye(H) + torch.eye(H).roll(1, 0)
    mixed = (mix @ weights.flatten(2)).view_as(weights)
    return mixed @ v[:, :, :H], mixed


NAMED = {
    one_query_apart: "in pieces",
    one_query_written_over: "in pieces",
    two_chosen_by_position: "in pieces",
    two_parts_of_the_keys: "rescales its outputs",
    gate_of_scores: "rescales its outputs",
    some_queries_placed: "some of its queries only",
    some_queries_added: "some of its queries only",
    a_solved_low_rank: "in pieces",
    twice: "by the same weights several times",
    by_agents: "in pieces",
    keys_in_another_order: "changes the order",
    keys_flipped: "changes the order",
    neighbours: "in pieces",
    heads_apart_without_a_softmax: "in pieces",
    sparse: "in pieces",
    one_padded_block: "in pieces",
    heads_among_the_queries: "heads must have an axis of their own",
    between_channels: "between channels",
    softmax_under_vmap: "vmap hides the numbers",
    relu_times_values_by_element: "met no product with values",
    blocks_and_heads_in_the_batch: "without blocks of a sequence",
}


@pytest.mark.parametrize("attend", NAMED)
def test_what_is_not_all_of_an_attention_is_left_out_and_named(attend):
    with pytest.warns(UserWarning, match=rf"not recorded of odd \(.*{NAMED[attend]}"):
        trace, _ = ran(attend)

    assert trace.layers == ("plain",)


def groups_of_heads(q, k, v):
    parts = zip(q.chunk(2, 1), k.chunk(2, 1), v.chunk(2, 1), strict=True)
    return torch.cat([attention(*part) for part in parts], 1), weigh(q, k)


def parts_of_the_batch(q, k, v):
    parts = zip(q.split(1), k.split(1), v.split(1), strict=True)
    return torch.cat([attention(*part) for part in parts]), weigh(q, k)


def parts_of_the_batch_from_the_last(q, k, v):
    output = torch.empty(B, H, T, D)
    for row in reversed(range(B)):
        output[row] = attention(q[row], k[row], v[row])
    return output, weigh(q, k)


def an_axis_of_length_one(q, k, v):
    weights = weigh(q, k)
    return (weights[:, :, None] @ v[:, :, None])[:, :, 0], weights


def groups_before_heads(q, k, v):
    grouped, k, v = q.unflatten(1, (2, 2)), k[:, ::2], v[:, ::2]
    weights = torch.einsum("bghtd,bhsd->bghts", grouped, k).softmax(-1)
    return torch.einsum("bghts,bhsd->bghtd", weights, v).flatten(1, 2), weights.flatten(1, 2)


def a_low_rank_of_the_keys(q, k, v):
    mix = torch.ones(3, T).cumsum(-1) / T
    weights = weigh(q, mix @ k)
    return weights @ v[:, :, :3], weights


def one_row_changed_in_shared_memory(q, k, v):
    weights = weigh(q, k)
    weights.numpy()[:, :, 5] = 0.25
    return weights @ v, weights


def one_row_that_sees_nothing(q, k, v):
    hidden = (torch.arange(T) == 2)[:, None]
    weights = (q @ k.mT).masked_fill(hidden, -torch.inf).softmax(-1)
    return weights @ v, weights


@pytest.mark.parametrize(
    "attend",
    [
        groups_of_heads,
        parts_of_the_batch,
        parts_of_the_batch_from_the_last,
        an_axis_of_length_one,
        groups_before_heads,
        a_low_rank_of_the_keys,
        one_row_changed_in_shared_memory,
        one_row_that_sees_nothing,
        keys_by_an_index_of_all,
        gate_of_a_layer_without_parameters,
        heads_mixed_by_a_matrix_as_wide_as_a_sequence,
    ],
)
def test_weights_are_those_of_their_heads_and_sequences(attend):
    trace, used = ran(attend)

    np.testing.assert_allclose(trace["odd"].weights(), used.numpy(), rtol=0, atol=ATOL)
    assert trace.coverage.complete


def parts_of_the_channels(q, k, v):
    half = D // 2
    first = attention(q[..., :half], k[..., :half], v)
    return first - 0.5 * attention(q[..., half:], k[..., half:], v), None


def test_parts_of_the_channels_are_no_heads():
    trace, _ = ran(parts_of_the_channels)

    assert [call.heads for call in trace if call.layer == "odd"] == [H, H]


def test_weights_of_a_layer_that_are_no_parameters_make_no_attention():
    def attend(q, k, v):
        hidden, back = torch.ones(D, 3 * D), torch.ones(3 * D, D)
        weights = weigh(q, k)
        return F.relu((weights @ v) @ hidden) @ back, weights

    trace, used = ran(attend)

    np.testing.assert_allclose(trace["odd"].weights(), used.numpy(), rtol=0, atol=ATOL)


def test_weights_that_a_dropout_takes_all_of_are_left_out():
    model = Layer(lambda q, k, v: (F.dropout(weigh(q, k) / 2, 1.0) @ v, None))

    with pytest.warns(UserWarning, match="dropout keeps none"), capture(model) as trace:
        model(torch.randn(B, H, T, D))

    assert trace.calls == ()


def every_second_head(q, k, v):
    parts = [attention(*(x[:, start::2] for x in (q, k, v))) for start in range(2)]
    return torch.stack(parts, 2).flatten(1, 2), None


def heads_in_a_loop(q, k, v):
    return torch.stack([weigh(q[:, h], k[:, h]) @ v[:, h] for h in range(H)], 1), None


@pytest.mark.parametrize(
    "attend", [groups_of_heads, every_second_head, heads_in_a_loop, blocks_and_heads_in_the_batch]
)
def test_a_head_is_not_chosen_where_its_number_is_unknown(attend):
    model, x = Model(attend), torch.randn(H, H, T, D)  # as many sequences as heads

    with (
        pytest.raises(ValueError, match=r"head cannot be chosen|without blocks"),
        intervene(model, layer="odd", head=0, scale=0),
    ):
        model(x)


@pytest.mark.parametrize("attend", [sparse, heads_apart_without_a_softmax])
def test_an_intervention_raises_no_error_of_its_own_and_says_what_it_missed(attend):
    with (
        pytest.warns(UserWarning, match="not all attention of layer odd was changed"),
        intervene(model := Model(attend), layer="odd", scale=0),
    ):
        model(torch.randn(B, H, T, D))


def test_what_one_head_adds_to_its_values_is_noticed():
    def attend(q, k, v):
        return weigh(q, k) @ v + 1, None

    with (
        pytest.warns(UserWarning, match="leaves layer odd with another output than 0"),
        intervene(model := Model(attend), layer="odd", scale=0),
    ):
        model(torch.randn(1, 1, T, D))


def halved_rows(weights):
    weights[:, :, 3] *= 0.5
    return weights


@pytest.mark.parametrize(
    "change", [lambda w: w.roll(1, 1), lambda w: w.clamp(max=0.05), halved_rows]
)
def test_weights_that_the_model_changes_again_are_told(change):
    def attend(q, k, v):
        return change(weigh(q, k)) @ v, None

    with (
        pytest.warns(UserWarning, match="layer odd changes its weights after the softmax"),
        intervene(model := Model(attend), layer="odd", head=0, weights="uniform"),
    ):
        model(torch.randn(B, H, T, D))


def test_changed_weights_that_get_out_of_sight_are_told():
    def attend(q, k, v):
        return torch.from_numpy(weigh(q, k).numpy() / 2) @ v, None

    with (
        pytest.warns(UserWarning, match="not all attention of layer odd was changed"),
        torch.no_grad(),
        intervene(model := Model(attend), layer="odd", head=0, weights="uniform"),
    ):
        model(torch.randn(B, H, T, D))
