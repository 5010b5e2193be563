"""The form that starts a run."""

from types import SimpleNamespace

import pytest

from attnpanel.pages.lab.form import Form
from attnpanel.training.settings import TrainingSettings


@pytest.fixture
def started():
    return []


@pytest.fixture
def form(started):
    return Form(lambda settings, text: started.append((settings, text)))


def upload(form, chunk):
    data = {"name": "mine.txt", "size": len(chunk), "offset": 0, "chunk": chunk}
    form._on_file(SimpleNamespace(data=data))


def test_what_the_form_says_is_started(form, started):
    form.task.value = "sort"
    form.numbers["heads"].value = 2
    form.rate.value = 0.01
    form.attends.value = False

    form.start()

    assert started == [
        (TrainingSettings(task="sort", heads=2, learning_rate=0.01, attends=False), None)
    ]


def test_wrong_numbers_are_said_and_start_nothing(form, started):
    form.numbers["heads"].value = 5
    form.start()
    assert form.problem.text == (
        "Not started: heads must divide d_model; got 5 heads for d_model 64."
    )

    form.numbers["heads"].value = None
    form.rate.value = None
    form.start()
    assert form.problem.text == "Heads a layer, Learning rate: a number is missing."

    form.numbers["heads"].value = 4
    form.rate.value = 1e-3
    form.start()
    assert not form.problem.visible
    assert len(started) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda form: form.numbers["heads"].param.update(value=4),
        lambda form: form.rate.param.update(value=0.01),
        lambda form: form.task.param.update(value="sort"),
        lambda form: form.attends.param.update(value=False),
    ],
)
def test_what_was_wrong_is_said_until_something_is_changed(form, change):
    form.numbers["heads"].value = 5
    form.start()
    assert form.problem.visible

    change(form)

    assert not form.problem.visible


def test_what_hinders_a_start_is_said():
    def full(*_):
        raise OSError("the runs in x can't be used: database or disk is full")

    form = Form(full)
    form.start()

    assert form.problem.text == (
        "Not started: the runs in x can't be used: database or disk is full."
    )


def test_a_text_of_ones_own_is_learned_and_a_bad_one_leaves_it(form, started):
    text = "hello world " * 200
    form.task.value = "text"
    assert form._text_part.visible
    upload(form, text.encode())
    assert form._chosen.text == "Text: mine.txt, 2,400 characters"

    upload(form, b"\x80\x81" * 2000)

    assert "mine.txt can't be learned: a text file must be UTF-8" in form.problem.text
    form.start()
    assert started[0][1] == text


def test_the_text_goes_only_where_text_is_learned(form, started):
    upload(form, b"hello world " * 200)
    form.start()

    assert started == [(TrainingSettings(), None)]


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ({"chunk": "text"}, "The upload was interrupted"),
        ({"size": 6}, "The upload was interrupted"),
        ({"refused": "a text file may have at most 4 MB"}, "a text file may have at most 4 MB."),
        ({"chunk": b"", "size": 0}, "mine.txt can't be learned: a text to learn must not be empty"),
    ],
)
def test_an_upload_that_is_none_is_said(form, message, said):
    data = {"name": "mine.txt", "size": 5, "offset": 0, "chunk": b"hello", **message}
    form._on_file(SimpleNamespace(data=data))

    assert said in form.problem.text
    assert form._text is None
