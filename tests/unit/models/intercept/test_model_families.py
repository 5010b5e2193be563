"""Tiny random models of Hugging Face's families: recomputed weights are the model's own."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from attnpanel import capture  # noqa: E402
from attnpanel.bench.product.capture.families import (  # noqa: E402
    EAGER_ONLY,
    FAMILIES,
    B,
    build,
    inputs_for,
    own_weights,
)

# Before transformers 5.23 DeBERTa uses torch.jit.script, which torch 2.13 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")
# Tolerances of a float32 store, and of a float16 store.
ATOL, ATOL_HALF = 1e-5, 3e-3


def assert_recomputed(calls, own, atol):
    assert len(calls) == len(own)
    for call, expected in zip(calls, own, strict=True):
        made = [[call.weights(h, b) for h in range(call.heads)] for b in range(call.batch)]
        np.testing.assert_allclose(np.array(made), expected.numpy(), rtol=0, atol=atol)


CASES = [
    (family, attention)
    for family in FAMILIES
    for attention in ("eager", "sdpa")
    if attention == "eager" or family not in EAGER_ONLY
]


@pytest.mark.thorough(every=2)
@pytest.mark.parametrize(("family", "attention"), CASES)
def test_a_familys_weights_are_recomputed_and_its_output_is_its_own(family, attention):
    model, inputs = build(family, attention), inputs_for(family)
    own = own_weights(family, inputs)
    with torch.no_grad():
        plain = model(**inputs)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with capture(model) as trace:
                during = model(**inputs)
        with capture(model, dtype="float16") as half:
            model(**inputs)

    for before, captured in zip(plain.to_tuple(), during.to_tuple(), strict=True):
        if isinstance(before, torch.Tensor):
            assert torch.equal(before, captured)
    assert_recomputed(trace.calls, own, ATOL)
    assert_recomputed(half.calls, own, ATOL_HALF)
    assert all(call.live for call in trace.calls)


def test_swins_windows_are_a_batch_of_their_own_and_shifted_ones_masked():
    torch.manual_seed(0)
    config = transformers.SwinConfig(
        image_size=16, patch_size=2, embed_dim=12, depths=[2], num_heads=[3], window_size=4
    )
    model = transformers.SwinModel._from_config(config, attn_implementation="eager").eval()
    images, own = torch.randn(B, 3, 16, 16), []
    for block in model.encoder.layers[0].blocks:
        block.attention.register_forward_hook(lambda _module, _args, result: own.append(result[1]))
    with torch.no_grad(), capture(model) as trace:
        model(images, output_attentions=True)

    # 4 windows of 4 × 4 patches in each of two images.
    assert [call.batch for call in trace.calls] == [8, 8]
    assert_recomputed(trace.calls, own, ATOL)
