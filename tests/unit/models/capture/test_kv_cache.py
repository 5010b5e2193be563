"""Generation with a cache: its steps are merged into one call a layer."""

from __future__ import annotations

import tracemalloc
import weakref

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

from attnpanel import Trace, capture  # noqa: E402
from attnpanel.models.capture import recorder  # noqa: E402
from attnpanel.models.capture.budget import CaptureBudgetError  # noqa: E402
from attnpanel.models.capture.stitching import stitch, stitched_bytes  # noqa: E402

# Sums of 24 float32 products in another order than the model's.
ATOL = 1e-5
B, PROMPT, NEW = 2, 5, 6
SIZES = {
    "vocab_size": 61,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 20,
    "pad_token_id": 0,
    "eos_token_id": None,
}
FAMILIES = {
    "llama": ("Llama", SIZES),
    "mistral": ("Mistral", {**SIZES, "sliding_window": 4}),
    "gpt-oss": (
        "GptOss",
        {
            **SIZES,
            "head_dim": 6,
            "num_local_experts": 2,
            "num_experts_per_tok": 1,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4},
        },
    ),
}
PADDINGS = {
    "none": torch.ones(B, PROMPT, dtype=torch.long),
    "left": torch.tensor([[1] * 5, [0] * 2 + [1] * 3]),
}


def build(family, attention):
    name, options = FAMILIES[family]
    config = getattr(transformers, f"{name}Config")(**options)
    return made(getattr(transformers, f"{name}ForCausalLM"), config, attention)


def made(model, config, attention):
    torch.manual_seed(5)
    model = model._from_config(config, attn_implementation=attention).eval()
    for parameter in model.parameters():  # fresh weights give nearly uniform attention
        if parameter.dim() == 2:
            nn.init.normal_(parameter, std=0.3)
    return model


def prompt():
    torch.manual_seed(1)
    return torch.randint(2, 61, (B, PROMPT))


def generate(model, ids, **options):
    return model.generate(ids, max_new_tokens=NEW, do_sample=False, **options)


def weights_of(call):
    return np.array([[call.weights(h, b) for h in range(call.heads)] for b in range(call.batch)])


@pytest.mark.thorough(every=3)
@pytest.mark.parametrize(
    ("family", "attention", "padding", "options"),
    [
        ("llama", "sdpa", "none", {}),
        ("llama", "sdpa", "left", {}),
        ("llama", "eager", "none", {"cache_implementation": "static", "disable_compile": True}),
        ("mistral", "sdpa", "left", {}),
        ("gpt-oss", "eager", "none", {}),
    ],
)
@pytest.mark.parametrize("store", ["qk", "weights"])
def test_merged_steps_match_one_pass_over_the_whole_text(
    family, attention, padding, options, store
):
    model, ids, mask = build(family, attention), prompt(), PADDINGS[padding]
    plain = generate(model, ids, attention_mask=mask, **options)
    with capture(model, store=store) as trace:
        text = generate(model, ids, attention_mask=mask, **options)

    assert torch.equal(plain, text)
    read = text[:, :-1]  # the last token is never fed to the model
    seen = F.pad(mask, (0, NEW - 1), value=1)
    positions = (seen.cumsum(-1) - 1).clamp(min=0)
    with torch.no_grad():
        own = build(family, "eager")(
            read, attention_mask=seen, position_ids=positions, output_attentions=True
        ).attentions
    assert trace.layers == ("model.layers.0.self_attn", "model.layers.1.self_attn")
    for call, weights in zip(trace.calls, own, strict=True):
        assert (call.query_len, call.key_len, call.q_offset) == (PROMPT + NEW - 1,) * 2 + (0,)
        assert call.live == (store == "qk")
        rows = seen.bool().numpy()  # nobody reads what a padded query sees
        ours, expected = (x.swapaxes(1, 2)[rows] for x in (weights_of(call), weights.numpy()))
        np.testing.assert_allclose(ours, expected, rtol=0, atol=ATOL)


def test_plain_generation_is_causal_without_a_mask():
    model = build("llama", "sdpa")
    with capture(model) as trace:
        generate(model, prompt(), attention_mask=PADDINGS["none"])

    assert [(c.causal, c.mask, c.bias) for c in trace.calls] == [("top_left", None, None)] * 2


def test_cross_attention_of_a_generated_text_is_one_call_too():
    config = transformers.T5Config(
        vocab_size=61,
        d_model=24,
        d_kv=6,
        d_ff=20,
        num_layers=1,
        num_heads=4,
        decoder_start_token_id=0,
        eos_token_id=None,
    )
    model, ids = made(transformers.T5ForConditionalGeneration, config, "sdpa"), prompt()
    with capture(model) as trace:
        text = generate(model, ids)

    whole = made(transformers.T5ForConditionalGeneration, config, "eager")
    with torch.no_grad():
        own = whole(input_ids=ids, decoder_input_ids=text[:, :-1], output_attentions=True)
    assert [call.kind for call in trace.calls] == ["self", "self", "cross"]
    for call, expected in zip(
        trace.calls,
        (*own.encoder_attentions, *own.decoder_attentions, *own.cross_attentions),
        strict=True,
    ):
        np.testing.assert_allclose(weights_of(call), expected.numpy(), rtol=0, atol=ATOL)


