"""A capture changes nothing: no patch, mode, thread, gradient or model of others."""

from __future__ import annotations

import threading

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from torch import nn  # noqa: E402

from attnpanel import capture  # noqa: E402
from tests.unit.models.capture.small_models import (  # noqa: E402
    active_modes,
    bert,
    run,
)
from tests.unit.models.sdpa_model import Plain  # noqa: E402

FUSED = (nn.TransformerEncoder, nn.TransformerEncoderLayer, nn.MultiheadAttention)


def patched_names():
    interface = transformers.modeling_utils.AttentionInterface
    return [vars(owner)["forward"] for owner in FUSED] + [vars(interface)["get_interface"]]


def test_nothing_stays_patched():
    before = patched_names()
    model = bert()
    with capture(model):
        assert patched_names() != before
        run(model)

    assert patched_names() == before
    assert active_modes() == []


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_nothing_stays_patched_after_an_exception_inside_the_attention(attention):
    before = patched_names()
    model = bert(attention)
    # Three heads of keys for two of queries: fails inside the attention function.
    model.encoder.layer[1].attention.self.key = nn.Linear(24, 30)

    with pytest.raises(RuntimeError), capture(model) as trace:
        run(model)

    assert len(trace.calls) == 1
    assert patched_names() == before
    assert active_modes() == []
    assert run(bert(attention)) is not None


def test_no_warning_hides_the_exception_of_the_block():
    def fail():
        with capture(Plain()):
            raise KeyError("the user's own")

    with pytest.raises(KeyError):  # warnings are errors here
        fail()


def test_another_threads_forward_is_not_recorded():
    model = bert()
    encoder = nn.TransformerEncoderLayer(12, 4, 20, batch_first=True).eval()
    both = nn.ModuleList([model, encoder])

    def elsewhere():
        run(model, 2)
        with torch.no_grad():
            encoder(torch.randn(1, 5, 12))

    with capture(both) as trace:
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        run(model, 3)

    assert [call.query_len for call in trace.calls] == [3, 3]


def test_captures_in_two_threads_do_not_end_one_another():
    # Eager attention is intercepted by the patch alone.
    model = bert("eager")
    before = patched_names()
    inside, ended, counts = threading.Event(), threading.Event(), []

    def outlives():
        with capture(model) as trace:
            inside.set()
            ended.wait(60)
            run(model)
        counts.append(len(trace.calls))

    thread = threading.Thread(target=outlives)
    with capture(model) as trace:
        thread.start()
        inside.wait(60)
        run(model)
    ended.set()
    thread.join()

    assert len(trace.calls) == 2
    assert counts == [2]
    assert patched_names() == before


def test_nested_captures_each_see_the_calls_inside_them():
    model = bert()
    with capture(model) as outer:
        run(model)
        with capture(model, layers="*.0.*") as inner:
            run(model)
        run(model)

    assert len(outer.calls) == 6
    assert len(inner.calls) == 1


def test_nested_captures_of_a_multihead_attention_count_it_once_each():
    model = nn.MultiheadAttention(12, 4, batch_first=True).eval()
    x = torch.randn(2, 5, 12)
    with torch.no_grad(), capture(model) as outer, capture(model) as inner:
        model(x, x, x, need_weights=False)

    assert (len(outer.calls), len(inner.calls)) == (1, 1)


def test_a_mode_of_the_users_own_stays_in_force():
    model = nn.MultiheadAttention(12, 4, batch_first=True).eval()
    x = torch.randn(2, 5, 12)
    with torch.no_grad(), capture(model) as trace, torch.device("meta"):
        model(x, x, x)
        made = torch.zeros(1)

    assert made.device.type == "meta"
    assert len(trace.calls) == 1


def test_only_the_models_own_calls_are_recorded():
    model, other = Plain(), Plain()
    x = torch.randn(1, 1, 5, 11)
    with capture(model) as trace:
        other(x, x, x)
        model(x, x, x)

    assert len(trace.calls) == 1


def test_gradients_flow_as_without_capture():
    torch.manual_seed(23)
    model = nn.MultiheadAttention(12, 4, batch_first=True)
    x = torch.randn(2, 5, 12)
    model(x, x, x)[0].sum().backward()
    plain = model.in_proj_weight.grad.clone()
    model.zero_grad()

    with capture(model):
        model(x, x, x)[0].sum().backward()

    assert torch.equal(model.in_proj_weight.grad, plain)
