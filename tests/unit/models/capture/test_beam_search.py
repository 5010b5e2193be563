"""Beam search over several prompts: cross-attention is one call a layer, of the beams' own past."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from attnpanel import capture  # noqa: E402

# Sums of float32 products in another order.
ATOL = 1e-5
PROMPTS, BEAMS, NEW = 2, 2, 5


def test_beams_of_two_prompts_that_begin_alike_are_told_apart():
    torch.manual_seed(0)
    config = transformers.T5Config(
        vocab_size=61,
        d_model=32,
        d_kv=8,
        num_layers=1,
        num_heads=4,
        d_ff=32,
        decoder_start_token_id=0,
        eos_token_id=None,
    )
    model = transformers.T5ForConditionalGeneration(config).eval()
    ids = torch.randint(3, 60, (PROMPTS, 6))
    with torch.no_grad(), capture(model) as trace:
        out = model.generate(
            ids, max_new_tokens=NEW, do_sample=False, num_beams=BEAMS, num_return_sequences=BEAMS
        )

    layer = "decoder.block.0.layer.1.EncDecAttention"
    weights = trace[layer].weights()
    assert weights.shape == (PROMPTS * BEAMS, 4, NEW, 6)
    model.set_attn_implementation("eager")
    with torch.no_grad():
        own = model(
            input_ids=ids.repeat_interleave(BEAMS, 0),
            decoder_input_ids=out[:, :NEW],
            output_attentions=True,
        ).cross_attentions[0]
    for number, expected in enumerate(own.numpy()):
        first = number // BEAMS * BEAMS  # of the same prompt
        errors = [np.abs(row - expected).max() for row in weights[first : first + BEAMS]]
        assert min(errors) < ATOL
