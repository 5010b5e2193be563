import numpy as np
import pytest

from attnpanel.training.sentence_tasks import NAMES, TRANSLATIONS
from attnpanel.training.tasks import TASKS, make_task
from attnpanel.training.training_text import read_text

RNG = np.random.default_rng


def drawn(name, text=None, batch=5):
    task = make_task(name, text)
    return task, task.draw(RNG(3), batch)


def test_copy_reverse_and_sort_say_the_letters_again():
    for name, rewrite in (("copy", list), ("reverse", lambda row: row[::-1]), ("sort", sorted)):
        task, examples = drawn(name)
        for tokens in examples.tokens:
            words = task.labels(tokens)
            assert words[8] == "|"
            assert words[9:] == list(rewrite(words[:8]))


def test_in_induction_what_followed_a_symbol_follows_it_again():
    _, examples = drawn("induction", batch=20)
    periods = set()
    for tokens, scored in zip(examples.tokens, examples.scored, strict=True):
        for at in np.flatnonzero(scored):
            before = np.flatnonzero(tokens[:at] == tokens[at])
            assert before.size > 0
            assert tokens[before[-1] + 1] == tokens[at + 1]
        periods.add(int(np.argmax(scored)))
    # Positions must not give away the answer.
    assert len(periods) > 5


def test_a_modular_sum_is_right():
    _, examples = drawn("modular_sum")

    a, _, b, _, c = examples.tokens.T
    np.testing.assert_array_equal((a + b) % 13, c)
    np.testing.assert_array_equal(examples.scored, [[False, False, False, True]] * 5)


def test_an_indirect_object_is_the_name_that_is_there_once():
    task, examples = drawn("indirect_object", batch=60)
    orders, places = set(), set()
    for tokens in examples.tokens:
        *words, answer = task.labels(tokens)
        names = [word for word in words if word in NAMES]
        first, second, subject = names
        assert {first, second} == {subject, answer}
        assert words[words.index("gave") - 1] == subject
        orders.add(first == subject)
        places.add(words.index(subject))
    np.testing.assert_array_equal(examples.scored.sum(axis=1), 1)
    assert examples.scored[:, -1].all()
    # Neither the names' order nor a position must give away the answer.
    assert orders == {True, False}
    assert len(places) > 3


def test_a_translation_is_that_of_each_word_in_order():
    task, examples = drawn("translation", batch=40)
    lengths = set()
    for tokens, scored in zip(examples.tokens, examples.scored, strict=True):
        words = task.labels(tokens)
        source, bar, rest = words[:6], words[6], words[7:]
        expected = [word for name in source for word in TRANSLATIONS[name]]
        assert bar == "|"
        assert len(set(source)) == 6
        assert rest == expected + ["."] * (9 - len(expected))
        np.testing.assert_array_equal(np.flatnonzero(scored), np.arange(6, 6 + len(expected)))
        lengths.add(len(expected))
        # The source words that the words of the translation are aligned to, in order.
        aligned = task.answers(tokens, scored)[scored].argmax(axis=1)
        assert [source[key] for key in aligned] == [
            name for name in source for _ in TRANSLATIONS[name]
        ]
    assert lengths == {6, 7, 8, 9}


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_task_draws_what_it_describes_and_is_reproducible(task):
    first, again = task.draw(RNG(7), 5), task.draw(RNG(7), 5)

    assert first.tokens.shape == (5, task.length + 1)
    assert first.scored.shape == (5, task.length)
    assert first.tokens.max() < len(task.vocabulary)
    assert first.scored.any(axis=1).all()
    np.testing.assert_array_equal(first.tokens, again.tokens)
    np.testing.assert_array_equal(first.scored, again.scored)


@pytest.mark.parametrize(
    "task", [task for task in TASKS if task.answers], ids=lambda task: task.name
)
def test_the_answer_is_where_a_query_may_look(task):
    examples = task.draw(RNG(11), 3)
    for tokens, scored in zip(examples.tokens, examples.scored, strict=True):
        answers = task.answers(tokens, scored)
        np.testing.assert_array_equal(answers.any(axis=1), scored)
        assert not np.triu(answers, 1).any()
        if task.name not in ("modular_sum", "translation"):  # whose answers are other tokens
            queries, keys = np.nonzero(answers)
            np.testing.assert_array_equal(tokens[keys], tokens[queries + 1])


def test_a_text_is_learned_from_its_beginning_and_tried_on_its_end():
    text = "ab" * 900 + "cd" * 100
    task = make_task("text", text)

    assert task.vocabulary == ("a", "b", "c", "d")
    assert set(task.labels(task.draw(RNG(1), 50).tokens.ravel())) == {"a", "b"}
    assert set(task.labels(task.draw_held_out(RNG(1), 50).tokens.ravel())) == {"c", "d"}


def test_blanks_are_made_visible():
    task = make_task("text", " \n\tx" * 500)

    assert task.labels(np.arange(4)) == ["⇥", "↵", "␣", "x"]


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b"", "must not be empty"),
        (b" \n" * 2000, "must not be empty"),
        (b"too short", "must have 1,300 to 1,000,000 characters; got 9"),
        (b"\xff\xfe\x00" * 1000, "must be UTF-8; byte 0 of this one is not"),
        (b"zero \0" * 1000, "this one holds zero bytes"),
        (b"x" * 4_000_001, "at most 1,000,000 characters"),
        ("".join(map(chr, range(0x4E00, 0x4E00 + 2000))).encode(), "at most 256 different"),
    ],
)
def test_a_file_that_is_no_text_to_learn_is_refused(data, rule):
    with pytest.raises(ValueError, match=rule):
        read_text(data)


def test_an_unknown_task_is_an_error():
    with pytest.raises(ValueError, match=r"a task must be one of copy, .*; got 'fly'"):
        make_task("fly")
