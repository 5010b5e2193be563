"""capture(tokenizer=…) names the tokens that the model read, on either side of it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

import attnpanel as ap
from attnpanel.models.tokens import names_of_ids

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
IDS = torch.tensor([[4, 7, 3, 9]])
READ = ("w4", "w7", "w3", "w9")


class Tokenizer:
    def convert_ids_to_tokens(self, ids):
        return [f"w{i}" for i in ids]


@pytest.fixture(scope="module")
def gpt2():
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        n_embd=32,
        n_layer=2,
        n_head=4,
        vocab_size=50,
        n_positions=64,
        bos_token_id=1,
        eos_token_id=2,
    )
    return transformers.GPT2LMHeadModel(config).eval()


@pytest.fixture(scope="module")
def bart():
    torch.manual_seed(0)
    config = transformers.BartConfig(
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        vocab_size=50,
        max_position_embeddings=64,
    )
    return transformers.BartForConditionalGeneration(config).eval()


@pytest.mark.parametrize("call", [lambda m: m(IDS), lambda m: m(input_ids=IDS)])
def test_a_forward_pass_names_its_ids_however_they_are_given(gpt2, call):
    with torch.inference_mode(), ap.capture(gpt2, tokenizer=Tokenizer()) as trace:
        call(gpt2)

    assert trace.query_tokens == (READ,)
    assert trace.tokens_of(trace[0]) == (READ, READ)


@pytest.mark.parametrize("cache", [True, False])
@pytest.mark.parametrize("stitch", [True, False])
def test_generated_tokens_are_named_and_never_the_last(gpt2, cache, stitch):
    with torch.inference_mode(), ap.capture(gpt2, tokenizer=Tokenizer(), stitch=stitch) as trace:
        out = gpt2.generate(IDS, max_new_tokens=5, do_sample=False, pad_token_id=0, use_cache=cache)

    assert trace.query_tokens == (tuple(f"w{i}" for i in out[0, :-1].tolist()),)
    assert trace.tokens_of(trace[-1])[1] == trace.query_tokens[0]


def test_both_sides_of_an_encoder_decoder_are_named(bart):
    with torch.inference_mode(), ap.capture(bart, tokenizer=Tokenizer()) as trace:
        bart(input_ids=IDS, decoder_input_ids=IDS + 1)

    firsts = [tuple(row[0] for row in trace.tokens_of(call)) for call in trace]
    assert firsts == [("w4", "w4"), ("w5", "w5"), ("w5", "w4")]


def test_several_texts_in_one_capture_are_not_labelled_by_one_of_them(gpt2):
    with (
        pytest.warns(UserWarning, match="the tokens are not known: the model read several texts"),
        torch.inference_mode(),
        ap.capture(gpt2, tokenizer=Tokenizer()) as trace,
    ):
        [gpt2(ids) for ids in (IDS, IDS + 1)]

    assert trace.query_tokens == ()


def test_each_beam_is_labelled_by_the_tokens_of_those_it_came_from(bart):
    with torch.inference_mode(), ap.capture(bart, tokenizer=Tokenizer()) as trace:
        out = bart.generate(IDS, max_new_tokens=4, num_beams=3, num_return_sequences=3)

    returned = {tuple(f"w{i}" for i in row[:-1].tolist()) for row in out}
    assert set(trace.query_tokens) == returned
    assert len(trace.query_tokens) == 3
    assert trace.key_tokens == (READ,) * 3


def test_beams_whose_steps_stay_apart_are_not_labelled(bart):
    with (
        pytest.warns(UserWarning, match="or beams that changed places"),
        torch.inference_mode(),
        ap.capture(bart, tokenizer=Tokenizer(), stitch=False) as trace,
    ):
        bart.generate(IDS, max_new_tokens=4, num_beams=3)

    assert trace.query_tokens == ()
    assert set(trace.key_tokens) == {READ}


def test_a_model_that_reads_no_ids_is_said_to(gpt2):
    with (
        pytest.warns(UserWarning, match="the model was not called with token ids"),
        torch.inference_mode(),
        ap.capture(gpt2, tokenizer=Tokenizer()),
    ):
        gpt2(inputs_embeds=torch.zeros(1, 3, 32))


def test_hooks_are_gone_after_the_block_however_it_ends(gpt2):
    with pytest.raises(ZeroDivisionError), ap.capture(gpt2, tokenizer=Tokenizer()):
        raise ZeroDivisionError

    assert not gpt2._forward_pre_hooks


def test_tokens_and_tokenizer_are_not_given_together(gpt2):
    with (
        pytest.raises(ValueError, match="named by tokens or by tokenizer; got both"),
        ap.capture(gpt2, tokens=READ, tokenizer=Tokenizer()),
    ):
        pass


@pytest.mark.parametrize(
    "tokenizer",
    [
        Tokenizer(),
        SimpleNamespace(tokenizer=Tokenizer()),
        SimpleNamespace(id_to_token=lambda i: f"w{i}"),
        SimpleNamespace(decode=lambda ids: f"w{ids[0]}"),
    ],
    ids=["transformers", "processor", "tokenizers", "tiktoken"],
)
def test_tokenizers_of_any_library_name_ids(tokenizer):
    assert names_of_ids(tokenizer, [4, 7]) == ("w4", "w7")


def test_what_names_no_ids_is_refused():
    with pytest.raises(ValueError, match=r"tokenizer must have convert_ids_to_tokens.*; got int"):
        names_of_ids(3, [4])
