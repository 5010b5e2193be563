"""Pipelines and other wrappers are captured by the one model in them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

import attnpanel as ap
from attnpanel.models.wrappers import module_of

torch = pytest.importorskip("torch")


class Holder:
    def __init__(self, **parts):
        vars(self).update(parts)


@pytest.mark.parametrize("name", ["model", "_model", "module", "_module", "anything"])
def test_the_one_module_of_a_wrapper_is_found(name):
    layer = torch.nn.TransformerEncoderLayer(8, 2, batch_first=True).eval()
    wrapper = Holder(**{name: layer, "task": "x"})

    with torch.inference_mode(), ap.capture(wrapper) as trace:
        layer(torch.zeros(1, 3, 8))
    with (
        torch.inference_mode(),
        ap.capture(layer) as changed,
        ap.intervene(wrapper, weights="uniform"),
    ):
        layer(torch.rand(1, 3, 8))

    assert trace.layers == ("self_attn",)
    assert trace.model == "TransformerEncoderLayer"
    assert changed[0].weights(0)[0, 0] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (None, "model must be a torch.nn.Module; got NoneType$"),
        (SimpleNamespace(config=1), "got SimpleNamespace$"),
        (
            Holder(unet=torch.nn.Linear(1, 1), encoder=torch.nn.Identity()),
            r"got Holder, which holds several: pass one of .unet \(Linear\), .encoder \(Identity\)",
        ),
    ],
)
def test_what_holds_no_module_or_several_is_named(model, message):
    with pytest.raises(ValueError, match=message):
        module_of(model)


def test_a_module_stays_itself():
    layer = torch.nn.Sequential(torch.nn.Identity())

    assert module_of(layer) is layer
