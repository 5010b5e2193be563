"""Head importance against a forward pass written out from the formula."""

from __future__ import annotations

import types

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

from attnpanel import Trace, capture, head_importance  # noqa: E402
from attnpanel.models.intervene import head_importance as module  # noqa: E402
from tests.hand_made import call, trace_of  # noqa: E402

B, T, H, D = 2, 5, 3, 7


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(H * D, 11)

    def forward(self, x):
        heads = x.unflatten(-1, (H, D)).transpose(1, 2)
        mixed = F.scaled_dot_product_attention(heads, heads, heads)
        return self.out(mixed.transpose(1, 2).flatten(-2))


@pytest.fixture(scope="module")
def run():
    """A model, one input, and the trace of both."""
    torch.manual_seed(2)
    model, x = Attention(), torch.randn(B, T, H * D)
    with capture(model) as trace:
        model(x)
    return model, x, trace


def without(model, x, head):
    """The output without one head's part of the last product, from the formula."""
    heads = x.unflatten(-1, (H, D))
    scores = torch.einsum("bihd,bjhd->bhij", heads, heads) / D**0.5
    mixed = torch.einsum("bhij,bjhd->bihd", scores.softmax(-1), heads)
    if head is not None:
        mixed[:, :, head] = 0
    return mixed.flatten(-2) @ model.out.weight.T + model.out.bias


def test_a_state_moves_by_its_cosine(run):
    model, x, trace = run
    (found,) = head_importance(model, lambda: model(x), trace)

    with torch.no_grad():
        before = without(model, x, None)
        expected = [
            1 - F.cosine_similarity(before, without(model, x, head), dim=-1).mean().item()
            for head in range(H)
        ]
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert trace.head_importance[0] is found


def test_predictions_move_by_their_total_variation(run):
    model, x, trace = run
    (found,) = head_importance(model, lambda: types.SimpleNamespace(logits=model(x)), trace)

    with torch.no_grad():
        before = without(model, x, None).softmax(-1)
        # The largest difference of probability over all sets of tokens.
        expected = [
            (before - without(model, x, head).softmax(-1)).clamp(min=0).sum(-1).mean().item()
            for head in range(H)
        ]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


class Stack(nn.Module):
    """Two layers, and how many sequences each run had."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.sizes = Attention(), Attention(), []
        self.between = nn.Linear(11, H * D)

    def forward(self, x, factor=1.0):
        self.sizes.append(len(x))
        return self.second(self.between(self.first(x * factor)))


@pytest.mark.parametrize(
    ("most", "sizes"),
    [(3 * B * T, [B, 3 * B, 3 * B]), (4 * B * T + 1, [B, 4 * B, 2 * B]), (1, [B] * 7)],
)
def test_heads_tested_in_one_run_matter_as_they_do_alone(monkeypatch, most, sizes):
    torch.manual_seed(2)
    model, inputs = Stack(), {"x": 2 * torch.randn(B, T, H * D), "factor": 0.7}
    with capture(model) as trace:
        model(**inputs)
    alone = head_importance(model, lambda: model(**inputs), trace)
    model.sizes = []
    monkeypatch.setattr(module, "MAX_TOKENS", most)

    updates = []
    together = head_importance(
        model, inputs, trace, progress=lambda *update: updates.append(update)
    )

    assert model.sizes == sizes
    assert [fraction for fraction, _ in updates] == pytest.approx(
        [(sum(sizes[1:at]) / B) / 6 for at in range(1, len(sizes) + 1)]
    )
    np.testing.assert_allclose(together, alone, rtol=1e-4)
    assert np.unique(np.round(together, 6)).size == 2 * H  # no two heads could be exchanged


def test_heads_are_tested_one_by_one_if_attention_has_another_batch():
    class Windows(Stack):
        def forward(self, x):
            return super().forward(x.unflatten(1, (2, 3)).flatten(0, 1)).unflatten(0, (-1, 2))

    model, x = Windows(), torch.randn(B, 6, H * D)
    with capture(model) as trace:
        model(x)
    model.sizes = []
    head_importance(model, {"x": x}, trace)

    assert model.sizes == [2 * B] * 7


def test_the_table_has_it_and_a_part_keeps_its_own(run):
    model, x, trace = run
    (found,) = head_importance(model, lambda: model(x), trace)

    np.testing.assert_array_equal(trace.analyze()["importance"], found)
    part = trace.select(heads=[0, 2])
    np.testing.assert_array_equal(part.head_importance, [found[[0, 2]]])
    again = head_importance(model, lambda: model(x), part)
    np.testing.assert_allclose(again, part.head_importance, rtol=1e-6)
    assert "importance" not in trace_of(call(0)).analyze()


def test_progress_is_reported_and_may_end_the_measurement(run):
    model, x, trace = run
    updates, before = [], model(x).detach()
    head_importance(model, lambda: model(x), trace, progress=lambda *update: updates.append(update))

    assert [round(fraction, 3) for fraction, _ in updates] == [0, 0.333, 0.667, 1]

    def enough(_fraction, _text):
        raise TimeoutError

    trace.head_importance = None
    with pytest.raises(TimeoutError):
        head_importance(model, lambda: model(x), trace, progress=enough)
    assert trace.head_importance is None
    np.testing.assert_array_equal(model(x).detach(), before)


def test_a_bar_counts_the_heads(run, capfd):
    model, x, trace = run
    head_importance(model, lambda: model(x), trace, progress=True)

    drawn = capfd.readouterr().err.split("\r")
    assert ["33%" in line for line in drawn] == [False, False, True, False, False]
    assert drawn[-1].startswith("[########################] 100% Done")
    assert drawn[-1][-1] == "\n"


@pytest.mark.parametrize(
    ("output", "trace", "match"),
    [
        (torch.zeros(1), Trace(), "at least one attention call; got none"),
        ((torch.zeros(1),), trace_of(call(0)), "logits or last_hidden_state; got tuple"),
    ],
)
def test_what_cannot_be_measured_is_an_error(run, output, trace, match):
    with pytest.raises(ValueError, match=match):
        head_importance(run[0], lambda: output, trace)


def test_importance_is_one_number_a_head():
    with pytest.raises(ValueError, match=r"shapes \[\(3,\)\]; got \[\(4,\)\]"):
        trace_of(call(0)).head_importance = [np.zeros(4)]
