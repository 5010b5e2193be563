"""Self- and cross-attention are told apart by where keys come from, whatever their number."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

from attnpanel import capture  # noqa: E402

B, H, T, D = 2, 2, 6, 8


def attend_sdpa(q, k, v):
    return F.scaled_dot_product_attention(q, k, v)


def attend_written(q, k, v):
    return (q @ k.mT / D**0.5).softmax(-1) @ v


class Attention(nn.Module):
    """Attention of one sequence over the same or another, with queries or keys reduced."""

    def __init__(self, attend, reduce_query, reduce_key):
        super().__init__()
        self.attend, self.reduce_query, self.reduce_key = attend, reduce_query, reduce_key
        self.query, self.both, self.norm = nn.Linear(8, 16), nn.Linear(8, 32), nn.LayerNorm(8)

    def forward(self, x, y):
        x = x + 0.5 * self.norm(x)
        query = self.query(self.reduce_query(x))
        key, value = self.both(self.norm(self.reduce_key(y if y is not None else x))).chunk(2, -1)
        parts = [z.unflatten(-1, (H, D)).transpose(1, 2) for z in (query, key, value)]
        return self.attend(*parts).transpose(1, 2).flatten(2)


def same(x):
    return x


def halved(x):
    return F.avg_pool1d(x.mT, 2).mT


@pytest.mark.parametrize("attend", [attend_sdpa, attend_written])
@pytest.mark.parametrize("reduce_query", [same, halved])
@pytest.mark.parametrize("reduce_key", [same, halved])
@pytest.mark.parametrize(("other", "kind"), [(False, "self"), (True, "cross")])
def test_the_kind_is_where_keys_come_from(attend, reduce_query, reduce_key, other, kind):
    model = Attention(attend, reduce_query, reduce_key).eval()
    x, y = torch.randn(B, T, 8), torch.randn(B, T, 8)

    with torch.no_grad(), capture(model) as trace:
        model(x, y if other else None)

    (call,) = trace.calls
    assert call.kind == kind
    assert (call.query_len, call.key_len) == (reduce_query(x).shape[1], reduce_key(y).shape[1])


def test_the_name_of_a_model_does_not_make_its_attention_cross():
    class CrossFormer(Attention):
        pass

    with torch.no_grad(), capture(model := CrossFormer(attend_sdpa, same, same)) as trace:
        model(torch.randn(B, T, 8), None)

    assert trace.calls[0].kind == "self"


def test_a_second_layer_after_cross_attention_is_still_its_own_sequence():
    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            made = [Attention(attend_written, same, same) for _ in range(4)]
            self.layers, self.out = nn.ModuleList(made), nn.Linear(16, 8)

        def forward(self, x, y):
            for layer, memory in zip(self.layers, (None, y, None, y), strict=True):
                x = self.out(layer(x, memory)) + x
            return x

    with torch.no_grad(), capture(model := Decoder()) as trace:
        model(torch.randn(B, T, 8), torch.randn(B, T, 8))

    assert [call.kind for call in trace.calls] == ["self", "cross", "self", "cross"]


def test_steps_with_a_cache_are_self_attention_however_the_cache_is_written():
    class Cached(nn.Module):
        def __init__(self, write):
            super().__init__()
            self.project, self.write = nn.Linear(8, 24), write
            self.cache = torch.zeros(2, 1, 1, 9, 8)
            self.length = 0

        def forward(self, x):
            q, k, v = (part[:, None] for part in self.project(x).chunk(3, -1))
            end = self.length + x.shape[1]
            k, v = (self.write(self.cache[i], z, self.length, end) for i, z in enumerate((k, v)))
            self.length = end
            return attend_sdpa(q, k[:, :, :end], v[:, :, :end])

    def by_slice(cache, new, start, end):
        cache[:, :, start:end] = new
        return cache

    def by_index(cache, new, start, end):
        return cache.index_copy_(2, torch.arange(start, end), new)

    for write in (by_slice, by_index):
        with torch.no_grad(), capture(model := Cached(write), stitch=False) as trace:
            for length in (4, 1, 1, 1):
                model(torch.randn(1, length, 8))

        assert [call.kind for call in trace.calls] == ["self"] * 4


class Layer(nn.Module):
    """Attention of queries over keys that a rule makes of an input and of learned vectors."""

    num_heads = H

    def __init__(self, rule, attend):
        super().__init__()
        self.rule, self.attend = rule, attend
        self.query, self.key = nn.Linear(8, 8), nn.Linear(8, 8)
        self.learned = nn.Parameter(torch.randn(1, T, 8))

    def forward(self, x):
        query, key = self.rule(x, self.learned)
        parts = [self.query(query), self.key(key), self.key(key)]
        return self.attend(*(z.unflatten(-1, (H, -1)).transpose(1, 2) for z in parts))


RULES = {
    "zeros and learned positions": (
        lambda x, p: (torch.zeros_like(x) + p.expand(B, -1, -1), x),
        "cross",
    ),
    "input and learned positions": (lambda x, p: (x + p.expand(B, -1, -1), x), "self"),
    "a learned prefix": (lambda x, p: (x, torch.cat([p.expand(B, -1, -1), x], 1)), "self"),
    "a learned vector where masked": (
        lambda x, p: (torch.where(torch.ones(T, 1).bool(), x, p.expand(B, -1, -1)), x),
        "self",
    ),
    "learned queries": (lambda x, p: (p.expand(B, -1, -1), x), "cross"),
    "learned keys": (lambda x, p: (x, p.expand(B, -1, -1)), "cross"),
}


@pytest.mark.parametrize("attend", [attend_sdpa, attend_written])
@pytest.mark.parametrize("rule", RULES)
def test_learned_vectors_are_a_sequence_only_where_they_stand_alone(rule, attend):
    make, kind = RULES[rule]
    model = Layer(make, attend).eval()
    with torch.no_grad(), capture(model) as trace:
        model(torch.randn(B, T, 8))

    assert [call.kind for call in trace] == [kind]


def test_complex_scores_are_of_one_sequence():
    def attend(q, k, v):
        q, k = (torch.view_as_complex(x.contiguous().unflatten(-1, (-1, 2))) for x in (q, k))
        return (q @ k.mH).real.softmax(-1) @ v

    model = Layer(lambda x, _: (x, x), attend).eval()
    with torch.no_grad(), capture(model) as trace:
        model(torch.randn(B, T, 8))

    assert [call.kind for call in trace] == ["self"]


@pytest.mark.parametrize("attend", [attend_sdpa, attend_written])
def test_what_learned_queries_have_read_is_a_sequence(attend):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.read = Layer(lambda x, p: (p.expand(B, -1, -1), x), attend)
            self.own = Layer(lambda x, p: (x, torch.cat([p.expand(B, -1, -1), x], 1)), attend)

        def forward(self, x):
            return self.own(self.read(x).transpose(1, 2).flatten(2))

    model = Model().eval()
    with torch.no_grad(), capture(model) as trace:
        model(torch.randn(B, T, 8))

    assert trace[0].kind == "cross"
    assert trace[1].kind == "self"
