"""Where a page's trace comes from: the toy, a prompt, a file; and the page that lets one choose."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest

from attnpanel.models.toy import toy_trace
from attnpanel.pages.explorer.page import Page
from attnpanel.pages.server_settings import ServerSettings
from attnpanel.pages.trace_sources import FileSource, PromptSource, ToySource
from attnpanel.pages.trace_sources.prompt import PROMPT
from attnpanel.trace import Trace
from tests.hand_made import call, trace_of


class Reader:
    """What a chooser showed and said, in order."""

    def __init__(self):
        self.shown, self.said = [], []

    def show(self, trace, start):
        self.shown.append((trace, dict(start)))
        return True

    def say(self, tone, text):
        self.said.append((tone, text))


@pytest.fixture
def reader():
    return Reader()


@pytest.fixture(scope="module")
def file_bytes(tmp_path_factory):
    path = tmp_path_factory.mktemp("trace") / "small.safetensors"
    trace_of(call(query_len=3)).save(path)
    return path.read_bytes()


# -- the toy -------------------------------------------------------------------------------


def test_the_toy_is_the_notebooks_and_a_link_names_its_numbers(reader):
    chooser = ToySource(reader.show, reader.say)

    chooser.open()

    ((trace, start),) = reader.shown
    np.testing.assert_array_equal(trace.calls[0].query, toy_trace().calls[0].query)
    assert start == {}
    assert chooser.address() == {"T": "8", "d_model": "8", "heads": "4", "seed": "42"}


def test_each_number_makes_another_toy_at_once(reader):
    chooser = ToySource(reader.show, reader.say)

    for name, value in (("T", 5), ("d_model", 12), ("heads", 3), ("seed", 7)):
        chooser._inputs[name].value = value

    trace = reader.shown[-1][0]
    expected = toy_trace(5, 12, 3, 7)
    np.testing.assert_array_equal(trace.calls[0].query, expected.calls[0].query)
    assert len(reader.shown) == 4


@pytest.mark.parametrize(
    ("name", "value"), [("T", 30_000), ("T", 0), ("heads", 65), ("seed", 2**31)]
)
def test_a_number_beyond_its_bounds_starts_nothing_whoever_sets_it(
    reader, monkeypatch, name, value
):
    chooser = ToySource(reader.show, reader.say)
    monkeypatch.setattr("attnpanel.pages.trace_sources.toy.toy_trace", None)

    chooser._inputs[name].value = value

    ((tone, text),) = reader.said
    assert tone == "error"
    assert text.startswith(f"{name} must be a whole number from ")
    assert reader.shown == []


def test_a_large_toy_and_a_large_file_are_made_in_a_thread(reader, monkeypatch, file_bytes):
    here, done = threading.get_ident(), threading.Event()
    made_in = []

    def noted(*_arguments, **_options):
        made_in.append(threading.get_ident())
        return trace_of(call())

    def show(_trace, _start):
        done.set()
        return True

    monkeypatch.setattr("attnpanel.pages.trace_sources.toy.toy_trace", noted)
    monkeypatch.setattr("attnpanel.pages.trace_sources.file.Trace.from_bytes", noted)
    monkeypatch.setattr("attnpanel.pages.trace_sources.file.MAX_IN_LOOP", 1)
    toy = ToySource(show, reader.say)
    toy._inputs["d_model"].value = 1024
    made_in.clear()
    toy._inputs["T"].value = 2048
    assert done.wait(60)
    done.clear()
    FileSource(show, reader.say, ServerSettings())._open_bytes(file_bytes, "f")
    assert done.wait(60)

    assert len(made_in) == 2
    assert here not in made_in


def test_a_width_that_heads_do_not_divide_is_said_and_nothing_is_shown(reader):
    chooser = ToySource(reader.show, reader.say)

    chooser._inputs["d_model"].value = 9

    assert reader.shown == []
    ((tone, text),) = reader.said
    assert tone == "error"
    assert text == "d_model must be a multiple of heads; got 9 and 4. Choose other numbers."


def test_an_emptied_number_is_asked_for(reader):
    chooser = ToySource(reader.show, reader.say)

    chooser._inputs["T"].value = None

    assert reader.shown == []
    assert reader.said == [("error", "Each of T, d_model, heads and seed must be a whole number.")]


@pytest.mark.parametrize(
    "text", ["0", "-1", "2049", "9" * 400, "1e3", "", "x", "²", "٣x", " 5", "0" * 11 + "8" * 8]
)
def test_a_hostile_number_in_a_link_is_said_and_left_as_it_was(reader, text):
    chooser = ToySource(reader.show, reader.say)

    (said,) = chooser.restore({"T": text, "seed": "7"})

    assert (chooser._inputs["T"].value, chooser._inputs["seed"].value) == (8, 7)
    assert reader.shown == []
    assert said.startswith("T must be a whole number from 1 to 2048; got ")
    assert len(said) < 120


# -- a file --------------------------------------------------------------------------------


@pytest.fixture
def chooser(reader):
    return FileSource(reader.show, reader.say, ServerSettings(max_upload_bytes=1_000_000))


def send(chooser, *, name="mine.safetensors", **message):
    chooser._on_message(SimpleNamespace(data={"name": name, **message}))


def upload(chooser, data, step):
    for offset in range(0, len(data), step):
        chunk = data[offset : offset + step]
        send(chooser, chunk=chunk, offset=offset, size=len(data))


@pytest.mark.parametrize("step", [97, 10**9])
def test_a_file_arrives_in_chunks_and_is_shown(reader, chooser, file_bytes, step):
    upload(chooser, file_bytes, step)

    ((trace, _),) = reader.shown
    assert trace.calls[0].query_len == 3
    assert reader.said == []


def test_a_second_file_replaces_the_first(reader, chooser, file_bytes):
    upload(chooser, file_bytes, 97)
    upload(chooser, file_bytes, 10**9)

    assert len(reader.shown) == 2


def test_a_file_that_is_no_trace_is_one_sentence_and_the_next_one_is_read(
    reader, chooser, file_bytes
):
    upload(chooser, b"PK\x03\x04 not a trace at all", 10)

    assert reader.shown == []
    ((tone, text),) = reader.said
    assert tone == "error"
    assert text.startswith("mine.safetensors: ")
    assert text.endswith("What was shown before is still here.")
    upload(chooser, file_bytes, 10**9)
    assert len(reader.shown) == 1


def test_a_trace_without_calls_is_refused(reader, chooser, tmp_path):
    path = tmp_path / "none.safetensors"
    Trace().save(path)

    upload(chooser, path.read_bytes(), 10**9)

    assert reader.shown == []
    assert [tone for tone, _ in reader.said] == ["error"]


@pytest.mark.parametrize(
    "message",
    [
        {"chunk": b"x" * 50, "offset": 7, "size": 100},
        {"chunk": b"x" * 50, "offset": -1, "size": 100},
        {"chunk": b"x" * 50, "offset": 0, "size": 49},
        {"chunk": b"x" * 50, "offset": 0, "size": -1},
        {"chunk": b"x" * 50, "offset": 0, "size": 1_000_001},
        {"chunk": b"x" * 50, "offset": 0, "size": 10**30},
        {"chunk": b"x" * 50, "offset": 0, "size": float("nan")},
        {"chunk": b"x" * 50, "offset": 0, "size": None},
        {"chunk": b"x" * 50, "offset": "0", "size": 100},
        {"chunk": b"x" * 50, "offset": None, "size": 100},
        {"chunk": "x" * 50, "offset": 0, "size": 50},
        {"chunk": None, "offset": 0, "size": 50},
        {"chunk": [1, 2], "offset": 0, "size": 2},
        {"chunk": b"x" * 1_000_001, "offset": 0, "size": 1_000_001},
        {"chunk": b"x" * 1_000_001, "offset": 0, "size": 100},
        {},
    ],
    ids=lambda message: str({k: v for k, v in message.items() if k != "chunk"}),
)
def test_a_hostile_chunk_is_dropped_said_and_followed_by_a_good_file(
    reader, chooser, file_bytes, message
):
    send(chooser, **message)

    assert reader.shown == []
    assert sum(map(len, chooser._parts)) == 0
    assert [tone for tone, _ in reader.said] == ["error"]
    upload(chooser, file_bytes, 97)
    assert len(reader.shown) == 1


def test_chunks_out_of_order_are_not_put_together(reader, chooser, file_bytes):
    size = len(file_bytes)
    send(chooser, chunk=file_bytes[:50], offset=0, size=size)
    send(chooser, chunk=file_bytes[150:], offset=150, size=size)

    assert reader.shown == []
    assert [tone for tone, _ in reader.said] == ["error"]
    # The missing part alone completes nothing.
    send(chooser, chunk=file_bytes[50:150], offset=50, size=size)
    assert reader.shown == []


def test_a_repeated_start_never_keeps_more_than_one_file(chooser):
    for _ in range(5):
        send(chooser, chunk=b"x" * 400_000, offset=0, size=900_000)

    assert sum(map(len, chooser._parts)) == 400_000


@pytest.mark.parametrize("data", [None, 5, "chunk", [], b"bytes"])
def test_what_is_no_message_is_ignored(reader, chooser, data):
    chooser._on_message(SimpleNamespace(data=data))

    assert (reader.shown, reader.said) == ([], [])


def test_a_refusal_by_the_page_is_said_in_short(reader, chooser):
    chooser._on_message(SimpleNamespace(data={"refused": "too large " * 100}))

    ((tone, text),) = reader.said
    assert tone == "error"
    assert len(text) == 300


def test_a_hostile_file_name_is_cut(reader, chooser):
    send(chooser, name="x" * 10_000, chunk=b"junk", offset=0, size=4)

    assert len(reader.said[0][1]) < 600


def test_a_named_trace_is_offered_and_chosen_by_a_link(reader):
    traces = {"a": trace_of(call(0)), "b": trace_of(call(1))}
    chooser = FileSource(reader.show, reader.say, ServerSettings(traces=traces))

    chooser.open()
    assert reader.shown[-1][0] is traces["a"]
    chooser.restore({"trace": "b"})
    chooser.open()
    assert reader.shown[-1][0] is traces["b"]
    assert chooser.address() == {"trace": "b"}
    problems = chooser.restore({"trace": "/etc/passwd"})
    assert problems == ["This server has no trace with the name in the link."]
    assert chooser.address() == {"trace": "b"}


def test_without_a_file_one_is_asked_for(reader, chooser):
    chooser.open()

    assert reader.shown == []
    ((tone, text),) = reader.said
    assert tone == "plain"
    assert "Choose a trace file" in text


# -- a prompt ------------------------------------------------------------------------------


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
