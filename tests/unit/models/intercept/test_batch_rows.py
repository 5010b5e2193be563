"""One sequence of a batch that attends to another is cross-attention, however they are parted."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from attnpanel import capture  # noqa: E402
from attnpanel.models.intercept.batch_rows import BatchRows  # noqa: E402

B, H, T, D = 2, 3, 5, 4
C = H * D


class Pairs(nn.Module):
    """Attention of what `part` makes of a batch."""

    num_heads = H

    def __init__(self, part):
        super().__init__()
        self.part = part
        self.enter, self.query, self.both = nn.Linear(C, C), nn.Linear(C, C), nn.Linear(C, 2 * C)

    def forward(self, x):
        query, key = self.part(self.enter(x).relu())
        parts = (self.query(query), *self.both(key).chunk(2, -1))
        q, k, v = (part.unflatten(-1, (H, D)).transpose(1, 2) for part in parts)
        return (q @ k.mT / D**0.5).softmax(-1) @ v


def rejoined(x):
    return torch.cat([x[:1], x[1:]]).chunk(2)


PARTED = {
    "chunk": lambda x: x.chunk(2),
    "split": lambda x: x.split(1),
    "index": lambda x: (x[:1], x[1:]),
    "unbind": lambda x: [row[None] for row in x.unbind()],
    "flip": lambda x: (x, x.flip(0)),
    "roll": lambda x: (x, x.roll(1, 0)),
    "list of places": lambda x: (x, x[[1, 0]]),
    "index_select": lambda x: (x, x.index_select(0, torch.tensor([1, 0]))),
    "an axis of its own": lambda x: x.reshape(1, 2, T, C).unbind(1),
    "joined before": rejoined,
}
WHOLE = {
    "the batch": lambda x: (x, x),
    "a copy": lambda x: (x, x.clone()),
    "the same sequence": lambda x: (x[:1], x[0, None]),
    "turned round twice": lambda x: (x, x.flip(0).flip(0)),
    "one after the other": lambda x: [x.flatten(0, 1)[None]] * 2,
    "parts of a sequence": lambda x: (x[:, :2], x[:, 2:]),
    "beside an empty tensor": lambda x: (x[..., :0].reshape(0) * 2, x, x)[1:],
    "joined along the sequence": lambda x: [torch.cat([x, 2 * x], 1)] * 2,
}


@pytest.mark.parametrize("name", [*PARTED, *WHOLE])
def test_it_is_cross_where_each_sequence_attends_to_another(name):
    model = Pairs((PARTED | WHOLE)[name]).eval()

    with torch.no_grad(), capture(model) as trace:
        model(torch.randn(B, T, C))

    assert [call.kind for call in trace.calls] == ["cross" if name in PARTED else "self"]


class Packed(nn.Module):
    """Query, key and value in one tensor whose first axis tells them apart, as in ViTs."""

    num_heads = H

    def __init__(self):
        super().__init__()
        self.enter, self.packed = nn.Linear(C, C), nn.Linear(C, 3 * C)

    def forward(self, x):
        packed = self.packed(self.enter(x)).view(*x.shape[:2], 3, H, D)
        q, k, v = packed.permute(2, 0, 3, 1, 4).unbind(0)
        return (q @ k.mT / D**0.5).softmax(-1) @ v


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_query_and_key_of_one_tensor_are_no_two_sequences(batch):
    model = Packed().eval()

    with torch.no_grad(), capture(model) as trace:
        model(torch.randn(batch, T, C))

    assert [call.kind for call in trace.calls] == ["self"]


def test_rows_follow_the_memory_of_a_batch():
    rows, x = BatchRows(), torch.randn(4, T, C)
    rows.begin(x)
    pairs = x.reshape(2, 2, T, C)
    rows.follow(torch.Tensor.reshape, (x, 2, 2, T, C), {}, [pairs])
    turned = pairs.flip(1)
    rows.follow(torch.Tensor.flip, (pairs, 1), {}, [turned])

    assert [row for _, row in rows.rows(turned)] == [1, 0, 3, 2]
    assert rows.differ(turned, x)
    assert not rows.differ(x, pairs)


def test_a_layout_that_moves_the_batch_leaves_rows_unknown():
    rows, x = BatchRows(), torch.randn(2, T, 3, C)
    rows.begin(x)
    moved = x.permute(2, 0, 1, 3)
    rows.follow(torch.Tensor.permute, (x, 2, 0, 1, 3), {}, [moved])

    assert rows.rows(moved) == ()


class Pooled(nn.Module):
    """Queries that are the largest of two: functions that return named tuples."""

    num_heads = H

    def __init__(self, pool):
        super().__init__()
        self.pool, self.packed = pool, nn.Linear(C, 3 * C)

    def forward(self, x):
        parts = self.packed(x).unflatten(-1, (3, H, D)).movedim(1, 3).unbind(1)
        q, k, v = parts
        return (self.pool(q.unflatten(-2, (2, -1))) @ k.mT / D**0.5).softmax(-1) @ v


@pytest.mark.parametrize(
    "pool", [lambda q: q.max(2).values, lambda q: q.topk(1, 2).values.squeeze(2)]
)
def test_what_a_named_tuple_holds_belongs_to_its_sequence(pool):
    model = Pooled(pool).eval()

    with torch.no_grad(), capture(model) as trace:
        model(torch.randn(B, 6, C))

    assert [(call.kind, call.query_len) for call in trace.calls] == [("self", 3)]


class Windows(nn.Module):
    """Heads before windows: (B, H, windows, T, D), as in Hiera."""

    num_heads = H

    def __init__(self, windows):
        super().__init__()
        self.windows, self.packed, self.used = windows, nn.Linear(C, 3 * C), None

    def forward(self, x):
        parts = self.packed(x).unflatten(1, (self.windows, -1)).unflatten(-1, (3, H, D))
        q, k, v = parts.permute(3, 0, 4, 1, 2, 5).unbind(0)
        q = q.amax(-2, keepdim=True) if self.windows > 1 else q
        self.used = (q @ k.mT / D**0.5).softmax(-1)
        return self.used @ v


def test_heads_before_an_axis_of_one_window_are_heads():
    model = Windows(1).eval()

    with torch.no_grad(), capture(model) as trace:
        model(torch.randn(B, T, C))

    torch.testing.assert_close(torch.from_numpy(trace[0].weights()), model.used[:, :, 0])
