"""Longformer and LED, put together from sliding chunks: held to the weights that they return."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from attnpanel import capture, intervene  # noqa: E402
from attnpanel.bench.product.capture.families_in_pieces import (  # noqa: E402
    VOCABULARY,
    B,
    built,
)
from attnpanel.models.intercept import sliding_chunks  # noqa: E402

WINDOW = 2  # on either side
# Softmaxes in float32 of scores that are summed in another order, of 8 or 16 channels.
ATOL = 2e-6
GLOBAL = {"none": [], "one": [(0, 0)], "several": [(0, 0), (1, 3), (1, 7)]}


def made(family, length, global_tokens=(), hidden=0):
    """Return a model with weights of some size, and its inputs."""
    model, inputs = built(family)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, 0, 0.5)
    ids = torch.randint(3, VOCABULARY - 1, (B, length))
    marks, seen = torch.zeros_like(ids), torch.ones_like(ids)
    for place in global_tokens:
        marks[place] = 1
    if hidden:
        seen[1, -hidden:] = 0
    inputs |= {"input_ids": ids, "attention_mask": seen, "global_attention_mask": marks}
    if "decoder_input_ids" in inputs:
        inputs["decoder_input_ids"] = ids[:, :5]
    return model, inputs


def captured(model, inputs, **options):
    with torch.no_grad(), capture(model, **options) as trace:
        output = model(**inputs)[0]
    return trace, output


def as_documented(local, of_global, marks):
    """Bring weights as transformers documents them to (B, H, T, S).

    Of each query (…, G + 2 * WINDOW + 1): those of the global tokens, then those of the tokens from
    WINDOW before it to WINDOW after it. Of each global query a column (…, T, G).
    """
    batch, heads, length, columns = local.shape
    found = np.zeros((batch, heads, length, length))
    count = columns - 2 * WINDOW - 1
    for b in range(batch):
        places = [at for at in range(length) if marks[b, at]]
        for t in range(length):
            for j, s in enumerate(range(t - WINDOW, t + WINDOW + 1)):
                if 0 <= s < length:
                    found[b, :, t, s] += local[b, :, t, count + j]
            for j, s in enumerate(places):
                found[b, :, t, s] += local[b, :, t, j]
        for j, t in enumerate(places):
            found[b, :, t] = of_global[b, :, :length, j]
    return found


@pytest.mark.parametrize("hidden", [0, 3])
@pytest.mark.parametrize("length", [16, 13])  # whole windows, and not
@pytest.mark.parametrize("global_tokens", GLOBAL)
@pytest.mark.parametrize("family", ["Longformer", "LED"])
def test_weights_are_those_that_the_model_returns(family, global_tokens, length, hidden):
    model, inputs = made(family, length, GLOBAL[global_tokens], hidden)
    with torch.no_grad():
        plain = model(**inputs)[0]
        told = model(**inputs, output_attentions=True)
    trace, during = captured(model, inputs)

    torch.testing.assert_close(during, plain, rtol=0, atol=0)
    assert not trace.coverage.left_out
    name = "attentions" if family == "Longformer" else "encoder_attentions"
    of_global = getattr(told, name.replace("attentions", "global_attentions"))
    calls = [call for call in trace if "longformer" in call.layer or family == "Longformer"]
    assert len(calls) == len(getattr(told, name))
    for at, call in enumerate(calls):
        assert (call.live, call.kind) == (True, "self")
        expected = as_documented(
            getattr(told, name)[at].numpy(),
            None if of_global is None else of_global[at].numpy(),
            inputs["global_attention_mask"],
        )
        np.testing.assert_allclose(call.weights(), expected, rtol=0, atol=ATOL)


def test_without_global_tokens_weights_times_values_are_the_outputs():
    model, inputs = made("Longformer", 13)
    seen = []
    layer = model.encoder.layer[0].attention.self
    with layer.register_forward_hook(lambda _, __, result: seen.append(result[0])):
        trace, _ = captured(model, inputs)

    output = trace[0].weights() @ trace[0].value
    expected = seen[0][:, :13].unflatten(-1, (4, 8)).transpose(1, 2)
    np.testing.assert_allclose(output, expected, rtol=0, atol=1e-5)


def test_with_global_tokens_which_have_values_of_their_own_none_are_kept():
    trace, _ = captured(*made("Longformer", 16, [(0, 0)]))

    assert [call.value for call in trace] == [None, None]


def test_what_the_caller_asks_for_is_what_it_gets():
    model, inputs = made("Longformer", 16, [(0, 0)])
    with torch.no_grad():
        plain = model(**inputs, output_attentions=True)
        with capture(model):
            during = model(**inputs, output_attentions=True)

    for name in ("attentions", "global_attentions"):
        for one, other in zip(plain[name], during[name], strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_a_dropout_at_work_is_no_part_of_the_weights():
    model, inputs = made("Longformer", 16, [(0, 0)])
    model.train()
    layer = model.encoder.layer[0].attention.self
    layer.dropout = 0.0  # what comes before, the first layer has in both runs
    model.embeddings.dropout.p = 0.0
    expected, _ = captured(model, inputs)
    layer.dropout = 0.3
    trace, _ = captured(model, inputs)

    np.testing.assert_allclose(trace[0].weights(), expected[0].weights(), rtol=0, atol=ATOL)


def test_too_long_a_text_is_left_out_and_named(monkeypatch):
    monkeypatch.setattr(sliding_chunks, "MAX_BYTES", 4 * B * 4 * 16 * 16 - 1)
    model, inputs = made("Longformer", 16)
    with pytest.warns(UserWarning, match=r"not recorded of encoder\.layer\.0\.attention\.self"):
        trace, _ = captured(model, inputs)

    assert not trace.calls


def test_a_changed_layer_is_left_out_and_named():
    model, inputs = made("Longformer", 16)
    changed = pytest.warns(UserWarning, match="not all attention of layer")
    left_out = pytest.warns(UserWarning, match="not recorded of")
    with changed, intervene(model, layer="*.0.*", scale=0), left_out:
        trace, _ = captured(model, inputs)

    assert trace.layers == ("encoder.layer.1.attention.self",)