def test_steps_can_stay_apart_and_share_their_keys():
    model = build("llama", "sdpa")
    with capture(model, stitch=False) as trace:
        generate(model, prompt())

    steps = [call for call in trace.calls if call.layer == "model.layers.1.self_attn"]
    assert [call.query_len for call in steps] == [PROMPT, *[1] * (NEW - 1)]
    assert [call.key_len for call in steps] == list(range(PROMPT, PROMPT + NEW))
    # The buffer sometimes has room for twice the keys, but holds no key twice.
    assert np.shares_memory(steps[-1].key, steps[-2].key)
    assert np.shares_memory(steps[-1].value, steps[-2].value)


# Bytes of a Llama's two layers, and of what is allocated beside them at the time.
TOKEN = B * 4 * 6 * 4  # its query; key and value, of two heads each, are as much
READ = PROMPT + NEW - 1
# Keys and values: the prompt's arrays, then a buffer for twice as many.
STEPS = 2 * (READ + PROMPT + 2 * (PROMPT + 1)) * TOKEN
ARRIVING = READ * TOKEN  # the last step brings all its keys, before it is seen that they are there
MERGED = 2 * READ * TOKEN


def generated_within(max_bytes):
    model = build("llama", "sdpa")
    with capture(model, max_bytes=max_bytes) as trace:
        generate(model, prompt(), attention_mask=PADDINGS["none"])
    return trace


def test_a_budget_counts_shared_keys_once_and_merged_calls_one_by_one():
    assert len(generated_within(STEPS + MERGED).calls) == 2


def test_without_room_for_a_merged_call_the_steps_stay():
    with pytest.warns(UserWarning, match=r"layer 'model\.layers\.0\.self_attn', and maybe others"):
        trace = generated_within(STEPS + MERGED - 1)

    assert [call.query_len for call in trace.calls] == [PROMPT] * 2 + [1] * 2 * (NEW - 1)


def test_without_room_for_a_step_the_model_is_stopped():
    assert STEPS + ARRIVING < STEPS + MERGED
    with pytest.raises(CaptureBudgetError, match=r"layers\.1\.self_attn"):
        generated_within(STEPS + ARRIVING - 1)
    with pytest.warns(UserWarning, match="were not merged"):
        generated_within(STEPS + ARRIVING)


@pytest.mark.parametrize("store", ["qk", "weights"])
def test_steps_are_freed_before_the_next_layer_is_merged(monkeypatch, store):
    model, steps, gone = build("llama", "sdpa"), [], []

    def measure(sequence):
        gone.append([ref() is None for ref in steps])
        steps.extend(weakref.ref(call) for call in sequence.calls)
        return stitch(sequence)

    monkeypatch.setattr(recorder, "stitch", measure)
    with capture(model, store=store) as trace:
        generate(model, prompt())

    assert gone == [[], [True] * NEW]
    assert len(trace.calls) == 2


class Chunks(nn.Module):
    """Attention over a cache, 16 tokens at a time; the second sequence lacks its first key."""

    def __init__(self, *, masked):
        super().__init__()
        self.cache, self.masked = torch.zeros(2, 3, 0, 32), masked

    def forward(self, x):
        self.cache = torch.cat([self.cache, x], 2)
        length = self.cache.shape[2]
        sees = torch.ones(2, 1, 16, length, dtype=torch.bool).tril(length - 16)
        if self.masked:
            sees[1, :, :, 0] = False
        return F.scaled_dot_product_attention(x, self.cache, self.cache, attn_mask=sees)


@pytest.mark.parametrize(("masked", "store"), [(False, "qk"), (True, "qk"), (True, "weights")])
def test_the_memory_of_merging_is_predicted(monkeypatch, masked, store):
    sizes = {}

    def measure(sequence):
        sizes["foreseen"] = stitched_bytes(sequence)
        tracemalloc.start()
        stitched = stitch(sequence)
        sizes["taken"] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return stitched

    monkeypatch.setattr(recorder, "stitch", measure)
    model = Chunks(masked=masked)
    with capture(model, store=store) as trace:
        for _ in range(12):
            model(torch.randn(2, 3, 16, 32))

    assert [call.query_len for call in trace.calls] == [12 * 16]
    # Python's own objects: a few hundred bytes for each step.
    assert 0.6 * sizes["foreseen"] < sizes["taken"] <= sizes["foreseen"] + 12 * 1000


def test_another_text_is_another_call():
    model = build("llama", "sdpa")
    with capture(model) as trace:
        generate(model, prompt())
        generate(model, prompt().flip(1))

    assert [call.query_len for call in trace.calls] == [PROMPT + NEW - 1] * 4
    assert trace.layers[:2] == trace.layers[2:]


