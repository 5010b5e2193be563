"""Arguments of a wrong kind: a ValueError with the rule and what was given, and no other error."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from attnpanel import Trace, attend, capture, head_importance, intervene, record  # noqa: E402
from attnpanel.models.loading import load_model  # noqa: E402

T = 5
LAYER = nn.TransformerEncoderLayer(d_model=8, nhead=2, dim_feedforward=8, batch_first=True).eval()
INPUTS = torch.randn(2, T, 8, generator=torch.Generator().manual_seed(0))
NESTED = torch.nested.nested_tensor([torch.ones(2, 2), torch.ones(3, 2)], layout=torch.jagged)
SPARSE = torch.eye(2)[None, None].to_sparse()
META = torch.empty(1, 1, 2, 2, device="meta")


@pytest.fixture(scope="module")
def trace():
    with torch.no_grad(), capture(LAYER) as made:
        LAYER(INPUTS)
    return made


def capturing(**options):
    with torch.no_grad(), capture(LAYER, **options):
        LAYER(INPUTS)


def intervening(**options):
    with torch.no_grad(), intervene(LAYER, **options):
        LAYER(INPUTS)


def recording(*tensors, **options):
    class Reporting(nn.Module):
        def forward(self, _x):
            record(*tensors, **options)

    model = Reporting()
    with capture(model):
        model(INPUTS)


REFUSED = {
    "layers": (lambda _: capturing(layers=3), "layers must be a sequence; got 3"),
    "layers of numbers": (lambda _: capturing(layers=[0]), r"layers must be a text.*got \[0\]"),
    "stitch": (lambda _: capturing(stitch=torch.ones(2)), "stitch must be True or False"),
    "values": (lambda _: capturing(values="no"), "values must be True or False; got 'no'"),
    "tokens": (lambda _: capturing(tokens=7), "tokens must be a sequence; got 7"),
    "rows of tokens": (
        lambda _: capturing(tokens=[1, 2]),
        r"tokens\[0\] must be a sequence; got 1",
    ),
    "one token too many": (
        lambda _: capturing(tokens=[list("abcdef")] * 2),
        r"got \[6\] labels, and the calls have 5 queries and 5 keys",
    ),
    "layer": (lambda _: intervening(layer=np.int64(0), scale=0), "layer must be a sequence; got"),
    "hidden edges": (lambda _: intervening(hide_edges=4), "hide_edges must be a sequence; got 4"),
    "mask": (lambda _: intervening(mask=NESTED), "must be an ordinary tensor; it is nested"),
    "weights": (lambda _: intervening(weights=META), "it is on the meta device"),
    "record": (lambda _: recording(1, 2, 3), "query must be an ordinary torch tensor; got int"),
    "record weights": (
        lambda _: recording(weights=np.ones((1, 1, 2, 2))),
        "weights must be an ordinary torch tensor; got ndarray",
    ),
    "record nested": (lambda _: recording(weights=NESTED), "got a nested tensor"),
    "importance": (
        lambda _: head_importance(LAYER, lambda: LAYER(INPUTS), None),
        "trace must be a Trace; got NoneType",
    ),
    "importance run": (
        lambda trace: head_importance(LAYER, 3, trace),
        "run must be a function or a mapping of inputs; got int",
    ),
    "importance model": (
        lambda trace: head_importance(3, lambda: LAYER(INPUTS), trace),
        "model must be a torch.nn.Module; got int",
    ),
    "nested weights": (lambda _: Trace.from_weights(NESTED), "must be an ordinary tensor"),
    "sparse weights": (lambda _: Trace.from_weights(SPARSE), r"sparse_coo: call to_dense\(\)"),
    "sparse query": (lambda _: attend(SPARSE, SPARSE, SPARSE), "must be an ordinary tensor"),
    "names": (
        lambda _: Trace.from_weights(np.full((1, 1, 2, 2), 0.5), layers=4),
        "layers must be a sequence; got 4",
    ),
    "labels": (
        lambda _: Trace.from_weights(np.full((1, 1, 2, 2), 0.5), tokens=True),
        "tokens must be a sequence; got True",
    ),
    "sequence": (lambda trace: trace.analyze(-9), r"batch must be in 0\.\.1; got -9"),
    "subset": (lambda trace: trace.select(heads=[[0]]), r"heads must be among 0, 1; got \[0\]"),
    "explanation": (
        lambda trace: trace.explain(slice(0, 1), 0, 1, 1),
        r"layer must be one; got slice\(0, 1, None\)",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_argument_is_refused_with_the_rule_and_what_was_given(case, trace):
    call, message = REFUSED[case]

    with pytest.raises(ValueError, match=message):
        call(trace)


def test_numbers_of_torch_and_numpy_are_welcome(trace):
    part = trace.select(heads=torch.tensor([1]))
    np.testing.assert_array_equal(part[0].weights(), trace[0].weights()[:, 1:])
    hidden = {"hide_edges": np.array([[0, 1]]), "hide_keys": torch.tensor([2])}
    with torch.no_grad(), intervene(LAYER, **hidden), capture(LAYER) as changed:
        LAYER(INPUTS)
    assert not changed[0].weights()[:, :, 0, 1:3].any()


def test_eight_bits_are_recorded():
    class Reporting(nn.Module):
        def forward(self, weights):
            record(weights=weights)

    weights = torch.full((1, 2, 4, 4), 0.25).to(torch.float8_e4m3fn)
    with capture(model := Reporting()) as trace:
        model(weights)

    np.testing.assert_array_equal(trace[0].weights(), 0.25)


def test_a_hub_that_refuses_is_asked_once(monkeypatch):
    pytest.importorskip("transformers", reason="no transformers: `make install` brings it")
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(
        ValueError, match=r"'no-such/model', .* downloaded ones only \(the Hub: \S+"
    ):
        load_model("no-such/model")
