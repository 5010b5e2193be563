"""Prompts, and what a link restores."""

import threading
from types import SimpleNamespace

import pytest

from attnpanel.pages.explorer.page import Page
from attnpanel.pages.server_settings import ServerSettings
from attnpanel.pages.trace_sources import PromptSource
from attnpanel.pages.trace_sources.prompt import PROMPT
from tests.hand_made import call, trace_of


@pytest.fixture
def model(monkeypatch):
    """Stands in for trace_prompt; finishes when told."""
    fake = SimpleNamespace(calls=[], error=None, may_finish=threading.Event())
    fake.may_finish.set()

    def trace_prompt(text, model="minilm", *, max_tokens=2048, outputs=False, progress=None):
        fake.calls.append((text, model, max_tokens))
        progress(0.5, "Running")
        assert fake.may_finish.wait(10)
        if fake.error is not None:
            raise fake.error
        return trace_of(call(query_len=5), source="prompt", model=text)

    monkeypatch.setattr("attnpanel.models.prompts.trace_prompt", trace_prompt)
    return fake


def finish(model=None):
    if model is not None:
        model.may_finish.set()
    # The next prompt begins when the one before it has ended.
    while threads := [each for each in threading.enumerate() if each.name == "attnpanel-prompt"]:
        threads[0].join(10)


def test_a_change_that_is_chosen_is_run_shown_and_compared(reader, monkeypatch):
    after, asked, compared = trace_of(call(0), call(1)), [], []
    change = SimpleNamespace(after=after)

    def change_prompt(text, **options):
        asked.append((text, {k: options[k] for k in ("layer", "head", "scale")}))
        return change

    monkeypatch.setattr("attnpanel.models.prompts.change_prompt", change_prompt)
    chooser = PromptSource(
        reader.show, reader.say, ServerSettings(), lambda *given: compared.append(given)
    )
    assert chooser.restore({"prompt": "Hello", "change": "out,1,0"}) == []

    chooser.open()
    finish()

    assert asked == [("Hello", {"layer": 1, "head": 0, "scale": 0.0})]
    assert reader.shown == [(after, {"layer": 1, "head": 0})]
    assert compared == [(change, "layer 1, head 0 knocked out")]
    assert chooser.address() == {"prompt": "Hello", "change": "out,1,0"}


def test_a_prompt_is_run_with_what_the_operator_allows(reader, model):
    settings = ServerSettings(models=("tiny", "large"), max_tokens=77)
    chooser = PromptSource(reader.show, reader.say, settings)
    chooser.restore({"prompt": "Hello", "model": "large"})

    chooser.open()
    finish()

    assert model.calls == [("Hello", "large", 77)]
    assert reader.shown[0][0].model == "Hello"
    assert chooser.address() == {"prompt": "Hello", "model": "large"}
    assert ("busy", "Running (50%)") in reader.said
    assert not chooser._run.loading


def test_what_heads_write_is_recorded_if_ticked_or_linked(reader, monkeypatch):
    asked = []

    def trace_prompt(text, *, outputs, **_options):
        asked.append((text, outputs))
        return trace_of(call(query_len=5))

    monkeypatch.setattr("attnpanel.models.prompts.trace_prompt", trace_prompt)
    chooser = PromptSource(reader.show, reader.say, ServerSettings())
    for texts in ({"prompt": "Hello"}, {"prompt": "Hello", "outputs": "1"}):
        chooser.restore(texts)
        chooser.open()
        finish()
        assert chooser.address() == texts

    assert asked == [("Hello", False), ("Hello", True)]


def test_the_first_prompt_opens_on_it_and_its_trophy(reader, model):
    chooser = PromptSource(reader.show, reader.say, ServerSettings())

    chooser.open()
    finish()

    assert model.calls == [(PROMPT, "minilm", 512)]
    assert reader.shown[0][1] == {"layer": 3, "head": 1, "query_index": 11}
    assert chooser.address() == {"prompt": PROMPT}


