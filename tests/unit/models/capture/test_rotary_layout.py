"""The layout of a rotary position embedding is learned from the model, or not claimed."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from attnpanel import capture  # noqa: E402
from attnpanel.bench.product.capture.families import EAGER_ONLY, build, inputs_for  # noqa: E402
from attnpanel.trace.rotary import Rotary  # noqa: E402

B, H, T, D = 2, 3, 7, 10
HALF, PAIRS = "half_split", "interleaved"


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        ("llama", Rotary(HALF, 6)),
        ("gpt-neox", Rotary(HALF, 2)),  # a quarter of the channels
        ("phi", Rotary(HALF, 4)),
        ("gpt-j", Rotary(PAIRS, 4)),
        ("gpt-oss", Rotary(HALF, 6)),
        ("bert", None),
        ("t5", None),
    ],
)
def test_a_familys_layout(family, expected):
    pytest.importorskip("transformers")
    model = build(family, "eager" if family in EAGER_ONLY else "sdpa")
    with torch.no_grad(), capture(model) as trace:
        model(**inputs_for(family))

    assert [call.rotary for call in trace.calls] == [expected] * len(trace.calls)


def angles(channels):
    return torch.arange(T)[:, None] / 10 ** torch.arange(channels // 2)


def by_halves(x):
    """Rotate as Llama does."""
    first, second = x[..., : D // 2], x[..., D // 2 :]
    turned = torch.cat((-second, first), dim=-1)
    angle = torch.cat((angles(D), angles(D)), dim=-1)
    return x * angle.cos() + turned * angle.sin()


def by_complex(x):
    """Rotate as the code of Llama's paper does: neighbours are a complex number."""
    numbers = torch.view_as_complex(x.reshape(B, H, T, D // 2, 2))
    turns = torch.polar(torch.ones(T, D // 2), angles(D).float())
    return torch.view_as_real(numbers * turns).flatten(3)


def by_neighbours(x):
    """Rotate as GPT-J does, of 4 channels of 10."""
    part, rest = x[..., :4], x[..., 4:]
    turned = torch.stack((-part[..., 1::2], part[..., ::2]), dim=-1).flatten(-2)
    angle = angles(4).repeat_interleave(2, dim=-1)
    return torch.cat((part * angle.cos() + turned * angle.sin(), rest), dim=-1)


def of_last(x):
    """Rotate the last 4 channels, as multi-head latent attention does: no layout of ours."""
    rest, part = x[..., :-4], x[..., -4:].clone()
    turned = torch.cat((-part[..., 2:], part[..., :2]), dim=-1)
    angle = torch.cat((angles(4), angles(4)), dim=-1)
    return torch.cat((rest, part * angle.cos() + turned * angle.sin()), dim=-1)


def unused(x):
    """Compute a rotation that the query does not take."""
    by_halves(torch.randn(B, H, T, D))
    return x


def halved(x):
    """Halve the channels and put them together again."""
    return torch.cat(x.chunk(2, dim=-1), dim=-1)


class Model(torch.nn.Module):
    def __init__(self, rotate):
        super().__init__()
        self.inner = torch.nn.Linear(1, 1)
        self.rotate = rotate

    def forward(self, query, key, value):
        turned = self.rotate(query), self.rotate(key)
        return torch.nn.functional.scaled_dot_product_attention(*turned, self.inner(value))


@pytest.mark.parametrize(
    ("rotate", "expected"),
    [
        (by_halves, Rotary(HALF, D)),
        (by_complex, Rotary(PAIRS, D)),
        (by_neighbours, Rotary(PAIRS, 4)),
        (of_last, None),
        (unused, None),
        (halved, None),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_layout_of_code_of_ones_own(rotate, expected, dtype):
    torch.manual_seed(0)
    query, key = torch.randn(2, B, H, T, D)
    model = Model(rotate)
    with torch.no_grad(), capture(model, dtype=dtype) as trace:
        model(query, key, torch.randn(B, H, T, 1))

    (call,) = trace.calls
    assert call.rotary == expected


def test_a_rotated_pair_contributes_by_the_distance_alone():
    torch.manual_seed(0)
    query, key = torch.randn(2, B, H, 1, D).expand(2, B, H, T, D)
    model = Model(by_halves)
    with torch.no_grad(), capture(model) as trace:
        model(query, key, torch.randn(B, H, T, 1))

    # The same vectors at every position: a pair's part of the score is that of the distance.
    one, other = (trace.explain(0, 1, i, i - 2).score for i in (3, 6))
    np.testing.assert_allclose(one.contributions, other.contributions, atol=1e-5)
    assert not np.allclose(one.products, other.products, atol=1e-2)


def test_generated_steps_keep_the_layout():
    pytest.importorskip("transformers")
    model = build("llama", "sdpa")
    ids = inputs_for("llama")["input_ids"]
    with torch.no_grad(), capture(model) as trace:
        past = model(ids[:, :3], use_cache=True).past_key_values
        for position in range(3, 5):
            past = model(ids[:, position : position + 1], past_key_values=past).past_key_values

    assert {call.rotary for call in trace.calls} == {Rotary(HALF, 6)}
    assert trace[0].query_len == 5