class Beams(nn.Module):
    """Attention over a cache whose batch entries may be reordered, as in a beam search."""

    def __init__(self):
        super().__init__()
        self.cache = torch.zeros(2, 1, 0, 3)

    def forward(self, x):
        self.cache = torch.cat([self.cache, x], 2)
        return F.scaled_dot_product_attention(x, self.cache, self.cache)


def test_a_step_that_does_not_continue_the_earlier_keys_begins_a_new_call():
    model = Beams()
    with capture(model) as trace:
        model(torch.randn(2, 1, 1, 3))
        model(torch.randn(2, 1, 1, 3))
        model.cache = torch.randn(2, 1, 2, 3)
        model(torch.randn(2, 1, 1, 3))
        model(torch.randn(2, 1, 1, 3))

    assert [(c.query_len, c.key_len, c.q_offset) for c in trace.calls] == [(2, 2, 0), (2, 4, 2)]
    assert trace.calls[1].causal == "bottom_right"
    # Its first query is the third token: it sees three keys.
    np.testing.assert_array_equal(trace.calls[1].visible(0).sum(-1), [3, 4])


@pytest.mark.parametrize("store", ["qk", "weights"])
def test_each_beam_is_followed_back_through_those_it_came_from(store):
    model = Beams()
    tokens = torch.randn(4, 2, 1, 1, 3)
    with capture(model, store=store) as trace:
        model(tokens[0])
        model(tokens[1])
        model.cache = model.cache[[1, 1]]  # both go on from the second
        model(tokens[2])
        model.cache = model.cache.flip(0)
        model(tokens[3])

    (call,) = trace.calls
    paths = [(1, 1, 1, 0), (1, 1, 0, 1)]
    for beam, rows in enumerate(paths):
        text = torch.cat([tokens[step, row] for step, row in enumerate(rows)], dim=1)
        scores = (text @ text.mT / 3**0.5).masked_fill(torch.ones(4, 4).triu(1) > 0, -torch.inf)
        np.testing.assert_allclose(call.weights(0, beam), scores.softmax(-1)[0], rtol=0, atol=ATOL)
        np.testing.assert_array_equal(call.value[beam, 0], text[0])


def test_a_sequence_that_ends_keeps_its_rows_in_a_call_of_its_own():
    model = Beams()
    with capture(model) as trace:
        model(torch.randn(2, 1, 1, 3))
        model(torch.randn(2, 1, 1, 3))
        model.cache = model.cache[1:]
        model(torch.randn(1, 1, 1, 3))

    assert [(call.batch, call.query_len, call.key_len) for call in trace] == [(2, 2, 2), (1, 1, 3)]


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("family", ["llama", "mistral"])
def test_a_beam_search_is_one_call_a_layer_and_one_picture_a_beam(family, padding):
    model, ids, mask = build(family, "sdpa"), prompt(), PADDINGS[padding]
    read = []
    hook = model.register_forward_pre_hook(
        lambda _model, _args, kwargs: read.append(kwargs["input_ids"]), with_kwargs=True
    )
    with hook, capture(model, tokenizer=Numbers()) as trace:
        generate(model, ids, attention_mask=mask, num_beams=3, num_return_sequences=3)

    beams = 3 * B
    assert [(call.batch, call.query_len) for call in trace] == [(beams, PROMPT + NEW - 1)] * 2
    texts = torch.tensor([[int(token) for token in row] for row in trace.query_tokens])
    assert torch.equal(texts[:, -1:], read[-1])  # those of the last step
    seen = F.pad(mask.repeat_interleave(3, 0), (0, NEW - 1), value=1)
    with torch.no_grad():
        own = build(family, "eager")(
            texts,
            attention_mask=seen,
            position_ids=(seen.cumsum(-1) - 1).clamp(min=0),
            output_attentions=True,
        ).attentions
    rows = seen.bool().numpy()
    for call, weights in zip(trace, own, strict=True):
        ours, expected = (x.swapaxes(1, 2)[rows] for x in (weights_of(call), weights.numpy()))
        np.testing.assert_allclose(ours, expected, rtol=0, atol=ATOL)


class Numbers:
    """A tokenizer whose tokens are their ids."""

    def convert_ids_to_tokens(self, ids):
        return [str(number) for number in ids]


def test_an_interrupted_generation_is_stitched_as_far_as_it_came(tmp_path):
    model = Beams()

    def interrupted():
        with capture(model, tokens=["a", "b"]) as trace:
            traces.append(trace)
            for _ in range(2):
                model(torch.randn(2, 1, 1, 3))
            raise KeyError("the user's own")

    traces = []
    with pytest.raises(KeyError):
        interrupted()

    (call,) = traces[0].calls
    assert traces[0].tokens_of(call) == (("a", "b"), ("a", "b"))
    traces[0].save(tmp_path / "generated.safetensors")
    again = Trace.load(tmp_path / "generated.safetensors")
    np.testing.assert_array_equal(weights_of(again.calls[0]), weights_of(call))