def test_what_was_typed_is_run_before_it_is_entered(reader, model):
    chooser = PromptSource(reader.show, reader.say, ServerSettings())
    chooser._text.value_input = "typed"

    chooser.open()
    finish()

    assert model.calls[0][0] == "typed"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("text must have at most 5 tokens; got 9"), "text must have at most 5 tokens"),
        (ImportError("needs transformers; make install brings it"), "make install brings it"),
        (RuntimeError("boom\nsecond line"), "The model failed: RuntimeError: boom"),
        (ValueError(""), "ValueError"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_an_error_of_the_model_is_a_sentence_and_the_next_prompt_runs(reader, model, error, text):
    chooser = PromptSource(reader.show, reader.say, ServerSettings())
    model.error = error

    chooser.open()
    finish()

    assert reader.shown == []
    tone, said = reader.said[-1]
    assert tone == "error"
    assert text.lower() in said.lower()
    assert not chooser._run.loading
    model.error = None
    chooser.open()
    finish()
    assert len(reader.shown) == 1


def test_a_prompt_that_is_too_long_is_refused_before_any_model(reader, model):
    chooser = PromptSource(reader.show, reader.say, ServerSettings(max_characters=20))
    chooser._text.param.update(max_length=30, value="x" * 21)

    chooser.open()
    finish()

    assert model.calls == []
    assert reader.said == [("error", "A prompt may have at most 20 characters; got 21.")]


def test_only_the_last_of_two_prompts_is_shown(reader, model):
    chooser = PromptSource(reader.show, reader.say, ServerSettings())
    model.may_finish.clear()
    chooser.restore({"prompt": "first"})
    chooser.open()
    chooser.restore({"prompt": "second"})
    chooser.open()

    finish(model)

    assert [trace.model for trace, _ in reader.shown] == ["second"]


def test_a_link_chooses_only_among_the_operators_models(reader):
    chooser = PromptSource(reader.show, reader.say, ServerSettings())

    problems = chooser.restore({"model": "evil/model", "prompt": "x" * 50_000})

    assert chooser._model.value == "minilm"
    assert len(chooser._text.value) == 20_000
    assert problems == ["This server runs minilm; the link asks for another model."]


# -- the page ------------------------------------------------------------------------------


def test_a_link_restores_the_toy_and_every_choice_in_it():
    link = {"source": "toy", "T": "11", "d_model": "10", "heads": "5", "seed": "3"}
    choices = {"head": "4", "token": "9", "mask": "causal", "temperature": "0.5", "theme": "dark"}

    page = Page(ServerSettings(), {**link, **choices})

    state = page.explorer.state
    assert (state.call.query_len, state.call.heads) == (11, 5)
    assert (state.head, state.query_index, state.mask, state.temperature) == (4, 9, "causal", 0.5)
    assert state.dark
    assert not page._notice.visible
    # The choices of the explorer are the page's to add.
    assert page.explorer.bridge.component.address == {**link, "theme": "dark"}


@pytest.mark.slow
def test_a_choice_of_the_link_counts_for_the_first_trace_alone():
    page = Page(ServerSettings(), {"source": "toy", "head": "3", "mask": "causal"})

    page._sources["Toy"]._inputs["seed"].value = 7

    assert page.explorer.state.mask == "none"


def test_what_a_link_cannot_restore_is_said():
    page = Page(ServerSettings(), {"source": "toy", "head": "99", "mask": "causal"})

    assert page.explorer.state.mask == "causal"
    assert page._notice.visible
    assert page._notice.text == "Not restored from the link. Head: “99” does not apply here."


def test_an_unknown_source_in_a_link_opens_the_toy():
    page = Page(ServerSettings(), {"source": "</script>"})

    assert page._tabs.value == "Toy"
    assert page.explorer.state.trace.source == "toy"


def test_named_files_are_shown_first():
    trace = trace_of(call(query_len=5))

    page = Page(ServerSettings(traces={"mine": trace}), {})

    assert page._tabs.value == "File"
    assert page.explorer.state.trace is trace
    assert page.explorer.address["source"] == "file"


def test_a_prompt_left_behind_is_not_shown_under_another_source(model):
    model.may_finish.clear()
    page = Page(ServerSettings(), {"source": "prompt", "prompt": "late"})

    page._tabs.value = "Toy"
    finish(model)

    assert page.explorer.state.trace.source == "toy"
    assert page.explorer.address["source"] == "toy"
    assert not page._sources["Prompt"]._run.loading
